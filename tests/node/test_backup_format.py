"""A backup is the same whatever ledger it came from, and goes into whatever ledger is chosen."""

import filecmp
import logging
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from driver_world import Setting, drive
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import DictReader
from trio.testing import MockClock

import soma_memory
import soma_sqlite
from soma_core import chain
from soma_core.api import Ledger, LedgerContext
from soma_core.errors import CorruptionError, DecodeError
from soma_core.net import BlobStore
from soma_core.node import backups
from soma_core.node.backups import (
    check_backup,
    check_restored,
    restore_entries,
    restore_files,
    sealed_answers,
    write_backup,
)
from soma_core.node.directory import BLOBS, make
from soma_core.node.store import TIP, Store, key_of
from soma_core.node.submitting import SealedSubmission
from soma_core.records import pack

_KEYS = st.builds(lambda first, rest: bytes([first]) + rest, st.integers(0x80, 0xFE), st.binary(max_size=40))


def open_by(plugin: Any, directory: Path) -> Ledger:
    spec = plugin.soma_ledger()
    directory.mkdir()
    ledger: Ledger = spec.open(spec.config(), LedgerContext("ledger", directory, logging.getLogger(), "chain"))
    return ledger


@pytest.fixture
def worked() -> Setting:
    """A network with a few commits, in a dictionary."""
    setting = Setting()
    trio.run(partial(drive, setting, 5, [], feed=3), clock=MockClock(autojump_threshold=0))
    assert setting.store().tip.index > 2
    return setting


@pytest.fixture
def written(worked: Setting, tmp_path: Path) -> Path:
    write_backup(tmp_path / "b", tmp_path, worked.world.genesis, worked.ledger, {}, keys=False)
    return tmp_path / "b"


@pytest.mark.parametrize("plugins", [(soma_sqlite, soma_memory), (soma_memory, soma_sqlite)])
async def test_a_backup_of_one_ledger_goes_into_another(
    worked: Setting, written: Path, tmp_path: Path, plugins: tuple[Any, Any]
) -> None:
    genesis, rule = worked.world.genesis, worked.world.rule
    source = written
    for number, plugin in enumerate(plugins):
        ledger = open_by(plugin, tmp_path / f"ledger{number}")
        about = check_backup(source)
        restore_entries(source, ledger)
        store = Store(genesis, rule, ledger)
        check_restored(store, about)
        assert store.tip == worked.store().tip
        source = tmp_path / f"b{number}"
        with store.moment() as reader:
            write_backup(source, tmp_path, genesis, reader, {}, keys=False)
        ledger.close()
        assert filecmp.cmp(source, written, shallow=False)
    restore_files(source, tmp_path / "files")
    assert (tmp_path / "files" / "genesis.cbor").read_bytes() == pack(genesis)


async def test_an_answer_sealed_at_that_moment_is_in_it_though_its_job_ends_meanwhile(
    worked: Setting, tmp_path: Path
) -> None:
    sealed = tmp_path / "data" / "answers" / "encoder-x" / ("ab" * 32)
    sealed.parent.mkdir(parents=True)
    sealed.write_bytes(b"sealed")
    sealed.with_name(".draft").write_bytes(b"half")
    verdict = tmp_path / "data" / "verdicts" / f"embed-{'ab' * 32}-0-3-appeal"
    verdict.parent.mkdir()
    verdict.write_bytes(b"computed")
    verdict.with_name(f".{verdict.name}.tmp").write_bytes(b"half")
    blob = BlobStore(make(tmp_path / "data", BLOBS)).put(b"hunted")
    submission = tmp_path / "data" / "submissions" / "17"
    submission.parent.mkdir()
    hunted = SealedSubmission(
        target=17, salt=bytes(32), blob=blob, size=6, encoder=bytes(32), loss=1, vector=bytes(256)
    )
    submission.write_bytes(pack(hunted))
    secret = tmp_path / "data" / "canaries" / "encoder-x"
    secret.parent.mkdir()
    secret.write_bytes(b"planted")
    answers = sealed_answers(tmp_path / "data")
    sealed.unlink()
    write_backup(tmp_path / "b", tmp_path / "data", worked.world.genesis, worked.ledger, answers, keys=False)
    restore_files(tmp_path / "b", tmp_path / "again")
    assert [path.name for path in (tmp_path / "again" / "answers" / "encoder-x").iterdir()] == [sealed.name]
    assert (tmp_path / "again" / sealed.relative_to(tmp_path / "data")).read_bytes() == b"sealed"
    assert [path.name for path in (tmp_path / "again" / "verdicts").iterdir()] == [verdict.name]
    assert (tmp_path / "again" / "verdicts" / verdict.name).read_bytes() == b"computed"
    assert (tmp_path / "again" / "submissions" / "17").read_bytes() == pack(hunted)
    assert (tmp_path / "again" / "canaries" / "encoder-x").read_bytes() == b"planted"
    assert BlobStore(tmp_path / "again" / "blobs").get(blob) == b"hunted"


def spoilt(worked: Setting, changes: Mapping[bytes, bytes | None]) -> DictReader:
    reader = DictReader()
    reader.data.update(worked.ledger.data)
    for key, value in changes.items():
        if value is None:
            del reader.data[key]
        else:
            reader.data[key] = value
    return reader


@pytest.mark.parametrize("fault", ["another record", "no record", "money from nothing"])
async def test_what_does_not_fit_together_is_refused(worked: Setting, tmp_path: Path, fault: str) -> None:
    """Even where the file itself is whole: its digest proves what was written, not that it is a chain."""
    genesis = worked.world.genesis
    record = key_of(b"\x83", 1)
    name, value = next(iter(worked.ledger.scan(chain.STATE_FLOOR, chain.STATE_CEILING)))
    change: dict[bytes, bytes | None] = {
        "another record": {record: worked.ledger.data[key_of(b"\x83", 2)]},
        "no record": {record: None},
        "money from nothing": {name: value[:-1] + bytes([value[-1] ^ 1])},
    }[fault]
    write_backup(tmp_path / "b", tmp_path, genesis, spoilt(worked, change), {}, keys=False)
    about = check_backup(tmp_path / "b")
    ledger = open_by(soma_memory, tmp_path / "ledger")
    restore_entries(tmp_path / "b", ledger)
    with pytest.raises(CorruptionError):
        check_restored(Store(genesis, worked.world.rule, ledger), about)


async def test_a_backup_names_no_other_file(worked: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However well its digest fits: nothing is written outside, or in a place that no backup has."""

    def elsewhere(*_arguments: object, **_more: object) -> Iterator[str]:
        yield "../outside"

    (tmp_path / "outside").write_text("x")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(backups, "_files", elsewhere)
    write_backup(tmp_path / "b", tmp_path / "data", worked.world.genesis, worked.ledger, {}, keys=False)
    with pytest.raises(DecodeError, match="no backup has"):
        restore_files(tmp_path / "b", tmp_path / "target")
    assert (tmp_path / "outside").read_text() == "x"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_KEYS, st.binary(max_size=300)))
def test_entries_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, bytes]) -> None:
    directory = tmp_path_factory.mktemp("b")
    world = Setting()
    world.store()
    reader = spoilt(world, {**entries, TIP: world.ledger.data[TIP]})
    write_backup(directory / "b", directory, world.world.genesis, reader, {}, keys=False)
    check_backup(directory / "b")
    back = DictReader()
    back.write = back.data.update  # type: ignore[attr-defined]
    restore_entries(directory / "b", back)  # type: ignore[arg-type]
    assert back.data == reader.data
