"""The graph beside the vectors: saved, used again, made anew, and never the truth."""

import logging
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soma_core.api import Context, Hit, Index
from soma_core.testing.index_machine import clustered, names
from soma_faiss import FaissConfig, open_index
from soma_faiss._graph import Graph

COUNT = 2000
DIM = 16


def opened(directory: Path, **settings: Any) -> Index:
    log = logging.getLogger("soma.index-faiss")
    return open_index(FaissConfig(**settings), Context("index-faiss", directory, log))


def filled(directory: Path, **settings: Any) -> list[list[Hit]]:
    with closing(opened(directory, **settings)) as index:
        index.add(names(COUNT), clustered(COUNT, DIM, 1), [{"n": n % 100, "even": n % 2} for n in range(COUNT)])
        return index.search(clustered(20, DIM, 2), 10)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows there were each time a graph was built."""
    found: list[int] = []
    real = Graph.build.__func__  # type: ignore[attr-defined]

    def build(cls: type[Graph], config: FaissConfig, store: Any) -> Graph:
        found.append(len(store.ids))
        graph: Graph = real(cls, config, store)
        return graph

    monkeypatch.setattr(Graph, "build", classmethod(build))
    return found


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_graph_is_saved_and_grows_at_the_next_opening(tmp_path: Path, builds: list[int], kind: str) -> None:
    before = filled(tmp_path, kind=kind)
    with closing(opened(tmp_path, kind=kind)) as index:
        assert index.search(clustered(20, DIM, 2), 10) == before
        index.add([b"new"], clustered(1, DIM, 9))
        assert index.search(clustered(1, DIM, 9), 1)[0][0].id == b"new"
    with closing(opened(tmp_path, kind=kind)) as index:
        assert index.search(clustered(1, DIM, 9), 1)[0][0].id == b"new"
    assert builds == [COUNT]


def test_graph_of_a_killed_process_is_used_as_far_as_it_goes(tmp_path: Path, builds: list[int]) -> None:
    filled(tmp_path)
    code = (
        "import sys, os, logging, pathlib; from soma_faiss import FaissConfig, open_index;"
        "from soma_core.api import Context; from soma_core.testing.index_machine import clustered;"
        "it = open_index(FaissConfig(), Context('x', pathlib.Path(sys.argv[1]), logging.getLogger()));"
        "it.add([b'new'], clustered(1, 16, 9)); it.remove([b'000000']); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False, env={**os.environ}
    )
    assert done.returncode == -9
    with closing(opened(tmp_path)) as index:
        assert len(index) == COUNT
        assert index.search(clustered(1, DIM, 9), 1)[0][0].id == b"new"
        first = index.search(clustered(COUNT, DIM, 1)[:1], 10)[0]
        assert b"000000" not in {hit.id for hit in first}
    assert builds == [COUNT]


@pytest.mark.parametrize("place", [0, 20, 40, 80, 5000])
def test_damaged_graph_is_built_anew(
    tmp_path: Path, builds: list[int], place: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = filled(tmp_path)
    file = tmp_path / "graph.faiss"
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with closing(opened(tmp_path)) as index:
        found = index.search(clustered(20, DIM, 2), 10)
    near = sum(len({hit.id for hit in a} & {hit.id for hit in b}) for a, b in zip(found, before, strict=True))
    assert near > 190
    assert builds == [COUNT, COUNT]
    assert [record.getMessage() for record in caplog.records] == [f"{file}: damaged; it is built anew from the vectors"]
    assert file.read_bytes() != data, "the next opening finds a good one"


def test_graph_of_other_settings_or_vectors_is_not_used(tmp_path: Path, builds: list[int]) -> None:
    filled(tmp_path)
    for settings, built in (({"ef_search": 64}, 0), ({"m": 8}, 1), ({"m": 8}, 0), ({"kind": "ivf"}, 1), ({}, 1)):
        builds.clear()
        with closing(opened(tmp_path, **settings)) as index:
            index.search(clustered(1, DIM, 2), 10)
        assert len(builds) == built, settings
    (tmp_path / "other").mkdir()
    with closing(opened(tmp_path / "other")) as index:
        index.add(names(COUNT), clustered(COUNT, DIM, 5))
    (tmp_path / "other" / "graph.faiss").write_bytes((tmp_path / "graph.faiss").read_bytes())
    builds.clear()
    with closing(opened(tmp_path / "other")) as index:
        assert index.search(clustered(COUNT, DIM, 5)[7:8], 1)[0][0].id == b"000007"
    assert builds == [COUNT]


def test_few_vectors_need_no_graph(tmp_path: Path, builds: list[int]) -> None:
    with closing(opened(tmp_path)) as index:
        index.add(names(900), clustered(900, DIM, 1))
        index.search(clustered(5, DIM, 2), 10)
    assert builds == []
    assert not (tmp_path / "graph.faiss").exists()


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_narrow_filter_misses_nothing_and_a_wide_one_keeps_to_it(tmp_path: Path, kind: str) -> None:
    filled(tmp_path, kind=kind)
    vectors, queries = clustered(COUNT, DIM, 1), clustered(20, DIM, 2)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with closing(opened(tmp_path, kind=kind)) as index:
        for query, hits in zip(queries, index.search(queries, 5, {"n": 7}), strict=True):
            wanted = 7 + 100 * np.argsort(-(units[7::100] @ query), kind="stable")[:5]
            assert [int(hit.id) for hit in hits] == wanted.tolist()
        for hits in index.search(queries, 5, {"even": 1}):
            assert len(hits) == 5
            assert {int(hit.id) % 2 for hit in hits} == {1}
        assert index.search(queries, 5, {"n": 100}) == [[]] * 20


def test_rows_that_are_numbered_anew_get_a_new_graph(tmp_path: Path, builds: list[int]) -> None:
    filled(tmp_path)
    with closing(opened(tmp_path)) as index:
        index.remove(names(COUNT)[500:1500])
        index.add([b"new"], clustered(1, DIM, 9))
        assert index.search(clustered(1, DIM, 9), 1)[0][0].id == b"new"
        hits = index.search(clustered(COUNT, DIM, 1)[1990:1991], 3)[0]
        assert hits[0].id == b"001990"
        assert len(index) == 1001
    with closing(opened(tmp_path)) as index:
        assert index.search(clustered(COUNT, DIM, 1)[1990:1991], 3)[0] == hits
    assert builds == [COUNT, 1001]


def test_lists_are_laid_out_anew_when_there_is_far_more(tmp_path: Path, builds: list[int]) -> None:
    with closing(opened(tmp_path, kind="ivf")) as index:
        for turn in range(6):
            some = [b"%d-%d" % (turn, n) for n in range(1200)]
            index.add(some, clustered(1200, DIM, turn))
            index.search(clustered(1, DIM, 9), 1)
    assert builds == [1200, 4800]


def test_graph_that_cannot_be_saved_costs_only_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Graph, "save", fail)
    before = filled(tmp_path)
    assert "the next opening builds it" in caplog.text
    with closing(opened(tmp_path)) as index:
        assert len(index) == COUNT
        found = index.search(clustered(20, DIM, 2), 10)
        assert [hits[0] for hits in found] == [hits[0] for hits in before]


def test_recall_is_measured_and_falls_with_the_effort(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((COUNT, 64)).astype(np.float32)
    with closing(opened(tmp_path, m=4)) as index:
        index.add(names(COUNT), vectors)
    told = {}
    for effort in (8, 1024):
        with closing(opened(tmp_path, m=4, ef_search=effort)) as index:
            told[effort] = index.stats()
    assert told[8].recall < told[1024].recall - 0.1
    assert told[1024].recall > 0.95
    assert {stats.sampled for stats in told.values()} == {200}
