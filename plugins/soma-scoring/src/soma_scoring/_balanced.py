"""``scoring-balanced`` as the chain calls it: the shard rule, and targets where data lie."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import Difficulty, Limits

from . import _cells, _points, _tilt, _work
from ._params import BalancedParams
from ._rule import ShardRule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = Sequence[NDArray[np.int16]]


@frozen
class BalancedRule(ShardRule):
    """``soma/balanced``, version 1."""

    params: BalancedParams

    def point(self, beacon: bytes, observed: "Vectors", /) -> "NDArray[np.int16]":
        """Mostly where the observed vectors lie."""
        return _points.balanced(self.params, beacon, observed)

    def assign(
        self, points: "Vectors", positions: "Vectors", stakes: Sequence[int], k: int, /
    ) -> Sequence[tuple[int, ...]]:
        """By stake, tilted by closeness."""
        return _tilt.assign(self.params, points, positions, stakes, k)

    def start(self, observed: "Vectors", /) -> Difficulty:
        """Ten bits of work."""
        return _work.first(len(observed[0]))

    def radius(self, old: Difficulty, hits: int, goal: int, observed: "Vectors", /) -> Difficulty:
        """By the logarithm of the hits."""
        return _work.next_(self.params, old, hits, goal, len(observed[0]))

    def limits(
        self, point: "NDArray[np.int16]", difficulty: Difficulty, observed: "Vectors", losses: Sequence[int], /
    ) -> Limits:
        """As near as the work asks where data lie seen from the point, and no worse than most data of its cell."""
        return Limits(
            radius=_work.radius_of(self.params, point, difficulty.memory, observed),
            loss=_cells.ceiling(self.params, point, observed, losses),
        )

    def bond(self, reward: int, size: int, /) -> int:
        """By the bytes or by the reward, whichever is more: a cheat that is caught has lost more than it hoped for."""
        return max(self.params.bond_byte * size, self.params.bond_reward * reward // 10_000)
