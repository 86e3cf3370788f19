"""How often tokens stand near each other: sparse counts by pair, in bounded memory; and their pointwise information."""

from itertools import pairwise
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ._counts import added, fewer

PAIRS_MOST: Final = 1 << 24
"""Pairs that are counted at a time."""
SMOOTHING: Final = 0.75
"""Power of a context's count: rare contexts say less than they seem to."""
LEAST: Final = 2
"""Times a pair must be seen: what stood together once says nothing."""
_WAITING: Final = 1 << 23


@frozen(eq=False)
class Sparse:
    """A square matrix by rows. `starts`: [V + 1], of each row in `columns` and `values`, float32."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: NDArray[np.float32]

    def times(self, dense: NDArray[np.float32]) -> NDArray[np.float32]:
        """The product with [V, k], row by row: a gather and a product of matrices each."""
        out = np.zeros((len(self.starts) - 1, dense.shape[1]), np.float32)
        starts = self.starts.tolist()
        for row, (start, stop) in enumerate(pairwise(starts)):
            if stop > start:
                out[row] = self.values[start:stop] @ dense[self.columns[start:stop]]
        return out


class Neighbours:
    """How often two tokens stand within `window` of each other. A pair has no direction.

    Where there are more than `most`, those with the smallest counts are forgotten. `short`: by how much a count may be
    too low, at most.
    """

    def __init__(self, size: int, window: int, most: int = PAIRS_MOST) -> None:
        self._size, self._window, self._most = size, window, most
        self._keys, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._waiting: list[NDArray[np.uint64]] = []
        self._held = 0
        self.short = 0

    def add(self, sequence: NDArray[np.int64]) -> None:
        """Count the pairs of a run of tokens, by place in the vocabulary."""
        for distance in range(1, min(self._window, len(sequence) - 1) + 1):
            one, other = sequence[:-distance], sequence[distance:]
            keys = np.minimum(one, other) * self._size + np.maximum(one, other)
            self._waiting.append(keys.astype(np.uint64))
            self._held += len(keys)
        if self._held >= _WAITING:
            self._merge()

    def information(self, shift: float) -> Sparse:
        """Positive pointwise mutual information less ln(shift).

        max(0, ln(n(a, b) · Σ n(c)^¾ / (n(a) · n(b)^¾)) − ln(shift)), made symmetric by the mean of both directions.
        """
        self._merge()
        said = self._counts >= LEAST
        keys, counts = self._keys[said], self._counts[said].astype(np.float64)
        one = (keys // np.uint64(self._size)).astype(np.int64)
        other = (keys % np.uint64(self._size)).astype(np.int64)
        apart = one != other
        often = np.bincount(one, counts, self._size) + np.bincount(other[apart], counts[apart], self._size)
        smoothed = often**SMOOTHING
        scaled = np.log(counts * (smoothed.sum() / shift))
        there = np.maximum(scaled - np.log(often[one] * smoothed[other]), 0)
        back = np.maximum(scaled - np.log(often[other] * smoothed[one]), 0)
        found = (there + back) / 2
        kept = found > 0
        one, other, values = one[kept], other[kept], found[kept].astype(np.float32)
        apart = one != other
        rows = np.concatenate([one, other[apart]])
        columns = np.concatenate([other, one[apart]])
        both = np.concatenate([values, values[apart]])
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=self._size))])
        return Sparse(starts, columns[order], both[order])

    def _merge(self) -> None:
        fresh, often = np.unique(np.concatenate([np.empty(0, np.uint64), *self._waiting]), return_counts=True)
        self._waiting, self._held = [], 0
        self._keys, self._counts = added(self._keys, self._counts, fresh, often)
        self._keys, self._counts, least = fewer(self._keys, self._counts, self._most)
        self.short += least
