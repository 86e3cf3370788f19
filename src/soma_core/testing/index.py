"""What every index must do. Inherit `IndexSuite` and name the plugin."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest

from soma_core.api import MAX_DIM, MAX_FOUND, MAX_ID, MAX_LABELS, Index, Labels
from soma_core.errors import SomaError

from .component import Component, component
from .index_machine import ONE_LINE, ROUNDING, Opener, clustered, floats, names, scaled, try_any_calls
from .ledger import in_thread
from .suite import Suite

HONEST: Final = 0.05
"""By how much the recall that is stated may be above the one that is found with other queries."""

_KILLED: Final = """
import ast, os, signal, sys
from pathlib import Path
import numpy as np
from soma_core.testing.component import component
from soma_core.testing.index_machine import Opener

name, config, root = ast.literal_eval(sys.argv[1])
with Opener(component(name, config), Path(root)).open("killed") as index:
    index.add([b"a", b"b", b"c"], np.eye(3, dtype=np.float32), [{"n": 1}, {}, {"n": 1}])
    index.add([b"b"], np.array([[1, 1, 0]], np.float32), [{"n": 2}])
    index.remove([b"c"])
    os.kill(os.getpid(), signal.SIGKILL)
"""
"""A process that adds, replaces and removes, and is killed the moment `remove` returns."""


class IndexSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings."""

    capabilities = frozenset({"durable", "approximate"})
    many: ClassVar[int] = 2000
    """Vectors of the largest test, 200 at least. Fewer for an index that syncs each by itself."""

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        return component(self.plugin, self.config)

    @pytest.fixture
    def opener(self, chosen: Component, tmp_path: Path) -> "Opener":
        """Opens the component, each name in a directory of its own."""
        return Opener(chosen, tmp_path)

    @pytest.fixture
    def index(self, opener: "Opener") -> Iterator[Index]:
        """An open, empty index."""
        with opener.open() as index:
            yield index

    def test_new_index_is_empty(self, index: Index) -> None:
        assert len(index) == 0
        assert index.search(floats([[1, 0], [0, 1]]), 3) == [[], []]
        assert index.search(floats([[1, 0]]), 3, {"a": 1}) == [[]]
        assert index.remove([b"a"]) == 0
        told = index.stats()
        assert (told.count, told.dim, told.sampled) == (0, 0, 0)

    def test_what_was_added_is_found(self, index: Index) -> None:
        index.add([b"x", b"y", b"z"], floats([[3, 0, 0], [0, 2, 0], [0, 1, 1]]), [{"n": 1}, {}, {"t": "é"}])
        assert len(index) == 3
        (found,) = index.search(floats([[0, 5, 0.5]]), 2)
        assert [hit.id for hit in found] == [b"y", b"z"]
        assert [hit.labels for hit in found] == [{}, {"t": "é"}]
        assert [hit.similarity for hit in found] == pytest.approx([0.99504, 0.77396], abs=ROUNDING)
        assert type(found[0].id) is bytes

    def test_opposite_is_farthest(self, index: Index) -> None:
        index.add([b"x", b"y", b"z"], floats([[1, 0], [-1, 0], [0, 1]]))
        (found,) = index.search(floats([[1, 0]]), 3)
        assert [hit.id for hit in found] == [b"x", b"z", b"y"]
        assert [hit.similarity for hit in found] == pytest.approx([1, 0, -1], abs=ROUNDING)
        assert all(-1 <= hit.similarity <= 1 for hit in found)

    def test_vector_may_change_after_it_was_added(self, index: Index) -> None:
        vectors, ids, labels = floats([[1, 0], [0, 1]]), [b"x", b"y"], [{"a": 1}, {"a": 2}]
        index.add(ids, vectors, labels)
        vectors[:] = 7
        ids[0], labels[0]["a"] = b"q", 3
        assert index.search(floats([[1, 0]]), 1, {"a": 1})[0][0].id == b"x"

    def test_id_that_is_there_is_replaced(self, index: Index) -> None:
        index.add([b"x", b"y"], floats([[1, 0], [0, 1]]), [{"a": "old"}, {"a": "old"}])
        index.add([b"x"], floats([[0, 2]]), [{"b": 1}])
        assert len(index) == 2
        assert [hit[0::2] for hit in index.search(floats([[0, 1]]), 9)[0]] == [(b"x", {"b": 1}), (b"y", {"a": "old"})]
        assert [hit.id for hit in index.search(floats([[1, 0]]), 9, {"a": "old"})[0]] == [b"y"]
        index.add([b"x"], floats([[1, 0]]))
        assert [hit[0::2] for hit in index.search(floats([[1, 0]]), 1)[0]] == [(b"x", {})]

    def test_of_an_id_that_comes_twice_the_last_counts(self, index: Index) -> None:
        index.add([b"x", b"y", b"x"], floats([[1, 0], [1, 1], [0, 1]]), [{"n": 1}, {"n": 2}, {"n": 3}])
        assert len(index) == 2
        assert [hit[0::2] for hit in index.search(floats([[0, 1]]), 3)[0]] == [(b"x", {"n": 3}), (b"y", {"n": 2})]

    def test_remove_forgets(self, index: Index) -> None:
        index.add([b"x", b"y", b"z"], floats([[1, 0], [0, 1], [1, 1]]), [{"n": 1}] * 3)
        assert index.remove([b"x", b"never", b"x"]) == 1
        assert len(index) == 2
        assert {hit.id for hit in index.search(floats([[1, 0]]), 9)[0]} == {b"y", b"z"}
        assert {hit.id for hit in index.search(floats([[1, 0]]), 9, {"n": 1})[0]} == {b"y", b"z"}
        assert index.remove([]) == 0
        assert index.remove([b"y", b"z"]) == 2
        assert len(index) == 0
        assert index.search(floats([[1, 0]]), 9) == [[]]
        with pytest.raises(ValueError, match=ONE_LINE):  # the length of vectors is settled for good
            index.add([b"x"], floats([[1, 0, 0]]))
        index.add([b"x"], floats([[0, 1]]))
        assert [hit.id for hit in index.search(floats([[1, 0]]), 9)[0]] == [b"x"]

    def test_ids_are_any_bytes(self, index: Index) -> None:
        ids = [b"\x00", b"\x00\x00", b"a", b"a\x00", b"A", b"\xff", b"\xff" * MAX_ID, b"\x80abc", b"0", b"'; --"]
        index.add(ids, clustered(len(ids), 8, 1), [{"n": n} for n in range(len(ids))])
        for n, id_ in enumerate(ids):
            assert [hit.id for hit in index.search(clustered(len(ids), 8, 1)[n : n + 1], 3, {"n": n})[0]] == [id_]
        assert index.remove(ids[::2]) == 5
        assert {hit.id for hit in index.search(floats([[1] * 8]), 99)[0]} == set(ids[1::2])

    def test_equals_come_by_id(self, chosen: Component, index: Index) -> None:
        if "approximate" in chosen.spec.features:
            pytest.skip("is approximate: which of many equals it finds is not said")
        ids = [b"%03d" % (n * 37 % 100) for n in range(100)]
        index.add(ids, floats([[1, 2, 2]] * 100))
        index.add([b"near"], floats([[1, 2, 3]]))
        for k in (1, 7, 99, 100):
            assert [hit.id for hit in index.search(floats([[1, 2, 2]]), k)[0]] == sorted(ids)[:k]
        assert [hit.id for hit in index.search(floats([[1, 2, 2]]), 101)[0]] == [*sorted(ids), b"near"]

    def test_k_may_be_more_than_there_are(self, index: Index) -> None:
        index.add([b"x", b"y"], floats([[1, 0], [0, 1]]))
        assert [hit.id for hit in index.search(floats([[2, 1]]), MAX_FOUND)[0]] == [b"x", b"y"]

    def test_no_queries_no_answers(self, index: Index) -> None:
        index.add([b"x"], floats([[1, 0]]))
        assert index.search(np.zeros((0, 2), np.float32), 3) == []

    def test_nothing_added_settles_nothing(self, index: Index) -> None:
        index.add([], np.zeros((0, 5), np.float32))
        index.add([b"x"], floats([[1, 0]]), [{}])
        assert index.stats().dim == 2

    def test_filter_asks_for_all_of_its_labels(self, index: Index) -> None:
        labels: list[Labels] = [{"a": n % 2, "b": "even" if n % 3 else "odd", "c": str(n)} for n in range(30)]
        vectors = clustered(30, 8, 2)
        index.add(names(30), vectors, labels)
        filters: tuple[Labels, ...] = (
            {"a": 1},
            {"a": 1, "b": "odd"},
            {"c": "7"},
            {"c": 7},
            {"a": "1"},
            {"none": 1},
            {"a": 0, "c": "2"},
        )
        for where in filters:
            wanted = {
                id_
                for id_, some in zip(names(30), labels, strict=True)
                if all(name in some and some[name] == value for name, value in where.items())
            }
            assert {hit.id for hit in index.search(vectors[:1], 99, where)[0]} == wanted, where
        assert len(index.search(vectors[:1], 99, {})[0]) == 30

    def test_labels_may_be_as_many_and_as_long_as_is_said(self, index: Index) -> None:
        labels: dict[str, str | int] = {f"{n:032}": "é" * 256 for n in range(MAX_LABELS - 1)}
        labels["n"] = (1 << 63) - 1
        index.add([b"x", b"y"], floats([[1, 0], [0, 1]]), [labels, {"n": (1 << 63) - 2}])
        assert index.search(floats([[0, 1]]), 9, labels)[0][0].labels == labels
        assert [hit.id for hit in index.search(floats([[0, 1]]), 9, {"n": (1 << 63) - 2})[0]] == [b"y"]

    @pytest.mark.parametrize(
        ("ids", "vectors", "labels"),
        [
            pytest.param([b"new"], floats([[1, 0]]), None, id="narrow"),
            pytest.param([b"new"], floats([[1, 0, 0, 0]]), None, id="wide"),
            pytest.param([b"new"], np.zeros((1, 3)), None, id="float64"),
            pytest.param([b"new"], np.ones((1, 3), np.int32), None, id="integers"),
            pytest.param([b"new"], np.ones(3, np.float32), None, id="one axis"),
            pytest.param([b"new"], [[1.0, 0.0, 0.0]], None, id="a list"),
            pytest.param([b"new", b"x"], floats([[1, 0, 0], [0, np.nan, 1]]), None, id="NaN"),
            pytest.param([b"new", b"x"], floats([[1, 0, 0], [np.inf, 0, 1]]), None, id="infinite"),
            pytest.param([b"new", b"x"], floats([[1, 0, 0], [0, 0, 0]]), None, id="zero"),
            pytest.param([b"new"], floats([[1, 0, 0], [0, 1, 0]]), None, id="fewer ids"),
            pytest.param([b"new", b"x"], floats([[1, 0, 0]]), None, id="more ids"),
            pytest.param([b"new", b""], floats([[1, 0, 0], [0, 1, 0]]), None, id="empty id"),
            pytest.param([b"new", b"a" * 65], floats([[1, 0, 0], [0, 1, 0]]), None, id="long id"),
            pytest.param([b"new", "text"], floats([[1, 0, 0], [0, 1, 0]]), None, id="id of text"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [], id="fewer labels"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"A": 1}], id="capital"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a" * 33: 1}], id="long name"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"": 1}], id="no name"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": 1 << 63}], id="large integer"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": True}], id="truth"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": 1.5}], id="fraction"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": None}], id="none"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": "x" * 257}], id="long value"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": "\ud800"}], id="surrogate"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{"a": "x\0y"}], id="NUL"),
            pytest.param([b"new"], floats([[1, 0, 0]]), [{f"n{n}": n for n in range(17)}], id="many labels"),
            pytest.param([b"new"], floats([[1, 0, 0]]), ["a"], id="labels of text"),
        ],
    )
    def test_what_cannot_be_added_changes_nothing(self, index: Index, ids: Any, vectors: Any, labels: Any) -> None:
        index.add([b"x", b"y"], floats([[1, 0, 0], [0, 1, 0]]), [{"a": 1}, {"a": 2}])
        before = index.search(floats([[1, 1, 1]]), 9)
        with pytest.raises(ValueError, match=ONE_LINE):
            index.add(ids, vectors, labels)
        assert (len(index), index.search(floats([[1, 1, 1]]), 9)) == (2, before)
        assert index.search(floats([[1, 1, 1]]), 9, {"a": 2})[0][0].id == b"y"

    def test_what_cannot_be_added_first_settles_nothing(self, index: Index) -> None:
        for vectors in (floats([[0, 0, 0]]), np.ones((1, MAX_DIM + 1), np.float32), np.zeros((1, 0), np.float32)):
            with pytest.raises(ValueError, match=ONE_LINE):
                index.add([b"x"], vectors)
        index.add([b"x"], floats([[1, 0]]))
        assert (len(index), index.stats().dim) == (1, 2)

    @pytest.mark.parametrize(
        ("queries", "k", "where"),
        [
            pytest.param(floats([[1, 0]]), 1, None, id="narrow"),
            pytest.param(np.ones((1, 3)), 1, None, id="float64"),
            pytest.param(np.ones(3, np.float32), 1, None, id="one axis"),
            pytest.param(floats([[1, 0, 0], [np.nan, 0, 0]]), 1, None, id="NaN"),
            pytest.param(floats([[1, 0, 0], [0, 0, 0]]), 1, None, id="zero"),
            pytest.param(floats([[1, 0, 0]]), 0, None, id="k 0"),
            pytest.param(floats([[1, 0, 0]]), -1, None, id="k below"),
            pytest.param(floats([[1, 0, 0]]), MAX_FOUND + 1, None, id="k beyond"),
            pytest.param(floats([[1, 0, 0]]), True, None, id="k true"),
            pytest.param(floats([[1, 0, 0]]), 1.0, None, id="k fraction"),
            pytest.param(floats([[1, 0, 0]]), 1, {"A": 1}, id="capital"),
            pytest.param(floats([[1, 0, 0]]), 1, {"a": 1.0}, id="fraction"),
        ],
    )
    def test_what_cannot_be_searched_for_is_an_error(self, index: Index, queries: Any, k: Any, where: Any) -> None:
        index.add([b"x"], floats([[1, 0, 0]]))
        with pytest.raises(ValueError, match=ONE_LINE):
            index.search(queries, k, where)

    @pytest.mark.parametrize("ids", [[b"x", b""], [b"x", b"a" * 65], [b"x", "text"]])
    def test_what_cannot_be_removed_removes_nothing(self, index: Index, ids: Any) -> None:
        index.add([b"x"], floats([[1, 0, 0]]))
        with pytest.raises(ValueError, match=ONE_LINE):
            index.remove(ids)
        assert len(index) == 1

    def test_components_may_be_huge_or_tiny(self, index: Index) -> None:
        index.add([b"huge", b"tiny", b"both"], floats([[3e38, 3e38], [0, 1e-45], [1e38, 1e-45]]))
        (found,) = index.search(floats([[1e-45, 0]]), 3)
        assert [hit.id for hit in found] == [b"both", b"huge", b"tiny"]
        assert [hit.similarity for hit in found] == pytest.approx([1, 0.5**0.5, 0], abs=ROUNDING)

    def test_finds_as_much_as_it_says(self, chosen: Component, index: Index) -> None:
        many = self.many
        vectors = clustered(many, 24, 3)
        index.add(names(many), vectors)
        told = index.stats()
        assert (told.count, told.dim) == (many, 24)
        queries = vectors[:100] + 0.1 * np.random.default_rng(4).standard_normal((100, 24)).astype(np.float32)
        cosines = np.stack([scaled(query) for query in queries]) @ np.stack([scaled(vector) for vector in vectors]).T
        least = np.sort(cosines, axis=1)[:, -10] - ROUNDING
        answers = index.search(queries, 10)
        near = [cosines[row, int(hit.id)] >= least[row] for row, answer in enumerate(answers) for hit in answer]
        found, wanted = sum(near), 10 * len(queries)
        if "approximate" in chosen.spec.features:
            assert told.sampled > 0, "an approximate index measures its recall"
            assert 0 < told.recall <= 1
            assert found / wanted >= told.recall - HONEST
        else:
            assert (told.recall, found) == (1.0, wanted)

    def test_answers_stand_alone(self, chosen: Component, index: Index) -> None:
        index.add(names(100), clustered(100, 8, 4))
        queries = clustered(20, 8, 5)
        together = index.search(queries, 5)
        alone = [index.search(query[None], 5)[0] for query in queries]
        if "approximate" not in chosen.spec.features:
            assert [[hit.id for hit in some] for some in together] == [[hit.id for hit in some] for some in alone]
        assert all(len(some) == 5 for some in together + alone)

    def test_two_directories_share_nothing(self, opener: "Opener") -> None:
        with opener.open("here") as here, opener.open("there") as there:
            here.add([b"x"], floats([[1, 0]]))
            there.add([b"y"], floats([[1, 0, 0]]))
            assert [hit.id for hit in here.search(floats([[1, 0]]), 9)[0]] == [b"x"]

    def test_opened_used_and_closed_in_a_thread(self, opener: "Opener") -> None:
        def work() -> list[bytes]:
            with opener.open("thread") as index:
                index.add([b"x"], floats([[1, 0]]))
                return [hit.id for hit in index.search(floats([[1, 0]]), 9)[0]]

        assert in_thread(work) == [b"x"]

    def test_durable_as_declared(self, chosen: Component, opener: "Opener") -> None:
        vectors = clustered(200, 16, 6)
        with opener.open("again") as index:
            index.add(names(200), vectors, [{"n": n % 7} for n in range(200)])
            index.remove(names(200)[::2])
            index.add(names(200)[:10], vectors[10:20], [{"n": 100}] * 10)
            before = index.search(vectors[:5], 10), index.search(vectors[:5], 10, {"n": 100})
        for _ in range(2):
            with opener.open("again") as index:
                after = index.search(vectors[:5], 10), index.search(vectors[:5], 10, {"n": 100})
                if "durable" in chosen.spec.features:
                    assert (len(index), index.stats().dim) == (105, 16)
                    if "approximate" not in chosen.spec.features:
                        assert after == before
                elif "network" not in chosen.spec.needs:
                    assert len(index) == 0, "data outlive close, so declare the feature `durable`"

    def test_durable_needs_no_close(self, chosen: Component, tmp_path: Path) -> None:
        if "durable" not in chosen.spec.features:
            pytest.skip("does not declare `durable`")
        (tmp_path / "killed").mkdir(mode=0o700)
        words = [sys.executable, "-c", _KILLED, repr((self.plugin, dict(self.config), str(tmp_path)))]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with Opener(chosen, tmp_path).open("killed") as index:
            assert len(index) == 2
            (found,) = index.search(floats([[1, 0.5, 0]]), 9)
            assert [hit[0::2] for hit in found] == [(b"b", {"n": 2}), (b"a", {"n": 1})]
            assert index.search(floats([[1, 0, 0]]), 9, {"n": 1})[0][0].id == b"a"

    def test_files_that_are_something_else_are_refused_and_left_alone(
        self, chosen: Component, opener: "Opener", tmp_path: Path
    ) -> None:
        if "durable" not in chosen.spec.features:
            pytest.skip("does not declare `durable`")
        with opener.open("harmed") as index:
            index.add(names(20), clustered(20, 16, 7))
        files = [path for path in sorted((tmp_path / "harmed").rglob("*")) if path.is_file() and path.stat().st_size]
        assert files, "durable, and no file"
        for path in files:
            path.write_bytes(b"these are my holiday notes\n" * (1 + path.stat().st_size // 27))
        held = {path: path.read_bytes() for path in files}
        with pytest.raises((OSError, SomaError, ValueError), match=ONE_LINE), opener.open("harmed"):
            pass
        assert {path: path.read_bytes() for path in files if path.exists()} == held

    def test_behaves_like_a_dictionary_and_a_scan(self, chosen: Component) -> None:
        try_any_calls(chosen)
