"""What is sent to a Weaviate, and what is made of its answers. No live server: the README says so."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from documented_weaviate import Weaviate, weaviate

from soma_core.api import Context, Index
from soma_core.testing import Component, IndexSuite
from soma_core.testing.component import component
from soma_core.testing.index_machine import floats, names
from soma_weaviate import WeaviateConfig, open_index


@pytest.fixture
def server() -> Iterator[Weaviate]:
    with weaviate() as server:
        yield server


def opened(directory: Path, url: str, **settings: Any) -> Index:
    return open_index(WeaviateConfig(url, **settings), Context("index-weaviate", directory, logging.getLogger("t")))


def test_collection_is_made_as_documented(server: Weaviate, tmp_path: Path) -> None:
    with closing(opened(tmp_path, server.url, collection="Mine", api_key="secret")) as index:
        assert (len(index), index.search(floats([[1, 0]]), 3)) == (0, [[]])
        index.add([b"x"], floats([[0, 3]]), [{"n": 1, "t": 'say "é"'}])
    asked, (made, kept) = server.requests[1], (request.body for request in server.requests[1:3])
    assert (asked.target, asked.headers["Authorization"], asked.headers["Content-Type"]) == (
        "/v1/schema",
        "Bearer secret",
        "application/json",
    )
    assert (made["class"], made["vectorizer"], made["vectorIndexConfig"]) == ("Mine", "none", {"distance": "cosine"})
    labels = made["properties"][2]
    assert (labels["dataType"], labels["tokenization"], labels["indexFilterable"]) == (["text[]"], "field", True)
    (one,) = kept["objects"]
    assert (one["class"], one["vector"]) == ("Mine", [0.0, 1.0])
    assert one["properties"] == {
        "key": "78",
        "told": '{"n": 1, "t": "say \\"é\\""}',
        "labels": ["n=i:1", 't=s:say "é"'],
    }


def test_what_was_added_is_found_filtered_replaced_and_removed(server: Weaviate, tmp_path: Path) -> None:
    with closing(opened(tmp_path, server.url)) as index:
        index.add(
            [b"x", b"y", b"\x00z"], floats([[1, 0], [0, 1], [1, 1]]), [{"n": 1}, {"n": "1"}, {"n": 1, "t": 'é\\"'}]
        )
        assert len(index) == 3
        (found,) = index.search(floats([[1, 0.1]]), 9)
        assert [hit.id for hit in found] == [b"x", b"\x00z", b"y"]
        assert found[1].labels == {"n": 1, "t": 'é\\"'}
        assert [hit.id for hit in index.search(floats([[0, 1]]), 9, {"n": 1, "t": 'é\\"'})[0]] == [b"\x00z"]
        assert [hit.id for hit in index.search(floats([[0, 1]]), 9, {"n": "1"})[0]] == [b"y"]
        index.add([b"x"], floats([[0, 1]]), [{}])
        assert [hit.id for hit in index.search(floats([[0, 1]]), 1)[0]] == [b"x"]
        assert index.remove([b"x", b"none"]) == 1
        assert len(index) == 2


def test_it_is_there_at_the_next_opening_and_for_this_directory_alone(server: Weaviate, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    with closing(opened(tmp_path / "here", server.url)) as index:
        index.add([b"x"], floats([[1, 0]]))
    with (
        closing(opened(tmp_path / "here", server.url)) as index,
        closing(opened(tmp_path / "there", server.url)) as other,
    ):
        assert (len(index), len(other)) == (1, 0)
        with pytest.raises(ValueError, match="3 components"):
            index.add([b"y"], floats([[1, 0, 0]]))


class TestAgainstWhatIsDocumented(IndexSuite):
    """Our half of the contract: every rule of an index, if the server does what its documents say."""

    plugin = "index-weaviate"
    many = 300

    @pytest.fixture
    def chosen(self, server: Weaviate) -> Component:
        return component(self.plugin, {"url": server.url})


def test_recall_is_measured_over_all_pages(server: Weaviate, tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((300, 8)).astype(np.float32)
    with closing(opened(tmp_path, server.url)) as index:
        index.add(names(300), vectors)
        told = index.stats()
    assert (told.count, told.dim, told.recall, told.sampled) == (300, 8, 1.0, 200)


def test_collection_of_somebody_else_is_left_alone(server: Weaviate, tmp_path: Path) -> None:
    server.classes["Theirs"] = {"class": "Theirs", "description": "articles"}
    with pytest.raises(OSError, match="Theirs is not Soma's"):
        opened(tmp_path, server.url, collection="Theirs")
    assert [request.method for request in server.requests] == ["GET"]


def test_server_that_is_down_is_one_line_and_nothing_is_lost(server: Weaviate, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"\A[^\n]*no Weaviate answers \([^\n]*refused[^\n]*\Z"):
        opened(tmp_path, "http://127.0.0.1:9")
    with closing(opened(tmp_path, server.url)) as index:  # the failed opening let the directory go
        index.add([b"x"], floats([[1, 0]]))
        server.refuse = 503, {"error": [{"message": "shutting\ndown"}]}
        with pytest.raises(OSError, match=r"\A[^\n]*status 503: [^\n]*shutting[^\n]*\Z"):
            index.add([b"y"], floats([[1, 0]]))
        with pytest.raises(OSError, match="status 503"):
            index.search(floats([[1, 0]]), 1)
        server.refuse = None
        assert [hit.id for hit in index.search(floats([[1, 0]]), 9)[0]] == [b"x"]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([{"result": {"status": "FAILED", "errors": {"error": [{"message": "disk"}]}}}], "kept not all"),
        ({"errors": [{"message": "Syntax Error"}]}, "refused a query"),
        (b"<html>", "not JSON"),
    ],
)
def test_answer_that_says_no_is_an_error(server: Weaviate, tmp_path: Path, told: Any, said: str) -> None:
    with closing(opened(tmp_path, server.url)) as index:
        index.add([b"x"], floats([[1, 0]]))
        server.refuse = 200, told
        with pytest.raises(OSError, match=said):
            index.search(floats([[1, 0]]), 1) if said != "kept not all" else index.add([b"y"], floats([[1, 0]]))


@pytest.mark.parametrize(
    ("settings", "said"), [({"collection": "small"}, "capital"), ({"collection": "A b"}, "capital")]
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        opened(tmp_path, "http://127.0.0.1:9", **settings)
    with pytest.raises(ValueError, match="no http"):
        opened(tmp_path, "ftp://127.0.0.1")


def test_it_says_what_it_is() -> None:
    found = component("index-weaviate")
    assert found.spec.features == {"approximate"}
    assert "not tested on a live server" in found.module.soma_index.__doc__, "`soma plugins info` shows this"
