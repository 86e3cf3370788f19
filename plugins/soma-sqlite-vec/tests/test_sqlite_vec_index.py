"""What is SQLite's own: durability, one opening, damage, full disks, and a database that others read."""

import logging
from contextlib import closing
from pathlib import Path

import apsw
import numpy as np
import pytest

from soma_core.api import Context
from soma_core.errors import CorruptionError
from soma_core.testing.index_machine import clustered, floats, names
from soma_sqlite_vec import SqliteVecConfig, open_index
from soma_sqlite_vec._index import SqliteVecIndex


def opened(directory: Path) -> SqliteVecIndex:
    index = open_index(SqliteVecConfig(), Context("index-sqlite-vec", directory, logging.getLogger("t")))
    assert isinstance(index, SqliteVecIndex)
    return index


def test_every_commit_is_synced(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        assert index._base.execute("PRAGMA synchronous").fetchall() == [(3,)], "3 is EXTRA: FULL, and deletions"
        assert index._base.execute("PRAGMA journal_mode").fetchall() == [("delete",)]


def test_second_opening_is_refused(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"x"], floats([[1, 0]]))
        with pytest.raises(OSError, match="already open"):
            opened(tmp_path)
        assert len(index) == 1


def test_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    with closing(apsw.Connection(str(path))) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    before = path.read_bytes()
    with pytest.raises(OSError, match="another program's database"):
        opened(tmp_path)
    assert path.read_bytes() == before


def test_newer_layout_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(apsw.Connection(str(tmp_path / "vectors.sqlite"))) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(OSError, match="layout 9 is not 1"):
        opened(tmp_path)


def test_damage_is_named_and_nothing_is_made_up(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add(names(500), clustered(500, 32, 1))
    path = tmp_path / "vectors.sqlite"
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    said = r"\A[^\n]*damaged, or no database[^\n]*restore a copy[^\n]*\Z"
    with pytest.raises(CorruptionError, match=said), closing(opened(tmp_path)) as index:
        index.search(clustered(1, 32, 1), 500)
    assert path.read_bytes() == data


def test_full_disk_keeps_what_was(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"x", b"y"], floats([[1, 0], [0, 1]]), [{"n": 1}, {}])
        pages = index._base.execute("PRAGMA page_count").fetchall()[0][0]
        index._base.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(OSError, match="the disk is full"):
            index.add([b"x", *names(2000)], np.ones((2001, 2), np.float32))
        assert [hit[0::2] for hit in index.search(floats([[1, 0]]), 9)[0]] == [(b"x", {"n": 1}), (b"y", {})]
        index.add([b"x"], floats([[0, 1]]))
    with closing(opened(tmp_path)) as index:
        assert [hit.id for hit in index.search(floats([[0, 1]]), 9)[0]] == [b"x", b"y"]


def test_others_read_it(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as index:
        index.add([b"x"], floats([[0, 2]]), [{"n": 1, "t": "é"}])
    with closing(apsw.Connection(str(tmp_path / "vectors.sqlite"))) as other:
        assert list(other.execute("SELECT id, labels, vector FROM vectors")) == [
            (b"x", '{"n": 1, "t": "é"}', floats([[0, 1]]).tobytes())
        ]
        assert list(other.execute("SELECT name, value FROM labels")) == [("n", 1), ("t", "é")]


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        opened(tmp_path / "nowhere")
