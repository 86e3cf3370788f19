"""What is SQLite's own: durability, one opening, damage, full disks, threads."""

import errno
import logging
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from soma_core.api import LedgerContext
from soma_sqlite import SqliteConfig, open_ledger
from soma_sqlite._ledger import SqliteLedger


def opened(directory: Path) -> SqliteLedger:
    ledger = open_ledger(SqliteConfig(), LedgerContext("ledger-sqlite", directory, logging.getLogger("t"), "chain"))
    assert isinstance(ledger, SqliteLedger)
    return ledger


def test_every_commit_is_synced(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        one = ledger._connection.execute
        assert one("PRAGMA journal_mode").fetchone() == ("wal",)
        assert one("PRAGMA synchronous").fetchone() == (3,), "3 is EXTRA: FULL, and deletions"


def test_second_opening_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        ledger.write({b"a": b"1"})
        with pytest.raises(OSError, match="already open; stop the other node"):
            opened(tmp_path)
        code = (
            "import sys, logging, pathlib; from soma_sqlite import *; from soma_sqlite import open_ledger;"
            "from soma_core.api import LedgerContext;"
            "open_ledger(SqliteConfig(), LedgerContext('x', pathlib.Path(sys.argv[1]), logging.getLogger(), 'chain'))"
        )
        other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert "already open" in other.stderr
        ledger.write({b"a": b"2"})
    with closing(opened(tmp_path)) as ledger:
        assert ledger.get(b"a") == b"2"


def test_killed_process_leaves_whole_batches_and_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, os, logging, pathlib; from soma_sqlite import SqliteConfig, open_ledger;"
        "from soma_core.api import LedgerContext;"
        "it = open_ledger(SqliteConfig(), LedgerContext('x', pathlib.Path(sys.argv[1]), logging.getLogger(), 'chain'));"
        "[it.write({b'%d' % i: bytes([n]) for i in range(20)}) for n in range(30)];"
        "os.write(1, b'written'); it._connection.execute('BEGIN IMMEDIATE');"
        "it._connection.execute('DELETE FROM entries'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == -9
    assert done.stdout == b"written"
    with closing(opened(tmp_path)) as ledger:
        assert {value for _, value in ledger.scan(b"", b"\xff")} == {bytes([29])}
        assert len(list(ledger.scan(b"", b"\xff"))) == 20


def test_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    path.write_bytes(b"these are my holiday notes " * 1000)
    with pytest.raises(OSError, match=r"not a database.*restore a backup") as caught:
        opened(tmp_path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"these are my holiday notes " * 1000


def test_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chain.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url)")
        other.commit()
    before = path.read_bytes()
    with pytest.raises(OSError, match="another program's database"):
        opened(tmp_path)
    assert path.read_bytes() == before


def test_newer_layout_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "chain.sqlite")) as other:
        other.execute("PRAGMA user_version = 9")
    with pytest.raises(OSError, match="layout 9 is not 1"):
        opened(tmp_path)


def test_damage_is_named_and_nothing_is_made_up(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        ledger.write({b"%05d" % n: b"v" * 400 for n in range(2000)})
    path = tmp_path / "chain.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 : len(data)] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"damaged.*restore a backup"):
        opened(tmp_path)
    # the failed opening released the lock
    with pytest.raises(OSError, match="damaged"):
        opened(tmp_path)


def test_full_disk_keeps_what_was_and_stops_writing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        ledger.write({b"a": b"old"})
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(OSError, match="disk is full") as caught:
            ledger.write({b"a": b"new", b"big": b"x" * 1_000_000})
        assert caught.value.errno == errno.ENOSPC
        assert list(ledger.scan(b"", b"\xff")) == [(b"a", b"old")]
        with pytest.raises(OSError, match="earlier write failed"):
            ledger.write({b"a": b"small"})
    with closing(opened(tmp_path)) as ledger:
        assert list(ledger.scan(b"", b"\xff")) == [(b"a", b"old")]
        ledger.write({b"a": b"small"})


def test_batch_of_wrong_types_does_not_stop_writing(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        with pytest.raises(TypeError):
            ledger.write({b"a": "text"})  # type: ignore[dict-item]
        ledger.write({b"a": b"bytes"})
        assert ledger.get(b"a") == b"bytes"


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        opened(tmp_path / "nowhere")


def test_use_from_another_thread_is_a_plain_error(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def misuse() -> None:
        try:
            ledger.write({b"a": b"1"})
        except RuntimeError as error:
            errors.append(error)

    with closing(opened(tmp_path)) as ledger:
        thread = threading.Thread(target=misuse)
        thread.start()
        thread.join()
        assert "only the thread that opened" in str(errors[0])
        ledger.write({b"a": b"2"})
        assert ledger.get(b"a") == b"2"


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as ledger:
        ledger.write({b"a": b"1"})
        assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


def test_importing_the_plugin_imports_no_sqlite() -> None:
    code = "import sys, soma_sqlite; print('sqlite3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
