"""Scoring rules: how jobs are drawn, judged and paid. Pure functions on integers and int16 arrays; total.

All fixed point numbers are Q16 (65536 is 1) unless said otherwise; money is in shannons (10^9 = 1 SOMA).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Verdict = Literal["none", "honest", "false"]
Outcome = Literal["settled", "refunded"]


@frozen
class Candidate:
    """An encoder that may be drawn. `stake` in shannons; `routing` is the epoch's factor, Q16."""

    encoder: bytes
    stake: int
    routing: int = 1 << 16


@frozen(eq=False)
class Answer:
    """A member of a shard, in draw order, as the settlement sees it.

    `registered`: the order of its weights' registration. `opaque`: gives no loss. `own`: the datum lies in one of its
    cells. `gate`: its state before the job, Q16. `loss`: bits per byte, Q16. `vector`: int16 [D], or None if silent.
    """

    encoder: bytes
    stake: int
    registered: int
    opaque: bool
    own: bool
    gate: int
    loss: int
    vector: "NDArray[np.int16] | None"
    verdict: Verdict = "none"


@frozen
class Payment:
    """`to`: a place in the shard, or ``submitter``."""

    to: int | Literal["submitter"]
    amount: int
    reason: str


@frozen(eq=False)
class Settlement:
    """What a job came to. Places are places in the answers; payments, the refund included, sum to the pot.

    `vector`: joined, int16 [D]; None on a refund. `weights`: Q16 by place, sum 65536. `winner`, `weakest`: places.
    `silent`: gave nothing valid. `out`: outliers, unpaid. `reexecute`: to be audited. `gates`: new state by place.
    `fines` and `slashes`: shannons of stake by place; `outlier_fines`: those for being out, where the rule has any.
    """

    outcome: Outcome
    vector: "NDArray[np.int16] | None"
    weights: Mapping[int, int]
    winner: int | None
    weakest: int | None
    silent: tuple[int, ...]
    out: tuple[int, ...]
    reexecute: tuple[int, ...]
    gates: Mapping[int, int]
    payments: tuple[Payment, ...]
    fines: Mapping[int, int] = field(factory=dict)
    slashes: Mapping[int, int] = field(factory=dict)
    outlier_fines: Mapping[int, int] = field(factory=dict)


class ScoringRule(Protocol):
    """Every input has a result."""

    def draw(self, size: int, candidates: Sequence[Candidate], beacon: bytes, /) -> tuple[int, ...]:
        """Places of at most `size` candidates, in order of drawing, without replacement."""
        ...

    def settle(self, pot: int, answers: Sequence[Answer], settled: "Sequence[NDArray[np.int16]]", /) -> Settlement:
        """Judge a shard. `settled`: joined vectors of other jobs, int16 [D] each, for the gate."""
        ...


@frozen
class Difficulty:
    """How hard targets are. `radius`: the usual one, Q16. `memory`: what the rule needs of the epochs before."""

    radius: int
    memory: int = 0


@frozen
class Limits:
    """What a hit must keep. `radius`: cosine distance to the point, Q16. `loss`: bits per byte, Q16."""

    radius: int
    loss: int


class HasTargets(ScoringRule, Protocol):
    """Feature ``targets``: how the points of the race are drawn, who embeds for them, and how near is a hit.

    `observed`: vectors of the network's own settled data (or the references of genesis), int16 [D] each, at least one;
    their dimension is the points'.
    """

    def point(self, beacon: bytes, observed: "Sequence[NDArray[np.int16]]", /) -> "NDArray[np.int16]":
        """A target, int16 [D]. `beacon`: the target's own seed."""
        ...

    def assign(
        self,
        points: "Sequence[NDArray[np.int16]]",
        positions: "Sequence[NDArray[np.int16]]",
        stakes: Sequence[int],
        k: int,
        /,
    ) -> Sequence[tuple[int, ...]]:
        """For each target the places of its `k` encoders, best first; of fewer, where fewer can be.

        What is assigned to one point does not depend on the others: many at a time are only faster.
        """
        ...

    def start(self, observed: "Sequence[NDArray[np.int16]]", /) -> Difficulty:
        """The first epoch's difficulty: about one pair of a thousand hits."""
        ...

    def radius(self, old: Difficulty, hits: int, goal: int, observed: "Sequence[NDArray[np.int16]]", /) -> Difficulty:
        """The next epoch's difficulty, after one with so many `hits` where `goal` were wanted."""
        ...

    def limits(
        self,
        point: "NDArray[np.int16]",
        difficulty: Difficulty,
        observed: "Sequence[NDArray[np.int16]]",
        losses: Sequence[int],
        /,
    ) -> Limits:
        """What a hit of the target at `point` must keep. `losses`: of the data that was `observed`, one each."""
        ...

    def bond(self, reward: int, size: int, /) -> int:
        """What a submission of `size` bytes puts at stake for a `reward`, shannons."""
        ...
