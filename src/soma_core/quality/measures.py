"""What is measured: functions of vectors, and of nothing else. Rules EQ8 to EQ16 of ``specs/61-report.md``.

Vectors are tables [N, D], a row an item, of any float type; everything is computed in float64.
"""

import lzma
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import ArrayLike, NDArray

from soma_core.model import Regulariser, directions, normal, sample_statistic, unit

NEIGHBOURS: Final = 5
FOLDS: Final = 5
NEAR: Final = 10
"""Places at the top among which an answer counts as found."""
DICTIONARY_LEAST: Final = 4096
"""Of xz."""
NGRAMS: Final = (2, 3, 4)
NGRAM_DIM: Final = 2048

Matrix = NDArray[np.float64]

_ALIKE: Final = 1e-12
"""Variance, as a part of the mean square, under which vectors are all the same: float32 tells nothing smaller apart."""


@frozen
class Xz:
    """Bits per byte that `xz -9e` needs. `each`: for the items one by one. `joined`: for all of them as one file."""

    each: float
    joined: float


def xz(items: Sequence[bytes]) -> Xz:
    """As the program writes them, headers and checksums included. At least one byte."""
    size = sum(map(len, items))
    return Xz(8 * sum(map(_xz_size, items)) / size, 8 * _xz_size(b"".join(items)) / size)


@frozen
class Retrieval:
    """Shares of queries whose own answer is the nearest, or among the nearest ten; the mean of 1 / its place."""

    first: float
    ten: float
    reciprocal: float


def retrieval(queries: ArrayLike, answers: ArrayLike) -> Retrieval:
    """How well row i of `queries` finds row i of `answers`, by cosine. Half of what is equally near comes first."""
    found = unit(_table(queries)) @ unit(_table(answers)).T
    own = found.diagonal()[:, None]
    places = 0.5 + (found > own).sum(1) + (found == own).sum(1) / 2
    return Retrieval(float(np.mean(places <= 1)), float(np.mean(places <= NEAR)), float(np.mean(1 / places)))


def knn_accuracy(vectors: ArrayLike, labels: ArrayLike, k: int = NEIGHBOURS, folds: int = FOLDS) -> float:
    """Share of items whose label most of the `k` nearest have, by Euclidean distance, among items of other folds.

    Folds are runs of items, as they stand. Of labels with as many votes the smallest wins.
    """
    x, of = _table(vectors), np.asarray(labels)
    fold = np.arange(len(x)) * folds // max(1, len(x))
    distances = _distances(x)
    distances[fold[:, None] == fold[None, :]] = np.inf
    nearest = of[np.argsort(distances, axis=1, kind="stable")[:, :k]]
    votes = np.stack([(nearest == label).sum(1) for label in np.unique(of)], axis=1)
    return float(np.mean(np.unique(of)[votes.argmax(1)] == of))


def pair_cosines(ones: ArrayLike, others: ArrayLike) -> tuple[Matrix, Matrix]:
    """Cosines of the pairs (row i of each), [N], and of all that are no pair, [N · (N − 1)]."""
    found = unit(_table(ones)) @ unit(_table(others)).T
    return found.diagonal().copy(), found[~np.eye(len(found), dtype=bool)]


def auc(higher: ArrayLike, lower: ArrayLike) -> float:
    """The chance that a number of `higher` is above one of `lower`; equal ones count half."""
    high, low = np.asarray(higher, np.float64), np.sort(np.asarray(lower, np.float64))
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / 2 / len(low))


def neighbour_overlap(one: ArrayLike, other: ArrayLike, k: int = NEIGHBOURS) -> float:
    """The mean part of an item's `k` nearest by cosine that both tables [N, D], [N, E] name. By chance k / (N − 1)."""
    a, b = _nearest(one, k), _nearest(other, k)
    return float(np.mean([len(np.intersect1d(x, y)) / a.shape[1] for x, y in zip(a, b, strict=True)]))


@frozen(eq=False)
class Isotropy:
    """How evenly vectors are spread. `cosine`: mean over pairs. `first`: share of variance of the first component.

    `rank`: the effective rank, exp of the entropy of the `spectrum` (shares of variance, falling). `rank_share`: that,
    divided by the largest possible, the dimension or one less than the vectors.
    """

    items: int
    cosine: float
    rank: float
    rank_share: float
    first: float
    spectrum: Matrix


def isotropy(vectors: ArrayLike) -> Isotropy:
    """Of two vectors and more. Vectors that are all the same have rank 1."""
    x = _table(vectors)
    n, dim = x.shape
    total = np.square(unit(x).sum(0)).sum()
    most = min(dim, n - 1)
    values = np.linalg.svd(x - x.mean(0), compute_uv=False)[:most] ** 2
    same = values.sum() <= _ALIKE * np.square(x).sum()
    spectrum = np.eye(1, most)[0] if same else values / values.sum()
    some = spectrum[spectrum > 0]
    rank = float(np.exp(-(some * np.log(some)).sum()))
    return Isotropy(n, float((total - n) / (n * (n - 1))), rank, rank / most, float(spectrum[0]), spectrum)


@frozen
class Collapse:
    """`statistic`: LeJEPA's, of the vectors. `normal`: of as many standard normal ones, through the same directions."""

    statistic: float
    normal: float

    @property
    def times(self) -> float:
        """How many times that of a normal cloud."""
        return self.statistic / self.normal


def collapse(vectors: ArrayLike, seed: int = 0) -> Collapse:
    """The sample statistic (rule M29 of ``specs/20-model.md``) of vectors whose mean square is first made 1."""
    x = _table(vectors)
    n, dim = x.shape
    rule = Regulariser()
    noise = directions(seed, dim, rule.slices)
    cloud = normal(seed + 1, n * dim).reshape(n, dim)
    return Collapse(
        sample_statistic(x / np.sqrt(np.square(x).mean()), noise, rule), sample_statistic(cloud, noise, rule)
    )


def ngrams(items: Sequence[bytes]) -> Matrix:
    """What needs no model: ln(1 + how often) an item has runs of 2, 3, 4 bytes, hashed to 2048 numbers, [N, 2048]."""
    out = np.zeros((len(items), NGRAM_DIM))
    for place, item in enumerate(items):
        data = np.frombuffer(item, np.uint8).astype(np.uint64)
        for n in NGRAMS:
            if len(data) >= n:
                runs = np.full(len(data) - n + 1, n, np.uint64)
                for at in range(n):
                    runs = runs << np.uint64(8) | data[at : len(data) - n + 1 + at]
                # The top 11 bits of a product with 2^64 over the golden ratio: Fibonacci hashing.
                out[place] += np.bincount((runs * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(53), minlength=NGRAM_DIM)
    return np.log1p(out)


def _xz_size(data: bytes) -> int:
    """With a dictionary as long as the data: the result is as long, and the preset's would clear 64 MiB each time."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": max(DICTIONARY_LEAST, len(data))}
    return len(lzma.compress(data, filters=[best]))


def _nearest(vectors: ArrayLike, k: int) -> NDArray[Any]:
    x = unit(_table(vectors))
    near = x @ x.T
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1, kind="stable")[:, : min(k, len(x) - 1)]


def _distances(x: Matrix) -> Matrix:
    squares = np.square(x).sum(1)
    out: Matrix = squares[:, None] + squares[None, :] - 2 * x @ x.T
    return out


def _table(vectors: ArrayLike) -> Matrix:
    return np.asarray(vectors, np.float64)
