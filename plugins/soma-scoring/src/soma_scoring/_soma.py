"""``scoring-soma``: the shard rule, a fine at once for outliers, and the live network's formulas for targets."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from soma_core.api import Answer, Difficulty, Limits, Settlement

from ._nearest import Positions
from ._params import Params
from ._points import direction
from ._published import first, next_
from ._rule import ShardRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = Sequence[NDArray[np.int16]]


@frozen
class SomaRule(ShardRule):
    """``soma/shard``, version 1."""

    params: Params

    def settle(self, pot: int, answers: Sequence[Answer], settled: "Vectors", /) -> Settlement:
        """Judge a shard and split `pot` shannons; outliers that nobody proved honest are fined beside it."""
        found = super().settle(pot, answers, settled)
        fined = [place for place in found.out if answers[place].verdict != "honest"]
        return evolve(found, outlier_fines={p: max(0, answers[p].stake) // self.params.outlier_fine for p in fined})

    def point(self, beacon: bytes, observed: "Vectors", /) -> "NDArray[np.int16]":
        """A direction that is as likely as any other, of the dimension of the observed vectors."""
        return direction(beacon, len(observed[0]))

    def assign(
        self, points: "Vectors", positions: "Vectors", stakes: Sequence[int], k: int, /
    ) -> Sequence[tuple[int, ...]]:
        """The `k` of the least distance² / stake."""
        return Positions(positions, stakes).nearest(points, k)

    def start(self, observed: "Vectors", /) -> Difficulty:
        """One pair of a thousand hits."""
        return first(self.params, len(observed[0]))

    def radius(self, old: Difficulty, hits: int, goal: int, observed: "Vectors", /) -> Difficulty:
        """One step, by the rolling average of hits."""
        return next_(self.params, old, hits, goal, len(observed[0]))

    def limits(
        self, _point: "NDArray[np.int16]", difficulty: Difficulty, _observed: "Vectors", _losses: Sequence[int], /
    ) -> Limits:
        """The same radius for every target, and the same loss: data that nobody can predict are worth nothing."""
        return Limits(radius=difficulty.radius, loss=self.params.hit_loss)

    def bond(self, _reward: int, size: int, /) -> int:
        """By the bytes."""
        return self.params.bond_byte * size
