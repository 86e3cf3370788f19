"""The file of `index-exact`: cut short or damaged at every byte, full disks, renewal; and its answers, to the bit."""

import errno
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core.api import Context, Hit, Index, NoConfig
from soma_core.errors import CorruptionError
from soma_core.testing.index_machine import clustered, floats, names
from soma_core.vectors import nearest, unit
from soma_exact import open_index

STEPS: list[Callable[[Index], object]] = [
    lambda index: index.add([b"a", b"b"], floats([[1, 0], [0, 1]]), [{"n": 1}, {}]),
    lambda index: index.add([b"a"], floats([[1, 1]])),
    lambda index: index.remove([b"b"]),
    lambda index: index.add([b"c"], floats([[-1, 1]]), [{"t": "é"}]),
]


def opened(directory: Path) -> Index:
    return open_index(NoConfig(), Context("index-exact", directory, logging.getLogger("t")))


def held(index: Index) -> list[list[Hit]]:
    return index.search(floats([[1, 0.25]]), 99)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[int], list[list[list[Hit]]]]:
    """A file of four calls, where each ends in it, and what was held before and after each."""
    sizes, states = [], []
    with closing(opened(tmp_path)) as index:
        states.append(held(index))
        for step in STEPS:
            step(index)
            sizes.append((tmp_path / "vectors.log").stat().st_size)
            states.append(held(index))
    return tmp_path / "vectors.log", sizes, states


def test_file_cut_short_anywhere_holds_every_whole_call(
    written: tuple[Path, list[int], list[list[list[Hit]]]],
) -> None:
    file, sizes, states = written
    data = file.read_bytes()
    for length in range(sizes[0], len(data)):
        file.write_bytes(data[:length])
        with closing(opened(file.parent)) as index:
            whole = sum(size <= length for size in sizes)
            assert held(index) == states[whole], length
            index.add([b"new"], floats([[4, 1]]))
        with closing(opened(file.parent)) as index:
            assert held(index)[0][0].id == b"new"
        if length not in sizes:
            assert file.with_suffix(".torn").read_bytes() == data[sizes[whole - 1] : length]


def test_file_shorter_than_the_first_call_is_damaged(written: tuple[Path, list[int], list[list[list[Hit]]]]) -> None:
    """It was put in place whole: no loss of power makes it so."""
    file, _, _ = written
    data = file.read_bytes()
    for length in range(16):
        file.write_bytes(data[:length])
        with pytest.raises(CorruptionError, match=r"damaged at byte 0; restore a copy"):
            opened(file.parent)
        assert file.read_bytes() == data[:length]


def test_any_changed_byte_is_noticed_and_the_file_left_alone(
    written: tuple[Path, list[int], list[list[list[Hit]]]],
) -> None:
    file, sizes, _ = written
    data = file.read_bytes()
    for place in range(len(data)):
        harmed = bytearray(data)
        harmed[place] ^= 0x40
        file.write_bytes(harmed)
        frame = max(start for start in [0, 16, *sizes] if start <= place)
        with pytest.raises(CorruptionError, match=rf"\A[^\n]*damaged at byte {frame};[^\n]*\Z"):
            opened(file.parent)
        assert file.read_bytes() == harmed
        assert not file.with_suffix(".torn").exists()


@given(data=st.data())
@settings(max_examples=50, deadline=None, database=None)
def test_last_call_that_lacks_sectors_is_cut_off(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("torn")
    file = directory / "vectors.log"
    with closing(opened(directory)) as index:
        index.add(names(30), clustered(30, 8, 1))
        before = file.stat().st_size
        index.add(names(90)[30:], clustered(60, 8, 2))
        after = file.stat().st_size
    harmed = bytearray(file.read_bytes())
    sectors = range(before // 512, (after + 511) // 512)
    lost = data.draw(st.sets(st.sampled_from(sectors), min_size=1))
    for sector in lost:
        start = max(before, 512 * sector)
        harmed[start : 512 * sector + 512] = bytes(min(after, 512 * sector + 512) - start)
    file.write_bytes(harmed[:after])
    with closing(opened(directory)) as index:
        assert len(index) == 30
    assert file.stat().st_size == before


def test_sectors_lost_before_the_last_call_are_damage(written: tuple[Path, list[int], list[list[list[Hit]]]]) -> None:
    file, sizes, _ = written
    harmed = bytearray(file.read_bytes())
    harmed[sizes[0] : sizes[1]] = bytes(sizes[1] - sizes[0])
    file.write_bytes(harmed)
    with pytest.raises(CorruptionError, match=f"damaged at byte {sizes[0]}"):
        opened(file.parent)


def test_operation_of_a_later_version_is_refused(written: tuple[Path, list[int], list[list[list[Hit]]]]) -> None:
    file, _, _ = written
    body = b"\x07" + bytes(12)
    head = b"\xf5vf1" + len(body).to_bytes(8, "little") + crc32(body).to_bytes(4, "little")
    with file.open("ab") as log:
        log.write(head + crc32(head).to_bytes(4, "little") + body)
    with pytest.raises(CorruptionError, match="not written by this version"):
        opened(file.parent)


@pytest.mark.parametrize("failing", ["writev", "fsync"])
def test_failed_write_keeps_what_was_and_stops_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"a"], floats([[1, 0]]))
        before = held(index)

        def fail(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, failing, fail)
            with pytest.raises(OSError, match="No space left"):
                index.add([b"a", b"b"], floats([[0, 1], [1, 1]]))
        assert held(index) == before
        with pytest.raises(OSError, match="an earlier write failed; open the index again"):
            index.remove([b"a"])
        assert held(index) == before
    with closing(opened(tmp_path)) as index:
        assert held(index) == before
        index.add([b"b"], floats([[0, 1]]))


