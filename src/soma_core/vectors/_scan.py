"""The nearest of a query by looking at every vector: a matrix product, then a choice that sorts almost nothing.

Products are taken in float32, as fast as NumPy's own. What may be among the k nearest, by the bound on their rounding,
is then computed again in float64, always in the same order: what is found, and in which order, depends neither on the
BLAS nor on where a vector stands. Rules IX5 to IX7 of ``specs/83-indexes.md``.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 1 << 17
"""Vectors that are looked at together."""
PRODUCTS: Final = 1 << 23
"""Similarities that are held at once: 32 MiB."""
GROUPS: Final = 1 << 10
"""Groups of similarities of which only the largest is sorted, at least."""
ULP: Final = 2.0**-24
"""Relative rounding error of float32."""


def nearest(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.intp] | None = None,
    hidden: NDArray[np.intp] | None = None,
) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Of each query, float32 [m, dim], the rows of the `k` nearest `vectors`, float32 [n, dim], and their cosines.

    All vectors have length 1. Best first; of those as near as the last one, all are given, also beyond k. Only `rows`
    (ascending) are looked at, if given, else all but the `hidden`. Cosines lie within −1 and 1.
    """
    count = len(vectors) if rows is None else len(rows)
    slack = np.float32(2 * vectors.shape[1] * ULP)
    found: list[list[NDArray[np.intp]]] = [[] for _ in queries]
    for start in range(0, count, ROWS):
        stop = min(start + ROWS, count)
        part = vectors[start:stop] if rows is None else vectors[rows[start:stop]]
        gone = None
        if rows is None and hidden is not None:
            gone = hidden[np.searchsorted(hidden, start) : np.searchsorted(hidden, stop)] - start
        step = max(1, PRODUCTS // len(part))
        for first in range(0, len(queries), step):
            products = queries[first : first + step] @ part.T
            if gone is not None and len(gone):
                products[:, gone] = -2.0
            for place, row in enumerate(products, first):
                some = _candidates(row, k, slack)
                found[place].append(start + some if rows is None else rows[start + some])
    return [
        _ordered(vectors, query, np.concatenate(some) if some else np.zeros(0, np.intp), k)
        for query, some in zip(queries, found, strict=True)
    ]


def _candidates(products: NDArray[np.float32], k: int, slack: np.float32) -> NDArray[np.intp]:
    """Places of all that may be among the `k` largest once `slack` is allowed for."""
    least = np.float32(-1.5)  # above what is hidden, below every cosine
    if len(products) > k:
        groups = max(GROUPS, 4 * k)
        if len(products) >= 4 * groups:
            # The k groups with the largest tops have k members, at least, that are no smaller than the k-th top.
            width = len(products) // groups
            tops = products[: width * groups].reshape(width, groups).max(axis=0)
        else:
            tops = products
        least = max(least, np.partition(tops, len(tops) - k)[len(tops) - k] - slack)
    return np.flatnonzero(products >= least)


def _ordered(
    vectors: NDArray[np.float32], query: NDArray[np.float32], rows: NDArray[np.intp], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """`rows` whose vectors are the `k` nearest, and those as near as the last of them; best first."""
    # A sum along each row: equal vectors have equal sums, wherever they stand. A product of matrices does not say so.
    wide = query.astype(np.float64)
    parts = [(vectors[rows[i : i + ROWS // 16]] * wide).sum(axis=1) for i in range(0, len(rows), ROWS // 16)]
    cosines = np.clip(np.concatenate(parts) if parts else np.zeros(0), -1.0, 1.0)
    if len(rows) > k:
        kept = cosines >= np.partition(cosines, len(rows) - k)[len(rows) - k]
        rows, cosines = rows[kept], cosines[kept]
    order = np.argsort(-cosines, kind="stable")
    return rows[order], cosines[order]
