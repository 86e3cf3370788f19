"""Skip-gram with negative sampling: tokens foretell their neighbours, against tokens drawn by unigram^¾.

Mikolov and others, 2013. A batch shares its negatives, so that a step is three products of matrices; rows move by
AdaGrad with one step size a row.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEGATIVES: Final = 64
"""Drawn for a batch; together they count as `PER_PAIR` each pair."""
PER_PAIR: Final = 5
BATCH: Final = 4096
POWER: Final = 0.75
RATE: Final = 0.05

Matrix = NDArray[np.float32]


class SkipGram:
    """Vectors of tokens and of contexts [V, dim], which it moves."""

    def __init__(self, vectors: Matrix, counts: NDArray[np.int64], rng: np.random.Generator) -> None:
        self.vectors = vectors.copy()
        self.contexts = vectors.copy()
        self._moved = [np.full(len(vectors), 1e-2, np.float32), np.full(len(vectors), 1e-2, np.float32)]
        chances = counts.astype(np.float64) ** POWER
        self._drawn = np.cumsum(chances / chances.sum())
        self._rng = rng
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._held = 0
        self.loss = 0.0
        """A running mean, in nats a pair."""

    def add(self, sequence: NDArray[np.int64], window: int, rate: float) -> None:
        """Learn from a run of tokens: each with neighbours up to a distance drawn from 1 to `window`."""
        reach = self._rng.integers(1, window + 1, len(sequence))
        for distance in range(1, min(window, len(sequence) - 1) + 1):
            near = reach[:-distance] >= distance
            one, other = sequence[:-distance][near], sequence[distance:][near]
            self._waiting += [(one, other), (other, one)]
            self._held += 2 * len(one)
        if self._held >= 64 * BATCH:
            self.flush(rate)

    def flush(self, rate: float) -> None:
        """Learn from what waits, in an order drawn at random."""
        if not self._held:
            return
        one, other = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        self._waiting, self._held = [], 0
        order = self._rng.permutation(len(one))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            self._step(one[chosen], other[chosen], rate)

    def _step(self, one: NDArray[np.int64], other: NDArray[np.int64], rate: float) -> None:
        drawn = np.minimum(np.searchsorted(self._drawn, self._rng.random(NEGATIVES)), len(self._drawn) - 1)
        u, c, n = self.vectors[one], self.contexts[other], self.contexts[drawn]
        near, far = np.einsum("ij,ij->i", u, c), u @ n.T
        share = np.float32(PER_PAIR / NEGATIVES)
        pull, push = _sigmoid(-near), np.asarray(-_sigmoid(far) * share, np.float32)
        cost = float(np.logaddexp(0, -near).mean() + np.logaddexp(0, far).mean() * PER_PAIR)
        self.loss += (0.01 if self.loss else 1.0) * (cost - self.loss)
        self._move(0, self.vectors, one, pull[:, None] * c + push @ n, rate)
        by = np.concatenate([pull[:, None] * u, push.T @ u])
        self._move(1, self.contexts, np.concatenate([other, drawn]), by, rate)

    def _move(self, which: int, table: Matrix, rows: NDArray[np.int64], by: Matrix, rate: float) -> None:
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        first = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
        summed, rows = np.add.reduceat(by[order], first, axis=0), rows[first]
        self._moved[which][rows] += np.square(summed).mean(1)
        table[rows] += np.float32(rate) * summed / np.sqrt(self._moved[which][rows])[:, None]


def _sigmoid(x: Matrix) -> Matrix:
    one = np.float32(1)
    return np.asarray(one / (one + np.exp(-np.clip(x, -30, 30))), np.float32)
