"""A store that is scanned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit, IndexStats, Labels
from soma_core.vectors import Store, checked_batch, checked_ids, checked_queries


class ExactIndex:
    """Feature ``durable``."""

    def __init__(self, directory: Path) -> None:
        self._store = Store(directory)

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these. On disk when this returns."""
        self._store.add(checked_batch(ids, vectors, labels, self._store.dim))

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these; how many were there."""
        return self._store.remove(checked_ids(ids))

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, of all there are."""
        scaled, wanted = checked_queries(queries, k, where, self._store.dim)
        return self._store.scan(scaled, k, wanted)

    def __len__(self) -> int:
        return len(self._store)

    def stats(self) -> IndexStats:
        """Recall is 1 by what this is."""
        store = self._store
        about = f"every vector is looked at; {store.size:,} bytes on disk"
        return IndexStats(count=len(store), dim=store.dim, recall=1.0, sampled=0, about=about)

    def close(self) -> None:
        """Close the file and let it be opened again."""
        self._store.close()
