"""The model disk itself: what is synced stays, what is not may go, and every fault is as real disks have it."""

import errno
import sqlite3
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_core.errors import UsageError
from soma_core.testing.disk import SECTOR, Disk, PowerLostError
from soma_core.testing.sqlite_disk import sqlite_on


def disk(seed: int = 0) -> Disk:
    made = Disk(Random(seed))
    made.create("f")
    return made


def content(of: Disk, name: str = "f") -> bytes | None:
    return of.read(name, 0, 1 << 20) if of.exists(name) else None


writes = st.lists(st.tuples(st.integers(0, 3 * SECTOR), st.binary(min_size=1, max_size=2 * SECTOR)), max_size=6)


@given(st.integers(0, 1 << 32), writes, writes.map(lambda some: some[:1]))
def test_what_is_synced_stays_and_each_sector_of_the_rest_is_old_or_new(
    seed: int, before: list[tuple[int, bytes]], after: list[tuple[int, bytes]]
) -> None:
    one = disk(seed)
    for offset, data in before:
        one.write("f", offset, data)
    one.sync("f")
    kept = content(one)
    versions = [kept]
    for offset, data in after:
        one.write("f", offset, data)
        versions.append(content(one))
    found = content(one.after_power_loss())
    assert found is not None
    for start in range(0, len(found), SECTOR):
        possible = {(v or b"").ljust(len(found), b"\0")[start : start + SECTOR] for v in versions}
        assert found[start : start + SECTOR] in possible
    if not after:
        assert found == kept
    assert len(found) >= len(kept or b"")


def test_every_end_of_an_unsynced_write_happens() -> None:
    ends = set()
    for seed in range(60):
        one = disk(seed)
        one.sync("f")
        one.write("f", 0, b"a" * SECTOR + b"b" * SECTOR)
        ends.add(content(one.after_power_loss()))
    assert ends == {b"", b"a" * SECTOR, bytes(SECTOR) + b"b" * SECTOR, b"a" * SECTOR + b"b" * SECTOR}


def test_a_file_that_was_never_synced_may_be_gone_and_a_deleted_one_back() -> None:
    assert {content(disk(seed).after_power_loss()) for seed in range(20)} == {None, b""}
    back = set()
    for seed in range(20):
        one = disk(seed)
        one.write("f", 0, b"x")
        one.sync("f")
        one.delete("f", durably=False)
        assert not one.exists("f")
        back.add(content(one.after_power_loss()))
    assert back == {None, b"x"}


def test_a_synced_directory_brings_nothing_back() -> None:
    for seed in range(20):
        one = disk(seed)
        one.sync("f")
        one.delete("f", durably=False)
        one.create("g")
        one.delete("g", durably=True)
        assert content(one.after_power_loss()) is None


def test_a_new_file_of_the_name_keeps_the_old_one_away() -> None:
    for seed in range(20):
        one = disk(seed)
        one.write("f", 0, b"old")
        one.sync("f")
        one.delete("f", durably=False)
        one.create("f")
        one.sync("f")
        one.delete("f", durably=False)
        assert content(one.after_power_loss()) in (None, b"")


def test_after_a_failed_sync_programs_read_what_the_disk_does_not_hold() -> None:
    lost = 0
    for seed in range(40):
        one = disk(seed)
        one.sync("f")
        one.write("f", 0, b"x")
        one.fail(0, "sync")
        with pytest.raises(OSError, match="planned") as raised:
            one.sync("f")
        assert raised.value.errno == errno.EIO
        one.sync("f")  # as Linux does: nothing is left to be written, so all is well
        assert content(one) == b"x"
        lost += content(one.after_power_loss()) == b""
    assert lost


def test_a_full_disk_takes_what_needs_no_room() -> None:
    one = disk()
    one.write("f", 0, b"abc")
    one.fail(0, "full")
    for _ in range(2):
        with pytest.raises(OSError, match="planned") as raised:
            one.write("f", 3, b"d")
        assert raised.value.errno == errno.ENOSPC
    one.write("f", 0, b"xyz")
    assert content(one) == b"xyz"


def test_a_write_that_fails_may_have_written_a_part() -> None:
    parts = set()
    for seed in range(40):
        one = disk(seed)
        one.fail(0, "write")
        with pytest.raises(OSError, match="planned"):
            one.write("f", 0, b"ab")
        parts.add(content(one))
    assert parts == {b"", b"a", b"ab"}


def test_without_power_nothing_works() -> None:
    one = disk()
    one.fail(1, "power")
    one.write("f", 0, b"x")
    with pytest.raises(PowerLostError):
        one.sync("f")
    for work in (lambda: one.exists("f"), lambda: one.read("f", 0, 1), lambda: one.write("f", 0, b"y")):
        with pytest.raises(PowerLostError):
            work()
    with pytest.raises(UsageError):
        one.fail(-1, "power")


def test_a_kill_loses_nothing_that_programs_saw() -> None:
    one = disk()
    one.write("f", 0, b"x")
    assert content(one.after_kill()) == b"x"


def test_sqlite_of_this_interpreter_lies_on_it(tmp_path: Path) -> None:
    one = Disk(Random(0))
    path = str(tmp_path / "db")
    with sqlite_on(one):
        first = sqlite3.connect(path, isolation_level=None)
        assert first.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        first.execute("CREATE TABLE t (x)")
        second = sqlite3.connect(path, isolation_level=None, timeout=0)
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            second.execute("BEGIN IMMEDIATE")
        first.execute("INSERT INTO t VALUES (1)")
        assert second.execute("SELECT count(*) FROM t").fetchone() == (0,)
        first.execute("COMMIT")
        assert second.execute("SELECT count(*) FROM t").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            sqlite3.connect(f"file:{tmp_path}/none?mode=ro", uri=True).execute("SELECT 1 FROM t")
        second.close()
        first.close()
    assert not Path(path).exists()
    assert one.exists(path)
    with sqlite3.connect(path) as real:
        assert real.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    real.close()


def test_what_breaks_in_the_model_itself_is_no_fault_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Disk(Random(0))
    monkeypatch.setattr(Disk, "write", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError), sqlite_on(one):
        database = sqlite3.connect("/model/db")
        with pytest.raises(sqlite3.OperationalError):
            database.execute("CREATE TABLE t (x)")
        database.close()
