"""``nox -s indexes``: every index side by side, on the same vectors; writes ``specs/results/indexes.json``.

Recall: of the 10 nearest of queries that are not in the index, drawn as the vectors were, the share that is found; a
scan in float64 says which they are. Beside it what the index itself states. Indexes take turns at being timed, with
the bare product of NumPy, one query at a time and 64 at once. Building: adding in parts of 2,000, and a first search.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import results
from benchmarks.harness import interleaved
from benchmarks.indexes import NEAREST, bare, isotropic, timed
from numpy.typing import NDArray

from soma_core.api import Context, Index
from soma_core.testing.component import component
from soma_core.vectors import nearest

SEED: Final = 2026
DIM: Final = 128
QUERIES: Final = 512
TURNS: Final = 5
ADDED: Final = 2000
"""Vectors of one call."""
CENTRES: Final = 200
SPREAD: Final = 0.3
"""Of a cluster, in each component, where centres have 1."""
EQUAL: Final = 1e-6
"""Cosines that differ by less are equally near: some indexes compute in float32."""

Settings = Mapping[str, object]
INDEXES: Final[Mapping[str, tuple[str, Settings]]] = {
    "index-exact": ("index-exact", {}),
    "index-faiss, hnsw": ("index-faiss", {}),
    "index-faiss, ivf": ("index-faiss", {"kind": "ivf"}),
    "index-chroma": ("index-chroma", {}),
    "index-sqlite-vec": ("index-sqlite-vec", {}),
    "index-qdrant, in this process": ("index-qdrant", {}),
}
"""Row of the table → plugin and settings. Servers are not here: none is at hand."""

PACKAGES: Final = ("numpy", "faiss-cpu", "chromadb", "sqlite-vec", "apsw", "qdrant-client")
BARE: Final = "NumPy's product and argpartition"

Floats = NDArray[np.float32]


def clustered(random: np.random.Generator, count: int) -> Floats:
    """Directions around `CENTRES` centres, which are drawn first."""
    centres = random.standard_normal((CENTRES, DIM))
    rows = centres[random.integers(CENTRES, size=count)] + SPREAD * random.standard_normal((count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def drawn(kind: str, seed: int, count: int) -> tuple[Floats, Floats]:
    """Vectors and queries."""
    random = np.random.default_rng(seed)
    rows = clustered(random, count + QUERIES) if kind == "clustered" else isotropic(random, count + QUERIES, DIM)
    return rows[:count], rows[count:]


def built(index: Index, vectors: Floats) -> float:
    """Seconds until all vectors are in and the first search is answered."""
    start = time.perf_counter()
    for first in range(0, len(vectors), ADDED):
        part = vectors[first : first + ADDED]
        index.add([b"%d" % row for row in range(first, first + len(part))], part)
    index.search(vectors[:1], NEAREST)
    return time.perf_counter() - start


def recall_of(index: Index, vectors: Floats, queries: Floats) -> float:
    found = 0
    for query, hits, (_, cosines) in zip(
        queries, index.search(queries, NEAREST), nearest(vectors, queries, NEAREST), strict=True
    ):
        least = cosines[NEAREST - 1] - EQUAL
        found += sum(bool(vectors[int(hit.id)].astype(np.float64) @ query >= least) for hit in hits)
    return found / (NEAREST * len(queries))


def table(kind: str, seed: int, count: int, directory: Path) -> Iterator[dict[str, Any]]:
    vectors, queries = drawn(kind, seed, count)
    with ExitStack() as stack:
        indexes: dict[str, Index] = {}
        told: dict[str, dict[str, Any]] = {}
        for place, (name, (plugin, settings)) in enumerate(INDEXES.items()):
            chosen = component(plugin, settings)
            own = directory / f"{kind}-{place}"
            own.mkdir(mode=0o700)
            index = chosen.spec.open(chosen.config, Context(plugin, own, logging.getLogger("soma.bench")))
            indexes[name] = stack.enter_context(closing(index))
            seconds = built(index, vectors)
            stats = index.stats()
            told[name] = {
                "vectors": kind,
                "index": name,
                "features": sorted(chosen.spec.features),
                "recall": round(recall_of(index, vectors, queries), 4),
                "recall_stated": round(stats.recall, 4),
                "sampled": stats.sampled,
                "build_seconds": round(seconds, 2),
                "about": stats.about,
            }
            print(kind, name, told[name], flush=True)
        one = {
            name: (lambda index=index: timed(lambda: [index.search(query[None], NEAREST) for query in queries[:64]]))
            for name, index in indexes.items()
        }
        together = {
            name: (lambda index=index: timed(lambda: index.search(queries[:64], NEAREST)))
            for name, index in indexes.items()
        }
        one[BARE] = lambda: timed(lambda: [bare(vectors, query[None]) for query in queries[:64]])
        together[BARE] = lambda: timed(lambda: bare(vectors, queries[:64]))
        told[BARE] = {"vectors": kind, "index": BARE}
        singly, batched = interleaved(one, TURNS), interleaved(together, TURNS)
        for name, row in told.items():
            yield row | {
                "queries_per_second": round(64 * singly.median(name), 1),
                "queries_per_second_64_at_once": round(64 * batched.median(name), 1),
            }


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s indexes --", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="vectors of each index")
    count = parser.parse_args().count
    before, start = os.getloadavg(), time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        rows = [row for kind in ("clustered", "isotropic") for row in table(kind, SEED, count, Path(directory))]
    for row in rows:
        shown = (row.get("recall", "exact"), row["queries_per_second"], row["queries_per_second_64_at_once"])
        print(f"{row['vectors']:10} {row['index']:34} {shown[0]:>8} {shown[1]:>10,.1f} {shown[2]:>10,.1f}")
    results.write(
        "indexes",
        "recall of the 10 nearest and queries per second of every index beside exact search; medians of turns",
        SEED,
        count=count,
        dim=DIM,
        queries=QUERIES,
        turns=TURNS,
        versions={name: version(name) for name in PACKAGES},
        threads=os.environ.get("OMP_NUM_THREADS", "all"),
        load_before=before,
        seconds=round(time.monotonic() - start),
        rows=rows,
    )


if __name__ == "__main__":
    main()
