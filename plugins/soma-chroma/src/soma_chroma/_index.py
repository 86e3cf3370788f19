"""One collection. Chroma is told nothing about models, so that it never fetches one, and reports to nobody."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import chromadb
import numpy as np
from chromadb.config import Settings
from chromadb.errors import NotFoundError
from numpy.typing import NDArray

from soma_core.api import Hit, IndexStats, Labels
from soma_core.errors import CorruptionError
from soma_core.vectors import OneOpening, checked_batch, checked_ids, checked_queries, measured_recall

from . import ChromaConfig

FOLDER: Final = "chroma"
NAME: Final = "vectors"
TOGETHER: Final = 4096
"""Vectors that are read at once, and ids that are asked for."""


class ChromaIndex:
    """Features ``durable`` and ``approximate``. Ids are kept in hexadecimal; there is no collection before a vector."""

    def __init__(self, config: ChromaConfig, directory: Path) -> None:
        self._config, self._path = config, directory / FOLDER
        with self._clear_errors(), ExitStack() as opened:
            opened.callback(OneOpening(directory).release)
            settings = Settings(anonymized_telemetry=False, allow_reset=False)
            self._client = chromadb.PersistentClient(str(self._path), settings)
            opened.callback(self._client.close)
            self._together = min(TOGETHER, self._client.get_max_batch_size())
            try:
                self._collection: Any = self._client.get_collection(NAME, embedding_function=None)
                self._dim = int(self._collection.metadata["dim"])
                self._collection.count()
            except NotFoundError:
                self._collection, self._dim = None, 0
            self._opened = opened.pop_all()

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these. On disk when this returns; more than Chroma takes at once are kept one part after the other."""
        batch = checked_batch(ids, vectors, labels, self._dim)
        if not len(batch):
            return
        names = [id_.hex() for id_ in batch.ids]
        with self._clear_errors():
            if self._collection is None:
                self._make(batch.vectors.shape[1])
            for i in range(0, len(names), self._together):
                part = slice(i, i + self._together)
                there = self._collection.get(ids=names[part], include=["metadatas"])
                had = dict(zip(there["ids"], there["metadatas"], strict=True))
                # What a name is not set to again would stay: None takes it away.
                told = [
                    dict.fromkeys(had.get(name) or ()) | dict(some)
                    for name, some in zip(names[part], batch.labels[part], strict=True)
                ]
                self._collection.upsert(
                    ids=names[part], embeddings=batch.vectors[part], metadatas=[some or None for some in told]
                )

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these; how many were there."""
        names = list(dict.fromkeys(id_.hex() for id_ in checked_ids(ids)))
        gone = 0
        with self._clear_errors():
            for i in range(0, len(names) if self._collection is not None else 0, self._together):
                there = self._collection.get(ids=names[i : i + self._together], include=[])["ids"]
                if there:
                    self._collection.delete(ids=there)
                gone += len(there)
        return gone

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, as far as Chroma's graph finds them."""
        scaled, wanted = checked_queries(queries, k, where, self._dim)
        if not len(scaled) or not len(self):
            return [[] for _ in scaled]
        asked: list[Any] = [{name: {"$eq": value}} for name, value in wanted.items()]
        with self._clear_errors():
            found = self._collection.query(
                query_embeddings=scaled,
                n_results=min(k, self._collection.count()),
                where=None if not asked else asked[0] if len(asked) == 1 else {"$and": asked},
                include=["metadatas", "distances"],
            )
        return [
            sorted(
                (
                    Hit(bytes.fromhex(name), min(1.0, max(-1.0, 1.0 - distance)), dict(some or {}))
                    for name, distance, some in zip(names, distances, labels, strict=True)
                ),
                key=lambda hit: (-hit.similarity, hit.id),
            )
            for names, distances, labels in zip(found["ids"], found["distances"], found["metadatas"], strict=True)
        ]

    def __len__(self) -> int:
        if self._collection is None:
            return 0
        with self._clear_errors():
            return int(self._collection.count())

    def stats(self) -> IndexStats:
        """Recall as `measured_recall` has it, over all vectors, read from Chroma."""
        ids: list[bytes] = []
        parts = [np.zeros((0, self._dim), np.float32)]
        with self._clear_errors():
            for offset in range(0, len(self), self._together):
                some = self._collection.get(limit=self._together, offset=offset, include=["embeddings"])
                ids += map(bytes.fromhex, some["ids"])
                parts.append(np.asarray(some["embeddings"], np.float32))
        recall, sampled = measured_recall(ids, np.concatenate(parts), self.search)
        about = f"Chroma {chromadb.__version__}, in this process"
        return IndexStats(count=len(ids), dim=self._dim, recall=recall, sampled=sampled, about=about)

    def close(self) -> None:
        """Let Chroma close its files, and the index be opened again."""
        with self._clear_errors():
            self._opened.close()

    def _make(self, dim: int) -> None:
        graph: Any = {
            "space": "cosine",
            "max_neighbors": self._config.neighbours,
            "ef_construction": self._config.ef_construction,
            "ef_search": self._config.ef_search,
        }
        self._collection = self._client.create_collection(
            NAME, configuration={"hnsw": graph}, metadata={"dim": dim}, embedding_function=None
        )
        self._dim = dim

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """What Chroma raises, as an error of one line."""
        try:
            yield
        except (OSError, CorruptionError, NotFoundError):
            raise
        except Exception as error:
            what = " ".join(str(error).split())[:150] or type(error).__name__
            raise CorruptionError(
                f"{self._path}: Chroma cannot go on: {what}", "restore a copy of the folder, or move it away"
            ) from error
