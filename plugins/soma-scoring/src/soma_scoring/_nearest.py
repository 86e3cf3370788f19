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

_BLOCK: Final = 1_024  # encoders whose cosines to all points stay in a processor's cache
_SHORT: Final = 1 << 20  # squared norms from which on the integer cosine is as near to the real one as `_slack` says
_COLUMNS: Final = 128  # coordinates that lie side by side
_STEPS: Final = 128  # parts of the coordinates that a bound may look at
_DEVIATIONS: Final = 2  # of the cosine of two such parts that point anywhere


class Positions:
    """Encoders' vectors int16 [n, D] (rows may come one by one) and stakes, ready for any number of points."""

    def __init__(self, vectors: "Sequence[NDArray[np.int16]] | NDArray[np.int16]", stakes: Sequence[int]) -> None:
        self._stakes = [max(0, stake) for stake in stakes]
        self._idle = [place for place, stake in enumerate(self._stakes) if not stake]
        weights = np.array(self._stakes, np.float64)
        # Those of the largest stakes first: after a block of them nearly nobody comes into question.
        self._order = np.argsort(-weights, kind="stable")[: len(weights) - len(self._idle)]
        self._roots = np.sqrt(weights[self._order] / max(1, weights.max(initial=0))).astype(np.float32)
        self._vectors = np.asarray(vectors, np.int16) if len(vectors) else np.empty((0, 1), np.int16)
        # Side by side by few coordinates: a bound reads the first ones of all encoders, and nothing between.
        edges = [*range(0, self._vectors.shape[1], _COLUMNS), self._vectors.shape[1]]
        self._columns = [
            (start, stop, np.empty((len(self._order), stop - start), np.int16)) for start, stop in pairwise(edges)
        ]
        self._squares = np.empty(len(self._order), np.float32)
        for start in range(0, len(self._order), _BLOCK):
            block = slice(start, start + _BLOCK)
            rows = self._vectors[self._order[block]]
            for first, stop, columns in self._columns:
                columns[block] = rows[:, first:stop]
            wide = rows.astype(np.float32)
            self._squares[block] = np.vecdot(wide, wide)
        self._short = set(self._order[self._squares < 1.01 * _SHORT].tolist())
        self._squares = np.maximum(self._squares, 1)

    def nearest(self, points: "Sequence[NDArray[np.int16]] | NDArray[np.int16]", k: int) -> list[tuple[int, ...]]:
        """For each of the `points` int16 [m, D] the places of the `k` encoders of the least distance² / stake.

        Of equal ones the first; those without stake after all others.
        """
        if not len(self._order) or not len(points):
            return [tuple(self._idle[: max(0, k)])] * len(points)
        return [
            (*self._decided(point, candidates), *self._idle)[: max(0, k)]
            for point, candidates in zip(points, self._candidates(np.asarray(points, np.int16), k), strict=True)
        ]

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
        squares = np.vecdot(wide, wide)
        seen = _Points(wide / np.sqrt(np.maximum(squares, 1))[:, None])
        # (1 - cosine + slack) / √stake: at most this for `k` encoders, hence for each of the `k` first.
        bounds = np.full(len(points), np.inf, np.float32)
        bounds[squares < _SHORT] = -np.inf
        found: list[list[tuple[float, int]]] = [[] for _ in points]
        slack = _slack(points.shape[1])
        for start in range(0, len(self._order), _BLOCK):
            kept = start + self._promising(slice(start, start + _BLOCK), seen, bounds)
            roots = self._roots[kept]
            rows = self._vectors[self._order[kept]].astype(np.float32)
            cosines = (rows @ seen.units.T) / np.sqrt(self._squares[kept])[:, None]
            if start == 0 and 0 < k <= len(roots):
                far = (1 + slack - cosines) / roots[:, None]
                bounds = np.minimum(bounds, np.partition(far, k - 1, axis=0)[k - 1])
            near = cosines > (1 - slack) - np.multiply.outer(roots, bounds)
            for row, column in zip(*(each.tolist() for each in near.nonzero()), strict=True):
                found[column].append((float((1 + slack - cosines[row, column]) / roots[row]), int(kept[row])))
            for column in np.unique(near.nonzero()[1]).tolist():
                found[column].sort()
                if 0 < k <= len(found[column]):
                    bounds[column] = min(bounds[column], found[column][k - 1][0])
        for column, square in enumerate(squares):
            if square < _SHORT or k < 1:
                yield self._order.tolist()
                continue
            last = bounds[column] * (1 + 2.0**-16)
            close = [at for far, at in found[column] if far - 2 * slack / float(self._roots[at]) <= last]
            yield sorted(self._short.union(self._order[close].tolist()))

    def _promising(self, block: slice, points: "_Points", bounds: "NDArray[np.float32]") -> "NDArray[np.int64]":
        """Rows of a block that may be near enough to some point: 1 - cosine at most √stake times its bound."""
        roots, squares, slack = self._roots[block], self._squares[block], _slack(points.dimension)
        width = points.enough(1 - float(roots[0]) * float(bounds.max()))
        if width == points.dimension:
            return np.arange(len(roots))
        # How much too near each is, times its length, as one product: three columns more for what is no coordinate.
        part = np.empty((len(roots), width + 3), np.float32)
        for first, stop, columns in self._columns:
            part[:, first : min(stop, width)] = columns[block, : max(0, width - first)]
        lengths = np.sqrt(squares)
        beyond = np.sqrt(np.maximum(0, 1 - np.vecdot(part[:, :width], part[:, :width]) / squares) + slack)
        part[:, width:] = np.stack([lengths * beyond, lengths * roots, lengths], axis=1)
        rest = np.stack([points.beyond(width), bounds, np.full(len(bounds), 8 * slack - 1, np.float32)], axis=1)
        too_near = part @ np.concatenate([points.units[:, :width], rest], axis=1).T
        return np.flatnonzero(np.any(too_near > 0, axis=1))


class _Points:
    """Points as vectors of length 1, and how long each is beyond some of its coordinates."""

    def __init__(self, units: "NDArray[np.float64]") -> None:
        self.dimension = units.shape[1]
        self.units = units.astype(np.float32)
        self._widths = np.unique(np.arange(1, _STEPS + 1) * self.dimension // _STEPS).clip(min=1)
        within = np.cumsum(units * units, axis=1)[:, self._widths - 1]
        self._beyond = np.sqrt(np.maximum(0, 1 - within)).astype(np.float32)
        guess = self._beyond.max(axis=0) ** 2 + _DEVIATIONS * np.sqrt(self._widths) / self.dimension
        self._guess = np.minimum.accumulate(guess)[::-1]

    def beyond(self, width: int) -> "NDArray[np.float32]":
        """How long each point is beyond its first `width` coordinates."""
        return self._beyond[:, np.searchsorted(self._widths, width)]

    def enough(self, needed: float) -> int:
        """How many coordinates should rule out most encoders whose cosine must be `needed`: decides about speed alone.

        Guessed as if encoders were as long beyond them as points are, and pointed anywhere.
        """
        place = len(self._guess) - int(np.searchsorted(self._guess, needed))
        return int(self._widths[place]) if place < len(self._widths) else self.dimension


def _slack(dimension: int) -> float:
    """By how much a cosine of float32 may differ from the integer one, both rounded: twice what a sum can lose."""
    return float((dimension + 8) * 2.0**-23 + 2.0**-14)
