"""Safe mode: an epoch's end in which a rule fails is taken back whole, and a shorter one is tried instead.

Nothing at an epoch's end can fail, as far as anybody knows. If it does all the same, it does so on every node: the
network then goes on without what failed, rather than stand still for good. Rules U10 and U11 of
``specs/18-epochs.md``.
"""

from collections.abc import Callable, Sequence
from typing import Final

from .events import BoundaryFailed
from .execution import Execution

FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a wrong rule raises, the same on every node. Trouble of one node, such as its disk or memory, is none of it."""

Steps = Sequence[Callable[[Execution], None]]


def end_epoch(run: Execution, ways: Sequence[Steps]) -> None:
    """End the epoch in the first of the `ways` in which every step holds. What fails in the last one is raised."""
    for steps in ways[:-1]:
        mark = len(run.events), len(run.receipts)
        try:
            with run.state.attempt():
                for step in steps:
                    step(run)
        except FAULTS as fault:
            del run.events[mark[0] :], run.receipts[mark[1] :]
            run.events.append(BoundaryFailed(run.epoch, f"{type(fault).__name__}: {fault}"))
        else:
            return
    for step in ways[-1]:
        step(run)
