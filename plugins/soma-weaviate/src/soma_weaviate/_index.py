"""One collection without a vectoriser: objects with a vector, an id and labels.

As https://docs.weaviate.io describes ``/v1/schema``, ``/v1/batch/objects``, ``/v1/objects`` and ``/v1/graphql``.
"""

import errno
import json
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit, IndexStats, Label, Labels
from soma_core.vectors import OneOpening, checked_batch, checked_ids, checked_queries, kept_name, measured_recall

from . import WeaviateConfig
from ._server import Server

TOGETHER: Final = 256
"""Objects of one request."""
DESCRIPTION: Final = re.compile(r"soma index, dim ([0-9]{1,5})")
"""Of a collection of ours: the server itself does not say how long its vectors are."""


class WeaviateIndex:
    """Feature ``approximate``.

    The objects' properties: ``key``, the id in hexadecimal; ``told``, the labels as JSON; ``labels``, a text for each
    label, which filters ask for.
    """

    def __init__(self, config: WeaviateConfig, directory: Path) -> None:
        if config.collection and not re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,99}", config.collection):
            raise ValueError(f"index.weaviate.collection: {config.collection!r:.80} is no capital, letters and digits")
        self._server = Server(config.url, config.api_key, config.timeout)
        self._lock = OneOpening(directory)
        try:
            self._name = config.collection or kept_name(directory)
            self._dim = self._settled()
        except BaseException:
            self.close()
            raise

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these, one part after the other. After an `OSError`, adding them again is right, whatever was kept."""
        batch = checked_batch(ids, vectors, labels, self._dim)
        if not len(batch):
            return
        if not self._dim:
            self._make(batch.vectors.shape[1])
        for i in range(0, len(batch), TOGETHER):
            part = slice(i, i + TOGETHER)
            objects = [
                {
                    "class": self._name,
                    "id": _uuid(id_),
                    "vector": vector.tolist(),
                    "properties": {"key": id_.hex(), "told": _json(dict(some)), "labels": _texts(some)},
                }
                for id_, vector, some in zip(batch.ids[part], batch.vectors[part], batch.labels[part], strict=True)
            ]
            for told in self._server.ask("POST", "/v1/batch/objects", {"objects": objects}) or []:
                result = told.get("result") or {}
                if result.get("status") == "FAILED" or result.get("errors"):
                    raise OSError(errno.EPROTO, f"Weaviate kept not all: {_json(result)[:150]}", self._server.url)

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these; how many were there."""
        gone = 0
        for id_ in dict.fromkeys(checked_ids(ids)):
            path = f"/v1/objects/{self._name}/{_uuid(id_)}"
            if self._dim and self._server.ask("GET", path, missing=True) is not None:
                self._server.ask("DELETE", path, missing=True)
                gone += 1
        return gone

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, as far as the server's graph finds them."""
        scaled, wanted = checked_queries(queries, k, where, self._dim)
        if not self._dim:
            return [[] for _ in scaled]
        condition = ""
        if wanted:
            condition = f', where: {{path: ["labels"], operator: ContainsAll, valueText: {_json(_texts(wanted))}}}'
        return [self._found(query, k, condition) for query in scaled]

    def __len__(self) -> int:
        if not self._dim:
            return 0
        answer = self._graphql(f"{{ Aggregate {{ {self._name} {{ meta {{ count }} }} }} }}")
        return int(answer["Aggregate"][self._name][0]["meta"]["count"])

    def stats(self) -> IndexStats:
        """Recall as `measured_recall` has it, over all vectors, read from the server."""
        ids, rows = [], []
        for one in self._objects():
            ids.append(bytes.fromhex(one["properties"]["key"]))
            rows.append(one["vector"])
        vectors = np.array(rows, np.float32).reshape(len(ids), self._dim)
        recall, sampled = measured_recall(ids, vectors, self.search)
        return IndexStats(
            count=len(ids), dim=self._dim, recall=recall, sampled=sampled, about=f"Weaviate at {self._server.url}"
        )

    def close(self) -> None:
        """Close the connection and let the index be opened again."""
        self._server.close()
        self._lock.release()

    def _found(self, query: NDArray[np.float32], k: int, condition: str) -> list[Hit]:
        asked = f"nearVector: {{vector: {_json(query.tolist())}}}, limit: {k}{condition}"
        answer = self._graphql(f"{{ Get {{ {self._name}({asked}) {{ key told _additional {{ distance }} }} }} }}")
        hits = [
            Hit(
                bytes.fromhex(one["key"]),
                min(1.0, max(-1.0, 1.0 - float(one["_additional"]["distance"]))),
                json.loads(one["told"]),
            )
            for one in answer["Get"][self._name]
        ]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.id))

    def _graphql(self, query: str) -> Any:
        answer = self._server.ask("POST", "/v1/graphql", {"query": query})
        if not isinstance(answer, dict) or answer.get("errors") or not answer.get("data"):
            raise OSError(errno.EPROTO, f"Weaviate refused a query: {_json(answer)[:150]}", self._server.url)
        return answer["data"]

    def _objects(self) -> Iterator[Any]:
        """All objects with their vectors, in the order of the server's ids."""
        after = ""
        while self._dim:
            path = f"/v1/objects?class={self._name}&limit={TOGETHER}&include=vector&after={after}"
            some = self._server.ask("GET", path)["objects"]
            yield from some
            if len(some) < TOGETHER:
                return
            after = some[-1]["id"]

    def _settled(self) -> int:
        """The length of vectors, 0 if there is no collection."""
        found = self._server.ask("GET", f"/v1/schema/{self._name}", missing=True)
        if found is None:
            return 0
        ours = DESCRIPTION.fullmatch(found.get("description") or "")
        if ours is None:
            raise OSError(errno.EINVAL, f"the collection {self._name} is not Soma's; name another", self._server.url)
        return int(ours[1])

    def _make(self, dim: int) -> None:
        text = {"dataType": ["text"], "tokenization": "field", "indexSearchable": False}
        properties = [
            text | {"name": "key", "indexFilterable": False},
            text | {"name": "told", "indexFilterable": False},
            text | {"name": "labels", "dataType": ["text[]"], "indexFilterable": True},
        ]
        self._server.ask(
            "POST",
            "/v1/schema",
            {
                "class": self._name,
                "description": f"soma index, dim {dim}",
                "vectorizer": "none",
                "vectorIndexType": "hnsw",
                "vectorIndexConfig": {"distance": "cosine"},
                "properties": properties,
            },
        )
        self._dim = dim


def _texts(labels: Labels) -> list[str]:
    """One text a label, in which a number and its digits differ."""
    return [f"{name}={_kind(value)}:{value}" for name, value in labels.items()]


def _kind(value: Label) -> str:
    return "i" if isinstance(value, int) else "s"


def _json(value: Any) -> str:
    """As GraphQL reads it too: what is not ASCII stays as it is, for it takes no pairs of surrogates."""
    return json.dumps(value, ensure_ascii=False)


def _uuid(id_: bytes) -> str:
    """What Weaviate calls an object: 128 bits of a digest, since its ids are UUIDs."""
    return str(UUID(bytes=blake2b(id_, digest_size=16).digest()))
