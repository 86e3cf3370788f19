"""Routing: who was good at data like this is drawn more often (rules Y3 to Y8, ``specs/23-routing.md``).

Data that look alike fall into one cell. In a cell, an encoder's factor is what it has shown there in earlier epochs:
how far above the lowest loss of its shards it was. Some draws go by stake alone, so that nobody is shut out and
newcomers are seen.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Settlement
from soma_core.genesis import SKETCH_SIZE
from soma_core.records import octets, uint

from .execution import Execution
from .shards import Job
from .sketches import distance
from .state import Table

CELLS_MOST: Final = 32
"""Cells of a network."""
CELL_RADIUS: Final = 12_000
"""Squared distance to the nearest cell from which on a sketch begins a cell of its own, while there is room."""
CELL_SHIFT: Final = 4
"""A sketch moves the middle of its cell by 2^-this of the difference."""
EXPLORE_ODDS: Final = 12
"""One draw in so many goes by stake alone."""
ROUTED_FROM: Final = 4
"""Answers in a cell from which on an encoder has a factor there."""
ANSWERS_KEPT: Final = 64
"""Answers of earlier epochs that a score counts at most: more are halved, so that what is older weighs less."""
ROUTE_SLOPE: Final = 4
"""A factor is 2^-(this times the mean excess loss in bits)."""
ROUTE_LEAST: Final = 1 << 11
"""The least factor, Q16."""
EXCESS_MOST: Final = 8 << 16
"""Excess loss of one answer, Q16 bits per byte, that counts at most."""


@frozen(kw_only=True)
class Cell:
    """Data that look alike. `middle`: 64 numbers, Q8, 2 bytes each, big endian. `jobs`: how many fell into it."""

    middle: bytes = octets(2 * SKETCH_SIZE)
    jobs: int = uint()


@frozen(kw_only=True)
class Score:
    """What an encoder has shown in a cell: answers and their excess loss (Q16 bits), in `epoch` and before it."""

    epoch: int = uint()
    answers: int = uint()
    excess: int = uint()
    answers_before: int = uint()
    excess_before: int = uint()


CELLS: Final = Table("cell", 0x34, Cell)
SCORES: Final = Table("cell score", 0x35, Score)


def cell_of(run: Execution, sketch: bytes) -> int | None:
    """The number of the cell of a sketch, which moves with it, or begins with it; None for no sketch."""
    if not sketch:
        return None
    cells = list(run.state.scan(CELLS))
    nearest = min(((distance(_seen(cell), sketch), int.from_bytes(name, "big")) for name, cell in cells), default=None)
    if nearest is None or (nearest[0] > CELL_RADIUS and len(cells) < CELLS_MOST):
        fresh = b"".join((value << 8).to_bytes(2, "big") for value in sketch)
        run.state.put(CELLS, _cell_key(len(cells)), Cell(middle=fresh, jobs=1))
        return len(cells)
    number = nearest[1]
    cell = cells[number][1]
    middle = b"".join(
        (old + ((value << 8) - old >> CELL_SHIFT)).to_bytes(2, "big")
        for old, value in zip(_middle(cell), sketch, strict=True)
    )
    run.state.put(CELLS, _cell_key(number), Cell(middle=middle, jobs=cell.jobs + 1))
    return number


def factors(run: Execution, cell: int | None, seed: bytes) -> Mapping[bytes, int]:
    """Routing factors in a cell, Q16, by encoder; who is not in it has 1. Empty for a draw by stake alone."""
    if cell is None or beacon.uniform(seed, 0, EXPLORE_ODDS) == 0:
        return {}
    name = _cell_key(cell)
    found = run.state.scan(SCORES, name, _cell_key(cell + 1))
    return {part[len(name) :]: _factor(_as_of(score, run.epoch)) for part, score in found}


def note(run: Execution, job: Job, judged: Settlement) -> None:
    """Remember how far above the lowest loss the members were whose answers count. It tells from the next epoch on."""
    places = [place for place in judged.weights if not job.shard[place].opaque]
    if job.cell is None or not places:
        return
    least = min(job.shard[place].loss for place in places)
    for place in places:
        member = job.shard[place]
        name = _cell_key(job.cell) + member.encoder
        known = run.state.get(SCORES, name)
        score = _as_of(known, run.epoch) if known else Score(epoch=run.epoch, **_NOTHING)
        excess = min(member.loss - least, EXCESS_MOST)
        run.state.put(SCORES, name, evolve(score, answers=score.answers + 1, excess=score.excess + excess))


def _factor(score: Score) -> int:
    if score.answers_before < ROUTED_FROM:
        return fixed.ONE
    mean = score.excess_before // score.answers_before
    return max(ROUTE_LEAST, fixed.exp2neg(ROUTE_SLOPE * mean) >> 16)


def _as_of(score: Score, epoch: int) -> Score:
    """A score in `epoch`: what was shown in earlier ones counts together, the older the less.

    It fades by what is shown, not by time: a network of few jobs learns as a busy one does, only later.
    """
    if score.epoch >= epoch:
        return score
    answers, excess = score.answers_before + score.answers, score.excess_before + score.excess
    while answers > ANSWERS_KEPT:
        answers, excess = answers >> 1, excess >> 1
    return Score(epoch=epoch, answers=0, excess=0, answers_before=answers, excess_before=excess)


def _middle(cell: Cell) -> list[int]:
    return [int.from_bytes(cell.middle[place : place + 2], "big") for place in range(0, 2 * SKETCH_SIZE, 2)]


def _seen(cell: Cell) -> bytes:
    return cell.middle[::2]


def _cell_key(number: int) -> bytes:
    return bytes([number])


_NOTHING: Final = {"answers": 0, "excess": 0, "answers_before": 0, "excess_before": 0}
