"""One collection, whose points have an id and labels as payload."""

import errno
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from soma_core.api import Hit, IndexStats, Labels
from soma_core.errors import CorruptionError
from soma_core.vectors import OneOpening, checked_batch, checked_ids, checked_queries, kept_name, measured_recall

from . import QdrantConfig

FOLDER: Final = "qdrant"
TOGETHER: Final = 512
"""Vectors of one request."""


class QdrantIndex:
    """Features ``durable`` and ``approximate``: in this process every vector is looked at, a server has a graph."""

    def __init__(self, config: QdrantConfig, directory: Path) -> None:
        self._where = config.url or str(directory / FOLDER)
        self._served = bool(config.url)
        with self._clear_errors(), ExitStack() as opened:
            opened.callback(OneOpening(directory).release)
            self._name = config.collection or (kept_name(directory) if config.url else "vectors")
            self._client = _connected(config) if config.url else QdrantClient(path=self._where)
            opened.callback(self._client.close)
            self._dim = self._settled()
            self._opened = opened.pop_all()

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these. On disk when this returns; many are kept one part after the other."""
        batch = checked_batch(ids, vectors, labels, self._dim)
        if not len(batch):
            return
        with self._clear_errors():
            if not self._dim:
                self._make(batch.vectors.shape[1])
            for i in range(0, len(batch), TOGETHER):
                part = slice(i, i + TOGETHER)
                points = [
                    models.PointStruct(
                        id=_uuid(id_), vector=vector.tolist(), payload={"id": id_.hex(), "labels": dict(some)}
                    )
                    for id_, vector, some in zip(batch.ids[part], batch.vectors[part], batch.labels[part], strict=True)
                ]
                self._client.upsert(self._name, points, wait=True)

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these; how many were there."""
        names = [_uuid(id_) for id_ in dict.fromkeys(checked_ids(ids))]
        gone = 0
        with self._clear_errors():
            for i in range(0, len(names) if self._dim else 0, TOGETHER):
                some = names[i : i + TOGETHER]
                there = self._client.retrieve(self._name, some, with_payload=False)
                if there:
                    self._client.delete(self._name, models.PointIdsList(points=[one.id for one in there]), wait=True)
                gone += len(there)
        return gone

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, as far as Qdrant finds them."""
        scaled, wanted = checked_queries(queries, k, where, self._dim)
        if not len(scaled) or not self._dim:
            return [[] for _ in scaled]
        conditions: list[Any] = [
            models.FieldCondition(key=f"labels.{name}", match=models.MatchValue(value=value))
            for name, value in wanted.items()
        ]
        requests = [
            models.QueryRequest(
                query=query.tolist(),
                limit=k,
                filter=models.Filter(must=conditions) if conditions else None,
                with_payload=True,
            )
            for query in scaled
        ]
        with self._clear_errors():
            answers = self._client.query_batch_points(self._name, requests)
        return [
            sorted(
                (
                    Hit(bytes.fromhex(point.payload["id"]), min(1.0, max(-1.0, point.score)), point.payload["labels"])
                    for point in answer.points
                    if point.payload is not None
                ),
                key=lambda hit: (-hit.similarity, hit.id),
            )
            for answer in answers
        ]

    def __len__(self) -> int:
        if not self._dim:
            return 0
        with self._clear_errors():
            return int(self._client.count(self._name, exact=True).count)

    def stats(self) -> IndexStats:
        """Recall as `measured_recall` has it, over all vectors, read from Qdrant."""
        ids, rows = [], []
        place = None
        with self._clear_errors():
            while self._dim:
                points, place = self._client.scroll(self._name, limit=TOGETHER, offset=place, with_vectors=True)
                ids += [bytes.fromhex(point.payload["id"]) for point in points if point.payload is not None]
                rows += [point.vector for point in points]
                if place is None:
                    break
        vectors = np.array(rows, np.float32).reshape(len(ids), self._dim)
        recall, sampled = measured_recall(ids, vectors, self.search)
        about = f"Qdrant at {self._where}" if self._served else "Qdrant in this process; every vector is looked at"
        return IndexStats(count=len(ids), dim=self._dim, recall=recall, sampled=sampled, about=about)

    def close(self) -> None:
        """Let Qdrant close its files or its connection, and the index be opened again."""
        with self._clear_errors():
            self._opened.close()

    def _settled(self) -> int:
        """The length of vectors, 0 if there is no collection."""
        if not self._client.collection_exists(self._name):
            return 0
        params = self._client.get_collection(self._name).config.params.vectors
        if not isinstance(params, models.VectorParams) or params.distance != models.Distance.COSINE:
            raise OSError(errno.EINVAL, f"the collection {self._name} is not Soma's; name another", self._where)
        return int(params.size)

    def _make(self, dim: int) -> None:
        params = models.VectorParams(size=dim, distance=models.Distance.COSINE)
        self._client.create_collection(self._name, vectors_config=params)
        self._dim = dim

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """What Qdrant raises, as an error of one line; its advice to use a server is for who asked for that."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Local mode is not recommended", category=UserWarning)
                yield
        except (OSError, CorruptionError):
            raise
        except ResponseHandlingException as error:
            raise OSError(
                errno.ECONNREFUSED, f"no Qdrant answers ({_line(error)}); is it running? Then do it again", self._where
            ) from error
        except UnexpectedResponse as error:
            raise OSError(errno.EPROTO, f"Qdrant refused: {_line(error)}", self._where) from error
        except Exception as error:
            raise CorruptionError(
                f"{self._where}: Qdrant cannot go on: {_line(error)}", "restore a copy of it, or move it away"
            ) from error


def _connected(config: QdrantConfig) -> QdrantClient:
    return QdrantClient(
        url=config.url, api_key=config.api_key or None, timeout=config.timeout, check_compatibility=False
    )


def _uuid(id_: bytes) -> str:
    """What Qdrant calls a point: 128 bits of a digest, since its ids are numbers or UUIDs."""
    return str(UUID(bytes=blake2b(id_, digest_size=16).digest()))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:150] or type(error).__name__
