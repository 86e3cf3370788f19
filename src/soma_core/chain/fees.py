"""What a transaction costs at least: more where more come than the network wants, less where fewer do.

Whatever the level is, it moves by a shannon or more until as many come as are wanted or it stands at one of its ends:
it cannot stick. Rules U7 to U9 of ``specs/18-epochs.md``.
"""

from typing import Final

from attrs import evolve, frozen

from soma_core.genesis import SUPPLY_MOST, Parameters
from soma_core.records import uint

from .execution import Execution
from .state import State, Table

FEE_STEP: Final = 8
"""An epoch changes the level by at most one part in so many, or by a shannon."""


@frozen(kw_only=True)
class Fees:
    """`level`: the least fee of this epoch, shannons; `before`: of the last one. `charged`: transactions that paid."""

    level: int = uint(most=SUPPLY_MOST)
    before: int = uint(most=SUPPLY_MOST)
    charged: int = uint(default=0)


FEES: Final = Table("fees", 0x40, Fees)


def found(state: State, parameters: Parameters) -> None:
    """The level a network starts with."""
    state.put(FEES, b"", Fees(level=parameters.fee, before=parameters.fee))


def least_fee(state: State) -> int:
    """What a transaction has to pay now: the lower of two epochs' levels, so that none is late for an epoch's end."""
    fees = state.need(FEES)
    return min(fees.level, fees.before)


def count(run: Execution, charged: int) -> None:
    """Note how many transactions of this commit paid a fee."""
    if charged:
        fees = run.state.need(FEES)
        run.state.put(FEES, b"", evolve(fees, charged=fees.charged + charged))


def next_level(parameters: Parameters, level: int, charged: int, goal: int) -> int:
    """The level that follows `level` in an epoch in which `charged` paid, where `goal`, at least 1, were wanted."""
    step = max(1, min(level * abs(charged - goal) // goal, level // FEE_STEP))
    moved = level + (charged > goal) * step - (charged < goal) * step
    return min(max(moved, parameters.fee), parameters.fee_most)


def on_epoch(run: Execution, start: int) -> None:
    """The next epoch's level. `start`: of this one, ms: one that was longer had room for more."""
    p = run.parameters
    fees = run.state.need(FEES)
    goal = max(1, p.fee_goal * (run.time - start) // p.epoch_ms)
    level = next_level(p, fees.level, fees.charged, goal)
    run.state.put(FEES, b"", Fees(level=level, before=fees.level))
