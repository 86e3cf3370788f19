"""Searches of ``index-exact`` against bare NumPy: the same product, and `argpartition` for what is nearest, unordered.

100,000 vectors of 128 components, the 10 nearest of one query and of 64 at once. Ours also orders them, computes what
may be among them again in float64, and names them.
"""

import logging
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.harness import Row, interleaved
from numpy.typing import NDArray

from soma_core.api import Context, NoConfig
from soma_exact import open_index

COUNT: Final = 100_000
DIM: Final = 128
NEAREST: Final = 10
BATCHES: Final = (1, 64)
REPEATS: Final = 25
SLOWEST: Final = 1.2
"""Times what bare NumPy takes, at most."""


def isotropic(random: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Directions that nothing prefers, float32 [count, dim]."""
    rows = random.standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def bare(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.intp]:
    """The places of the nearest of each query, in no order."""
    return np.argpartition(queries @ vectors.T, len(vectors) - NEAREST, axis=1)[:, -NEAREST:]


def timed(work: Callable[[], object]) -> float:
    """Calls a second."""
    start = time.perf_counter()
    work()
    return 1 / (time.perf_counter() - start)


def rows(seed: int) -> list[Row]:
    random = np.random.default_rng(seed)
    vectors = isotropic(random, COUNT, DIM)
    found = []
    with tempfile.TemporaryDirectory() as directory:
        context = Context("index-exact", Path(directory), logging.getLogger("soma.bench"))
        with closing(open_index(NoConfig(), context)) as index:
            index.add([b"%d" % row for row in range(COUNT)], vectors)
            for batch in BATCHES:
                queries = isotropic(random, batch, DIM)
                for hits, nearest in zip(index.search(queries, NEAREST), bare(vectors, queries), strict=True):
                    assert {int(hit.id) for hit in hits} == set(nearest.tolist())
                taken = interleaved(
                    {
                        "ours": lambda queries=queries: timed(lambda: index.search(queries, NEAREST)),
                        "bare": lambda queries=queries: timed(lambda: bare(vectors, queries)),
                    },
                    REPEATS,
                )
                ratio, low, high = taken.ratio("ours", "bare")
                found.append(
                    Row(
                        what=f"index: {NEAREST} nearest of {COUNT:,} x {DIM}, {batch} at once",
                        measured=f"index-exact, {batch * taken.median('ours'):,.0f} queries/s",
                        against=f"NumPy's product and argpartition, {batch * taken.median('bare'):,.0f} queries/s",
                        ratio=ratio,
                        low=low,
                        high=high,
                        repeats=REPEATS,
                        least=1 / SLOWEST,
                    )
                )
    return found
