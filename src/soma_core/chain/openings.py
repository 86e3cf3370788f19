"""Targets from the beacon: openings, where targets lie and who embeds for them, difficulty, the race's money.

Rules Z7 to Z13 of ``specs/24-targets.md``.
"""

from typing import TYPE_CHECKING

from attrs import evolve

from soma_core import beacon, fixed
from soma_core.api import Difficulty, HasTargets
from soma_core.genesis import OPAQUE

from .encoders import Encoder, candidates
from .events import TargetEnded, TargetOpened
from .execution import Execution
from .jobs import enough
from .race import (
    OPENINGS,
    RACE,
    RESERVE_EPOCHS,
    TARGETS,
    Assigned,
    Opening,
    Race,
    Target,
    change,
    contested,
    has_targets,
    target_key,
)
from .settlement import LOSS_UNKNOWN, REFERENCES_UNTIL, SETTLED
from .stakes import stake_of
from .validators import BEACON
from .weakness import cells_of, note_outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def advance(run: Execution, leader: int, *, mixed: bool) -> None:
    """Open what has waited long enough for the beacon.

    An opening counts the leaders of later commits only, so that nobody who saw it come could choose its link.
    """
    for key, opening in list(run.state.scan(OPENINGS, stop=target_key(run.index))):
        if mixed:
            waited = evolve(opening, leaders=tuple(sorted({*opening.leaders, leader})))
            if enough(run, waited.leaders):
                run.state.delete(OPENINGS, key)
                _open(run, waited.count)
            else:
                run.state.put(OPENINGS, key, waited)


def await_targets(run: Execution, count: int) -> None:
    """Let `count` more targets wait for the beacon."""
    key = target_key(run.index)
    waiting = run.state.get(OPENINGS, key)
    run.state.put(OPENINGS, key, Opening(count=count + (waiting.count if waiting else 0)))


def expire(run: Execution, number: int, target: Target) -> None:
    """End a target that nobody has hit: its reward goes back to the race. A closed one says nothing of its cell."""
    change(run.state, pool=run.state.need(RACE).pool + target.reward)
    run.state.delete(TARGETS, target_key(number))
    if not target.closed:
        note_outcome(run, target.cell, hit=False)
    run.events.append(TargetEnded(number, "expired"))


def _open(run: Execution, count: int) -> None:
    """Draw `count` targets, as many as the race can still pay for and somebody can embed for."""
    rule, race = run.rule, run.state.need(RACE)
    assert has_targets(rule)  # without them nothing is ever waited for
    pool = [(address, e) for address, e in candidates(run) if e.architecture != OPAQUE]
    stakes = [stake_of(run.state, address) for address, _ in pool]
    positions = [_position(run, encoder) for _, encoder in pool]
    observed, losses, cells = _observed(run)
    difficulty = Difficulty(race.radius, race.memory)
    numbers = range(race.opened, race.opened + min(count, race.pool // race.reward if race.reward else 0))
    value = run.state.need(BEACON).value
    points = [rule.point(beacon.draw_seed(value, b"target" + target_key(number)), observed) for number in numbers]
    if not points:
        return
    chosen = rule.assign(points, positions, stakes, run.parameters.target_encoders)
    where = cells_of(points, observed, cells)
    for number, point, assigned, cell in zip(numbers, points, chosen, where, strict=True):
        if not assigned:
            return
        limits = rule.limits(point, difficulty, observed, losses)
        target = Target(
            epoch=run.epoch,
            point=fixed.vector_bytes(point),
            radius=limits.radius,
            loss=limits.loss,
            reward=race.reward,
            cell=cell,
            encoders=tuple(
                Assigned(pool[place][0], pool[place][1].weights, pool[place][1].frame) for place in assigned
            ),
        )
        run.state.put(TARGETS, target_key(number), target)
        run.events.append(TargetOpened(number, target.point, target.radius, target.loss, target.reward))
        change(run.state, pool=run.state.need(RACE).pool - race.reward, opened=number + 1)


def _observed(run: Execution) -> "tuple[list[NDArray[np.int16]], list[int], list[int | None]]":
    """Vectors of settled data, their losses and cells; while few jobs have settled, the references of genesis."""
    settled = [record for _, record in run.state.scan(SETTLED)]
    if len(settled) < REFERENCES_UNTIL:
        rows: list[tuple[bytes, int, int | None]] = [(vector, LOSS_UNKNOWN, None) for vector in run.genesis.references]
    else:
        rows = [(record.vector, record.loss, record.cell) for record in settled]
    vectors = [fixed.vector_from_bytes(vector, run.parameters.dimension) for vector, _, _ in rows]
    return vectors, [loss for _, loss, _ in rows], [cell for _, _, cell in rows]


def _position(run: Execution, encoder: Encoder) -> "NDArray[np.int16]":
    """Where an encoder lies. Who has named no place lies at 0, as far from every point as from any other."""
    dimension = run.parameters.dimension
    return fixed.vector_from_bytes(encoder.position or bytes(2 * dimension), dimension)


# What the end of an epoch does. ---------------------------------------------------------------------------------------


def close(run: Execution) -> None:
    """End the openings, and the targets that nobody has sealed anything for: their rewards go back to the race."""
    for key, _ in list(run.state.scan(OPENINGS)):
        run.state.delete(OPENINGS, key)
    busy = set(contested(run.state))
    for key, target in list(run.state.scan(TARGETS)):
        number = int.from_bytes(key, "big")
        if number not in busy:
            expire(run, number, target)


def fund(run: Execution, share: int) -> int:
    """Put `share` into the race's escrow, as far as it has room. Returns what that takes: nothing without targets."""
    if not has_targets(run.rule):
        return 0
    race = run.state.get(RACE) or _first(run, run.rule)
    made = max(0, min(share, RESERVE_EPOCHS * share - race.pool))
    run.state.put(RACE, b"", evolve(race, pool=race.pool + made))
    return made


def begin(run: Execution) -> None:
    """The next epoch's difficulty by this one's hits, its reward, and its first openings."""
    race = run.state.get(RACE)
    if race is None or not has_targets(run.rule):
        return
    p = run.parameters
    observed, _, _ = _observed(run)
    following = Difficulty(race.radius, race.memory)
    if race.opened:
        following = run.rule.radius(following, race.hits, p.target_goal, observed)
    reward = race.pool // (RESERVE_EPOCHS * p.target_goal)
    change(run.state, radius=following.radius, memory=following.memory, reward=reward, hits=0)
    await_targets(run, p.targets)


def _first(run: Execution, rule: HasTargets) -> Race:
    difficulty = rule.start(_observed(run)[0])
    return Race(radius=difficulty.radius, memory=difficulty.memory)
