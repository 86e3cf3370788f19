"""What is Qdrant's own: one opening, its files, and what is asked of a server. No live server: the README says so."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from soma_core.api import Context, Index
from soma_core.testing.index_machine import floats
from soma_core.testing.loopback import Request, serving
from soma_qdrant import QdrantConfig, open_index
from soma_qdrant._index import _uuid

MADE: dict[str, Any] = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "points_count": 1,
    "indexed_vectors_count": 0,
    "config": {
        "params": {"vectors": {"size": 2, "distance": "Cosine"}},
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    },
    "payload_schema": {},
}


class Documented:
    """A server that answers as Qdrant's documentation says, of a collection of one point; keeps what it is asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.made = False
        self.collection = MADE
        self.url = ""

    def reply(self, request: Request) -> tuple[int, Any]:
        self.requests.append(request)
        result = self.answer(request.method, urlsplit(request.target).path)
        told = {"result": result, "status": "ok"} if result is not None else {"status": {"error": "Not\nfound"}}
        return 200 if result is not None else 404, told | {"time": 0.0}

    def answer(self, method: str, path: str) -> Any:
        point = {"id": _uuid(b"x"), "version": 1, "payload": {"id": "78", "labels": {"n": 1}}}
        match method, path.split("/")[1:]:
            case "GET", ["collections", _, "exists"]:
                return {"exists": self.made}
            case "GET", ["collections", _]:
                return self.collection
            case "PUT", ["collections", _]:
                self.made = True
                return True
            case ("PUT", ["collections", _, "points"]) | ("POST", ["collections", _, "points", "delete"]):
                return {"operation_id": 1, "status": "completed"}
            case "POST", ["collections", _, "points"]:
                return [point]
            case "POST", ["collections", _, "points", "count"]:
                return {"count": 1}
            case "POST", ["collections", _, "points", "query", "batch"]:
                return [{"points": [point | {"score": 0.75}]}]
        return None


@contextmanager
def served() -> Iterator[Documented]:
    state = Documented()
    with serving(state.reply) as state.url:
        yield state


def opened(directory: Path, **settings: Any) -> Index:
    return open_index(QdrantConfig(**settings), Context("index-qdrant", directory, logging.getLogger("t")))


def test_second_opening_is_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"x"], floats([[1, 0]]))
        with pytest.raises(OSError, match="already open"):
            opened(tmp_path)
        assert len(index) == 1


def test_what_a_server_is_asked(tmp_path: Path) -> None:
    with served() as server, closing(opened(tmp_path, url=server.url, collection="mine")) as index:
        assert (len(index), index.search(floats([[1, 0]]), 3)) == (0, [[]])
        index.add([b"x"], floats([[0, 3]]), [{"n": 1}])
        assert index.search(floats([[0, 1]]), 3, {"n": 1, "t": "é"})[0] == [(b"x", 0.75, {"n": 1})]
        assert (len(index), index.remove([b"x", b"none"])) == (1, 1)
        asked = [(request.method, request.target, request.body) for request in server.requests]
    assert asked[0][:2] == ("GET", "/collections/mine/exists")
    assert asked[1][:2] == ("PUT", "/collections/mine")
    assert asked[1][2]["vectors"] == {"size": 2, "distance": "Cosine"}
    assert asked[2][:2] == ("PUT", "/collections/mine/points?wait=true")
    point = {"id": _uuid(b"x"), "vector": [0.0, 1.0], "payload": {"id": "78", "labels": {"n": 1}}}
    assert asked[2][2] == {"points": [point]}
    assert asked[3][:2] == ("POST", "/collections/mine/points/query/batch")
    (query,) = asked[3][2]["searches"]
    assert (query["query"], query["limit"], query["with_payload"]) == ({"nearest": [0.0, 1.0]}, 3, True)
    assert query["filter"]["must"] == [
        {"key": "labels.n", "match": {"value": 1}},
        {"key": "labels.t", "match": {"value": "é"}},
    ]
    assert asked[4][:2] == ("POST", "/collections/mine/points/count")
    assert asked[6][:2] == ("POST", "/collections/mine/points/delete?wait=true")
    assert asked[6][2] == {"points": [_uuid(b"x")]}


def test_directories_share_no_collection_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with served() as server:
        for name in ("here", "there", "here"):
            opened(tmp_path / name, url=server.url).close()
        first, other, again = (request.target for request in server.requests)
    assert first == again != other


def test_server_that_is_down_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\A[^\n]*no Qdrant answers \([^\n]*refused[^\n]*is it running\?[^\n]*\Z"):
        opened(tmp_path, url="http://127.0.0.1:9")
    with served() as server:
        opened(tmp_path, url=server.url).close()  # the failed opening let the directory go


def test_collection_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    with served() as server:
        server.made = True
        vectors = {"size": 2, "distance": "Dot"}
        server.collection = MADE | {"config": MADE["config"] | {"params": {"vectors": vectors}}}
        with pytest.raises(OSError, match=r"\A[^\n]*collection theirs is not Soma's; name another[^\n]*\Z"):
            opened(tmp_path, url=server.url, collection="theirs")
        assert {request.method for request in server.requests} == {"GET"}


def test_server_that_refuses_is_one_line(tmp_path: Path) -> None:
    with served() as server, closing(opened(tmp_path, url=server.url)) as index:
        index.add([b"x"], floats([[1, 0]]))
        server.answer = lambda *_: None  # type: ignore[method-assign]
        with pytest.raises(OSError, match=r"\A[^\n]*Qdrant refused: [^\n]*404[^\n]*\Z"):
            index.add([b"y"], floats([[1, 0]]))
