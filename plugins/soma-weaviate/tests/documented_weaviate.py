"""A server on loopback that answers requests as Weaviate's documentation says, and keeps them to look at.

It holds objects by their ids, and finds the nearest by a scan. What the documents leave open it does not decide.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from soma_core.testing.loopback import Request, serving

NEAR = re.compile(
    r"\{ Get \{ (\w+)\(nearVector: \{vector: (\[.*?\])\}, limit: (\d+)"
    r"(?:, where: \{path: \[\"labels\"\], operator: ContainsAll, valueText: (\[.*\])\})?\)"
    r" \{ key told _additional \{ distance \} \} \} \}"
)
COUNT = re.compile(r"\{ Aggregate \{ (\w+) \{ meta \{ count \} \} \} \}")


class Weaviate:
    """Its state: collections by name, their objects by id, and every request."""

    def __init__(self) -> None:
        self.classes: dict[str, Any] = {}
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[Request] = []
        self.refuse: tuple[int, Any] | None = None
        self.url = ""

    def answer(self, request: Request) -> tuple[int, Any]:
        self.requests.append(request)
        if self.refuse is not None:
            return self.refuse
        parts, body = urlsplit(request.target), request.body
        path, asked = parts.path.split("/")[2:], parse_qs(parts.query)
        match request.method, path:
            case "GET", ["schema", name]:
                return (200, self.classes[name]) if name in self.classes else (404, None)
            case "POST", ["schema"]:
                self.classes[body["class"]] = body
                self.objects[body["class"]] = {}
                return 200, body
            case "POST", ["batch", "objects"]:
                for one in body["objects"]:
                    self.objects[one["class"]][one["id"]] = one
                return 200, [one | {"result": {"status": "SUCCESS"}} for one in body["objects"]]
            case "GET", ["objects", name, id_]:
                return (200, self.objects[name][id_]) if id_ in self.objects[name] else (404, None)
            case "DELETE", ["objects", name, id_]:
                return (204, None) if self.objects[name].pop(id_, None) else (404, None)
            case "GET", ["objects"]:
                (name,), (limit,) = asked["class"], asked["limit"]
                after = asked.get("after", [""])[0]
                some = sorted(id_ for id_ in self.objects[name] if id_ > after)
                return 200, {"objects": [self.objects[name][id_] for id_ in some[: int(limit)]]}
            case "POST", ["graphql"]:
                return 200, self.query(body["query"])
        return 405, {"error": [{"message": f"{request.method} {request.target}"}]}

    def query(self, query: str) -> Any:
        if counted := COUNT.fullmatch(query):
            return {"data": {"Aggregate": {counted[1]: [{"meta": {"count": len(self.objects[counted[1]])}}]}}}
        asked = NEAR.fullmatch(query)
        if asked is None:
            return {"errors": [{"message": "Syntax Error GraphQL"}]}
        name, vector, limit, labels = asked.groups()
        wanted = set(json.loads(labels or "[]"))
        some = [one for one in self.objects[name].values() if wanted <= set(one["properties"]["labels"])]
        near = np.array([one["vector"] for one in some]).reshape(len(some), -1) @ json.loads(vector) if some else []
        told = [
            one["properties"] | {"_additional": {"distance": 1 - float(cosine)}}
            for one, cosine in zip(some, near, strict=True)
        ]
        told.sort(key=lambda one: one["_additional"]["distance"])
        return {"data": {"Get": {name: told[: int(limit)]}}}


@contextmanager
def weaviate() -> Iterator[Weaviate]:
    """One that listens, until it is left."""
    state = Weaviate()
    with serving(state.answer) as state.url:
        yield state
