"""Where the network is weak: kinds of data that targets are seldom hit in (rules Z22 to Z24, ``specs/24-targets.md``).

A target lies in the cell of the settled datum nearest to its point. Each cell counts what became of its targets.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from soma_core import fixed
from soma_core.records import uint

from .execution import Execution
from .routing import CELLS
from .settlement import SETTLED
from .state import State, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OUTCOME: Final = 1 << 8
"""What one target counts, so that counts can fade."""
OUTCOME_FADES: Final = 2
"""At the end of an epoch a count loses 2^-this of itself."""


@frozen(kw_only=True)
class Outcomes:
    """What became of a cell's targets, `OUTCOME` each, the older the less."""

    hits: int = uint(default=0)
    expired: int = uint(default=0)


@frozen(kw_only=True)
class WeakSpot:
    """A cell as the race sees it: its `jobs`, its `hits` and `expired` as of `Outcomes`.

    `data`: settled vectors that are kept of it. `loss`: the mean of their least losses, Q16 bits per byte, if any.
    """

    cell: int
    jobs: int
    hits: int
    expired: int
    data: int
    loss: int | None


OUTCOMES: Final = Table("target outcomes", 0x3E, Outcomes)


def cells_of(
    points: "Sequence[NDArray[np.int16]]", observed: "Sequence[NDArray[np.int16]]", cells: Sequence[int | None]
) -> list[int | None]:
    """The cell of each point: that of the observed vector of the largest product with it, of equal ones the first."""
    import numpy as np

    products = fixed.dots(np.stack(points), np.stack(observed))
    return [cells[place] for place in products.argmax(axis=1).tolist()]


def note_outcome(run: Execution, cell: int | None, *, hit: bool) -> None:
    """A target of `cell` was hit, or expired."""
    if cell is None:
        return
    known = run.state.get(OUTCOMES, bytes([cell])) or Outcomes()
    more = {"hits": known.hits + OUTCOME} if hit else {"expired": known.expired + OUTCOME}
    run.state.put(OUTCOMES, bytes([cell]), evolve(known, **more))


def on_epoch(run: Execution) -> None:
    """Let what was counted fade."""
    for name, known in list(run.state.scan(OUTCOMES)):
        left = evolve(
            known,
            hits=known.hits - (known.hits >> OUTCOME_FADES),
            expired=known.expired - (known.expired >> OUTCOME_FADES),
        )
        run.state.put(OUTCOMES, name, left)


def weak_spots(state: State) -> list[WeakSpot]:
    """The cells of which targets have ended, the weakest first: the least share of hits, of equal ones the first."""
    losses: dict[int, list[int]] = {}
    for _, record in state.scan(SETTLED):
        if record.cell is not None:
            losses.setdefault(record.cell, []).append(record.loss)
    found = []
    for name, known in state.scan(OUTCOMES):
        kept = losses.get(name[0], [])
        spot = WeakSpot(
            cell=name[0],
            jobs=state.need(CELLS, name).jobs,
            hits=known.hits,
            expired=known.expired,
            data=len(kept),
            loss=sum(kept) // len(kept) if kept else None,
        )
        found.append(spot)
    return sorted(found, key=lambda spot: (fixed.ONE * spot.hits // (spot.hits + spot.expired), spot.cell))
