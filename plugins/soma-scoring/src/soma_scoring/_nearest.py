"""Who embeds for a target by distance² / stake, exactly and fast (rules TR5 and TR6 of ``specs/31-target-rules.md``).

What is decided is decided by integers. Floats only say of nearly all encoders that they are out of question, by a
bound that no order of summation passes, so that the result is the same on every machine. Most are ruled out by a part
of their coordinates: what the rest can add is at most the product of the rests' lengths.
"""

from collections.abc import Iterator, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from soma_core.api.fixed import ONE, cosq, dots, squared_norm

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK: Final = 2_048  # encoders whose cosines to all points stay in a processor's cache
_SHORT: Final = 1 << 20  # squared norms from which on the integer cosine is as near to the real one as `_slack` says


class Positions:
    """Encoders' vectors int16 [n, D] (rows may come one by one) and stakes, ready for any number of points."""

    def __init__(self, vectors: "Sequence[NDArray[np.int16]] | NDArray[np.int16]", stakes: Sequence[int]) -> None:
        self._stakes = [max(0, stake) for stake in stakes]
        self._vectors = np.asarray(vectors, np.int16) if len(vectors) else np.empty((0, 1), np.int16)
        # Those of the largest stakes first: after a block of them nearly nobody comes into question.
        staked = sorted((p for p, s in enumerate(self._stakes) if s), key=lambda p: (-self._stakes[p], p))
        self._order = np.array(staked, np.int64)
        width = self._vectors.shape[1]
        # An eighth of the coordinates, another, a quarter, the other half; and how long each encoder is beyond each.
        self._edges = sorted({0, width // 8, width // 4, width // 2, width})
        self._parts = [np.empty((len(staked), stop - start), np.float32) for start, stop in pairwise(self._edges)]
        self._beyond = np.empty((len(self._parts), len(staked)), np.float32)
        self._short: list[int] = []
        for start in range(0, len(staked), _BLOCK):
            rows = self._vectors[self._order[start : start + _BLOCK]].astype(np.float64)
            squares = np.einsum("nd,nd->n", rows, rows)
            self._short += self._order[start : start + _BLOCK][squares < _SHORT].tolist()
            parts, beyond = self._divided(rows / np.sqrt(np.maximum(squares, 1))[:, None])
            for whole, part in zip(self._parts, parts, strict=True):
                whole[start : start + _BLOCK] = part
            self._beyond[:, start : start + _BLOCK] = beyond
        most = max(self._stakes, default=0)
        self._roots = np.sqrt(np.array([self._stakes[place] / most for place in staked], np.float64)).astype(np.float32)

    def nearest(self, points: "Sequence[NDArray[np.int16]] | NDArray[np.int16]", k: int) -> list[tuple[int, ...]]:
        """For each of the `points` int16 [m, D] the places of the `k` encoders of the least distance² / stake.

        Of equal ones the first; those without stake after all others.
        """
        idle = [place for place, stake in enumerate(self._stakes) if not stake]
        if not len(self._order) or not len(points):
            return [tuple(idle[: max(0, k)])] * len(points)
        return [
            (*self._decided(point, candidates), *idle)[: max(0, k)]
            for point, candidates in zip(points, self._candidates(np.asarray(points, np.int16), k), strict=True)
        ]

    def _divided(self, units: "NDArray[np.float64]") -> "tuple[list[NDArray[np.float32]], NDArray[np.float32]]":
        """Vectors of length 1, [n, D], in parts, and how long they are beyond each part, [parts, n]."""
        parts = [units[:, start:stop].astype(np.float32) for start, stop in pairwise(self._edges)]
        beyond = [np.sqrt(np.einsum("nd,nd->n", units[:, stop:], units[:, stop:])) for stop in self._edges[1:]]
        return parts, np.array(beyond, np.float32)

    def _decided(self, point: "NDArray[np.int16]", places: Sequence[int]) -> list[int]:
        """`places` in order, by integers alone."""
        square = squared_norm(point)
        rows = self._vectors[list(places)]
        products = dots(rows, point[None])[:, 0].tolist()
        away = {
            place: (ONE - cosq(product, square, squared_norm(row))) ** 2
            for place, row, product in zip(places, rows, products, strict=True)
        }

        def compare(a: int, b: int) -> int:
            return away[a] * self._stakes[b] - away[b] * self._stakes[a] or a - b

        return sorted(places, key=cmp_to_key(compare))

    def _candidates(self, points: "NDArray[np.int16]", k: int) -> Iterator[Sequence[int]]:
        """For each point the places that could be among its `k` first, whatever the floats' rounding did."""
        wide = points.astype(np.float64)
        squares = np.einsum("md,md->m", wide, wide)
        units, lengths = self._divided(wide / np.sqrt(np.maximum(squares, 1))[:, None])
        # (1 - cosine + slack) / √stake: at most this for `k` encoders, hence for each of the `k` first.
        bounds = np.full(len(points), np.inf, np.float32)
        bounds[squares < _SHORT] = -np.inf
        found: list[list[tuple[float, int]]] = [[] for _ in points]
        slack = _slack(points.shape[1])
        for start in range(0, len(self._order), _BLOCK):
            needed = (1 - slack) - np.multiply.outer(self._roots[start : start + _BLOCK], bounds)
            rows, cosines = self._promising(start, units, lengths, needed - np.float32(slack))
            roots = self._roots[start + rows]
            if start == 0 and 0 < k <= len(roots):
                far = (1 + slack - cosines) / roots[:, None]
                bounds = np.minimum(bounds, np.partition(far, k - 1, axis=0)[k - 1])
            near = cosines > (1 - slack) - np.multiply.outer(roots, bounds)
            for row, column in zip(*(places.tolist() for places in near.nonzero()), strict=True):
                place = start + int(rows[row])
                found[column].append((float((1 + slack - cosines[row, column]) / roots[row]), place))
            for column in np.unique(near.nonzero()[1]).tolist():
                found[column].sort()
                if 0 < k <= len(found[column]):
                    bounds[column] = min(bounds[column], found[column][k - 1][0])
        everyone = self._order.tolist()
        for column, square in enumerate(squares):
            if square < _SHORT or k < 1:
                yield everyone
                continue
            last = bounds[column] * (1 + 2.0**-16)
            yield sorted(
                {*self._short}
                | {everyone[at] for far, at in found[column] if far - 2 * slack / float(self._roots[at]) <= last}
            )

    def _promising(
        self,
        start: int,
        units: "Sequence[NDArray[np.float32]]",
        lengths: "NDArray[np.float32]",
        needed: "NDArray[np.float32]",
    ) -> "tuple[NDArray[np.int64], NDArray[np.float32]]":
        """Of the block at `start` the rows whose cosine to some point can be `needed` [block, m], and their cosines."""
        rows, cosines = np.arange(len(needed)), np.zeros(needed.shape, np.float32)
        for part, unit, ours, theirs in zip(self._parts, units, self._beyond, lengths, strict=True):
            block = part[start : start + _BLOCK]
            cosines += (block if len(rows) == len(block) else block[rows]) @ unit.T
            near = cosines + np.multiply.outer(ours[start + rows], theirs) > needed[rows]
            kept = near.any(axis=1)
            if not kept.all():
                rows, cosines = rows[kept], cosines[kept]
        return rows, cosines


def _slack(dimension: int) -> float:
    """By how much a cosine of float32 may differ from the integer one, both rounded: twice what a sum can lose."""
    return float((dimension + 8) * 2.0**-23 + 2.0**-14)