def test_first_write_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(opened(tmp_path)) as index:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
            with pytest.raises(OSError, match="I/O error"):
                index.add([b"a"], floats([[1, 0]]))
        assert (len(index), index.stats().dim) == (0, 0)
        assert not (tmp_path / "vectors.log").exists()
        index.add([b"a"], floats([[1, 0, 0]]))
        assert index.stats().dim == 3


def test_file_is_renewed_when_most_of_it_is_dead(tmp_path: Path) -> None:
    file = tmp_path / "vectors.log"
    with closing(opened(tmp_path)) as index:
        for turn in range(12):
            index.add(names(300), clustered(300, 16, turn), [{"turn": turn, "n": n} for n in range(300)])
        index.remove(names(300)[200:])
        assert file.stat().st_size < 6 * 300 * (64 + 40)
        before = index.search(clustered(4, 16, 3), 50), index.search(clustered(4, 16, 3), 50, {"turn": 11})
        assert len(before[1][0]) == 50
    with closing(opened(tmp_path)) as index:
        assert (index.search(clustered(4, 16, 3), 50), index.search(clustered(4, 16, 3), 50, {"turn": 11})) == before
        assert len(index) == 200
        assert index.search(clustered(1, 16, 3), 5, {"turn": 10}) == [[]]


def test_renewal_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(opened(tmp_path)) as index:
        index.add(names(1500), clustered(1500, 8, 1))
        index.remove(names(1500)[10:])
        before = index.search(clustered(2, 8, 1), 20)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
            with pytest.raises(OSError, match="I/O error"):
                index.add([b"new"], clustered(1, 8, 2))
        assert index.search(clustered(2, 8, 1), 20) == before
        assert not (tmp_path / "vectors.new").exists()
        index.add([b"new"], clustered(1, 8, 2))
        assert len(index) == 11
    with closing(opened(tmp_path)) as index:
        assert len(index) == 11


def test_half_a_renewal_is_forgotten(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"a"], floats([[1, 0]]))
    (tmp_path / "vectors.new").write_bytes(b"half")
    with closing(opened(tmp_path)) as index:
        assert len(index) == 1
    assert not (tmp_path / "vectors.new").exists()


def test_second_opening_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"a"], floats([[1, 0]]))
        with pytest.raises(OSError, match="already open"):
            opened(tmp_path)
        code = (
            "import sys, logging, pathlib; from soma_exact import open_index; from soma_core.api import *;"
            "open_index(NoConfig(), Context('x', pathlib.Path(sys.argv[1]), logging.getLogger()))"
        )
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "already open" in other.stderr


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"a"], floats([[1, 0]]))
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


@pytest.mark.parametrize(("count", "dim"), [(0, 4), (1, 4), (50, 1), (50, 7), (5000, 24), (20000, 8)])
@pytest.mark.parametrize("k", [1, 10, 600])
def test_answers_are_those_of_float64_to_the_bit(count: int, dim: int, k: int) -> None:
    vectors = unit(clustered(count, dim, 1) if count else np.zeros((0, dim), np.float32), 0, "vector")
    vectors[count // 2 :: 7] = vectors[: len(vectors[count // 2 :: 7])]  # many equals
    queries = unit(clustered(5, dim, 2), 0, "query")
    for query, (rows, cosines) in zip(queries, nearest(vectors, queries, k), strict=True):
        wanted = np.clip((vectors * query.astype(np.float64)).sum(axis=1), -1, 1)
        least = np.sort(wanted)[max(0, count - k)] if count else 0
        assert sorted(rows) == np.flatnonzero(wanted >= least).tolist()
        assert (cosines == wanted[rows]).all()
        assert (np.diff(cosines) <= 0).all()


def test_where_a_vector_stands_changes_no_answer(tmp_path: Path) -> None:
    vectors, queries = clustered(3000, 33, 1), clustered(20, 33, 2)
    order = np.random.default_rng(3).permutation(3000)
    found = []
    for name, rows in (("one", np.arange(3000)), ("other", order)):
        (tmp_path / name).mkdir()
        with closing(opened(tmp_path / name)) as index:
            for part in np.array_split(rows, 3):
                index.add([b"%d" % row for row in part], vectors[part], [{"n": int(row) % 2} for row in part])
            found.append((index.search(queries, 20), index.search(queries, 20, {"n": 1})))
    assert found[0] == found[1]


def test_importing_the_plugin_imports_no_numpy() -> None:
    code = "import sys, soma_exact; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
