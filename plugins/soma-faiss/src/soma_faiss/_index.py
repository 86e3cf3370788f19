"""A store, and a graph over it that is made when it is first asked for."""

from collections.abc import Sequence
from logging import Logger
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit, IndexStats, Labels
from soma_core.vectors import Store, checked_batch, checked_ids, checked_queries, measured_recall, nearest

from . import FaissConfig
from ._graph import Graph

NARROW: Final = 10
"""A filter that leaves a part this small of all is answered by looking at all of it: a graph would lose its way."""


class FaissIndex:
    """Features ``durable`` and ``approximate``."""

    def __init__(self, config: FaissConfig, directory: Path, log: Logger) -> None:
        self._config, self._log = config, log
        self._file = directory / "graph.faiss"
        self._store = Store(directory)
        self._renewed = 0
        self._graph: Graph | None = None
        self._saved = 0
        try:
            self._graph = Graph.load(self._file, config, self._store)
        except (OSError, ValueError) as error:
            log.warning("%s: %s; it is built anew from the vectors", self._file, error)
        except BaseException:
            self._store.close()
            raise
        if self._graph is not None:
            self._saved = self._graph.rows

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these. On disk when this returns; the next search puts them in the graph."""
        self._store.add(checked_batch(ids, vectors, labels, self._store.dim))

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these; how many were there."""
        return self._store.remove(checked_ids(ids))

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, as far as the graph finds them."""
        store = self._store
        scaled, wanted = checked_queries(queries, k, where, store.dim)
        rows = store.rows_with(wanted) if wanted else None
        within = len(store) if rows is None else len(rows)
        if within <= max(k, self._config.scan_below, 0 if rows is None else len(store) // NARROW):
            return store.scan(scaled, k, wanted)
        allowed = None
        if rows is not None or len(store.dead):
            allowed = np.zeros(len(store.ids), bool)
            allowed[store.living if rows is None else rows] = True
        answers = []
        for query, some in zip(scaled, self._current().search(scaled, k, allowed), strict=True):
            ((found, cosines),) = nearest(store.vectors, query[None], k, np.unique(some[some >= 0]))
            answers.append(store.hits(found, cosines, k))
        return answers

    def __len__(self) -> int:
        return len(self._store)

    def stats(self) -> IndexStats:
        """Recall as `measured_recall` has it."""
        store = self._store
        ids, living = store.ids, store.living
        recall, sampled = measured_recall([ids[row] for row in living], store.vectors[living], self.search)
        how = {"hnsw": f"graph, {self._config.m} neighbours", "ivf": f"lists, {self._config.probes} looked into"}
        about = f"FAISS, {how[self._config.kind]}; {store.size:,} bytes of vectors on disk"
        return IndexStats(count=len(store), dim=store.dim, recall=recall, sampled=sampled, about=about)

    def close(self) -> None:
        """Save the graph if it grew, and let the index be opened again."""
        try:
            if self._graph is not None and self._graph.rows > self._saved and self._renewed == self._store.renewed:
                self._graph.save(self._file, self._store)
        except OSError as error:
            self._log.warning("%s: %s; the next opening builds it", self._file, error)
        finally:
            self._store.close()

    def _current(self) -> Graph:
        store = self._store
        if self._graph is None or self._renewed != store.renewed or not self._graph.fits(store):
            self._graph = Graph.build(self._config, store)
            self._renewed, self._saved = store.renewed, 0
        self._graph.grow(store)
        return self._graph
