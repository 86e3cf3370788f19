"""What the state keeps of the race for targets, and the money in it (rules Z1 to Z6, ``specs/24-targets.md``)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from attrs import evolve, frozen

from soma_core.api import HasTargets, ScoringRule
from soma_core.crypto import digest
from soma_core.genesis import SUPPLY_MOST
from soma_core.records import octets, text, uint

from .state import State, Table

VECTOR_MOST: Final = 1 << 14
"""Bytes of a vector."""
RESERVE_EPOCHS: Final = 4
"""Epochs' shares that the escrow holds when it is full: so many times the wanted hits can be paid in one epoch."""


@frozen(kw_only=True)
class Race:
    """`pool`: escrow for hits to come. `radius`, `memory`: this epoch's difficulty. `reward`: of a target opened in it.

    `opened`, `sealed`: targets and submissions there ever were. `hits`: that were upheld in this epoch.
    """

    pool: int = uint(most=SUPPLY_MOST, default=0)
    radius: int = uint()
    memory: int = uint()
    reward: int = uint(most=SUPPLY_MOST, default=0)
    opened: int = uint(default=0)
    sealed: int = uint(default=0)
    hits: int = uint(default=0)


@frozen(kw_only=True)
class Opening:
    """`count` targets that wait for the beacon; `leaders`: who has led since."""

    count: int = uint(least=1)
    leaders: tuple[int, ...] = ()


@frozen
class Assigned:
    """An encoder that embeds for a target, with these weights and this frame map."""

    encoder: bytes = octets(32)
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)


@frozen(kw_only=True)
class Target:
    """An open target. `reward` is in escrow here. `radius`, `loss`: a hit's are at most these, Q16.

    `cell`: of the settled datum nearest to it. `closed`: it was hit, and nobody seals for it any more.
    """

    epoch: int = uint()
    point: bytes = octets(most=VECTOR_MOST)
    radius: int = uint()
    loss: int = uint()
    reward: int = uint(most=SUPPLY_MOST)
    cell: int | None = None
    encoders: tuple[Assigned, ...]
    closed: bool = False


@frozen(kw_only=True)
class Submission:
    """`order` of sealing. `bond` is in escrow here. `state`: ``sealed`` until `deadline`; ``shown`` with the rest."""

    order: int = uint()
    commitment: bytes = octets(32)
    size: int = uint()
    bond: int = uint(most=SUPPLY_MOST)
    deadline: int = uint()
    state: str = text(default="sealed")
    blob: bytes = octets(most=32, default=b"")
    encoder: bytes = octets(most=32, default=b"")
    loss: int = uint(default=0)
    vector: bytes = octets(most=VECTOR_MOST, default=b"")
    distance: int = uint(default=0)


@frozen(kw_only=True)
class Hit:
    """A target that was hit, until the hit is claimed, from `claimable` on, ms, or fails. `bond`: in escrow here."""

    target: Target
    submitter: bytes = octets(32)
    encoder: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    loss: int = uint()
    vector: bytes = octets(most=VECTOR_MOST)
    distance: int = uint()
    bond: int = uint(most=SUPPLY_MOST)
    claimable: int = uint()


@frozen
class Spent:
    """The target that a blob hit: it hits no other, unless the hit fails."""

    target: int = uint()


RACE: Final = Table("race", 0x38, Race, lambda race: race.pool)
OPENINGS: Final = Table("opening", 0x39, Opening)
TARGETS: Final = Table("open target", 0x3A, Target, lambda target: target.reward)
SUBMISSIONS: Final = Table("submission", 0x3B, Submission, lambda submission: submission.bond)
HITS: Final = Table("hit", 0x3C, Hit, lambda hit: hit.target.reward + hit.bond)
SPENT: Final = Table("spent blob", 0x3D, Spent)


def has_targets(rule: ScoringRule) -> TypeGuard[HasTargets]:
    """Whether the network's scoring rule has the feature ``targets``."""
    return hasattr(rule, "point")


def target_key(number: int) -> bytes:
    """The state name of a target, open or hit."""
    return number.to_bytes(8, "big")


def submission_seal(
    target: int, submitter: bytes, salt: bytes, blob: bytes, encoder: bytes, loss: int, vector: bytes
) -> bytes:
    """The seal of a submission, 32 bytes: it names its maker, so that nobody can copy it."""
    fixed_part = target.to_bytes(8, "big") + submitter + salt + blob + encoder + loss.to_bytes(8, "big")
    return digest("soma/submission", fixed_part, vector)


def submissions_of(state: State, number: int) -> list[tuple[bytes, Submission]]:
    """The submissions to a target by their makers, the earliest sealed first."""
    found = state.scan(SUBMISSIONS, target_key(number), target_key(number + 1))
    return sorted(((key[8:], submission) for key, submission in found), key=lambda pair: pair[1].order)


def follow(state: State, moved: Mapping[int, int]) -> None:
    """Say in openings where validators sit now; who has left the committee counts no more."""
    for key, opening in list(state.scan(OPENINGS)):
        leaders = tuple(sorted(moved[place] for place in opening.leaders if place in moved))
        if leaders != opening.leaders:
            state.put(OPENINGS, key, evolve(opening, leaders=leaders))


def contested(state: State) -> Iterator[int]:
    """The numbers of the targets that have submissions, those with the earliest seal first."""
    earliest: dict[int, int] = {}
    for key, submission in state.scan(SUBMISSIONS):
        number = int.from_bytes(key[:8], "big")
        earliest[number] = min(submission.order, earliest.get(number, submission.order))
    yield from sorted(earliest, key=earliest.__getitem__)


def change(state: State, **changes: Any) -> Race:
    """The race's record with `changes`, as it is now kept."""
    race = evolve(state.need(RACE), **changes)
    state.put(RACE, b"", race)
    return race
