"""What ``soma doctor`` says of the data directory and its disk."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from soma_core.api import Finding
from soma_core.cli import _disk
from soma_core.config import NodeConfig
from soma_core.node import space
from soma_core.node.directory import holder, locked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def found(findings: Iterator[Finding], what: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.detail) for finding in findings if finding.what == what]


@pytest.mark.parametrize(("mib", "level"), [(127, "fail"), (128, "warn"), (511, "warn"), (512, "ok"), (1 << 20, "ok")])
def test_room_is_held_against_the_thresholds_of_the_node(
    data: Path, monkeypatch: pytest.MonkeyPatch, mib: int, level: str
) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: mib << 20)
    assert _disk.space(NodeConfig(data_dir=data)).level == level


def test_thresholds_are_those_of_the_settings(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _path: 100 << 20)
    finding = _disk.space(NodeConfig(data_dir=data, space_low=200, space_least=50))
    assert (finding.level, finding.detail) == (
        "warn",
        f"0.1 GiB free at {data}; a node takes no new work below 200 MiB",
    )


def test_a_sync_is_timed_and_leaves_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), real(descriptor)))
    assert _disk.syncing(data).detail.endswith(f"ms to sync a small write at {data}")
    assert len(synced) == _disk.PROBES
    assert not list(data.iterdir())
    monkeypatch.setattr(_disk, "SLOW", 0.0)
    assert _disk.syncing(data).level == "warn"


def test_a_disk_that_cannot_sync_fails(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    finding = _disk.syncing(data)
    assert (finding.level, finding.detail) == ("fail", f"{data}: Input/output error")


@pytest.mark.parametrize(("soft", "level"), [(256, "warn"), (1024, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_few_open_files_are_said(monkeypatch: pytest.MonkeyPatch, soft: int, level: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (soft, resource.RLIM_INFINITY))
    assert _disk.descriptors().level == level


def test_who_holds_the_directory_is_said(data: Path) -> None:
    assert holder(data) is None
    assert found(_disk.data_directory(data), "lock") == [("ok", "no node runs here")]
    with locked(data):
        assert holder(data) == str(os.getpid())
        assert found(_disk.data_directory(data), "lock") == [("ok", f"a node runs here (process {os.getpid()})")]
    assert holder(data) is None


def test_key_files_that_others_may_read_fail(data: Path) -> None:
    assert found(_disk.keys(data), "keys") == []
    directory = data / "keys"
    directory.mkdir(mode=0o700)
    assert found(_disk.keys(data), "keys") == [("ok", f"0 in {directory}, for this account alone")]
    secret = directory / "passphrase"
    secret.write_text("x\n")
    secret.chmod(0o640)
    levels = found(_disk.keys(data), "keys")
    assert levels[0] == ("fail", f"others may read {secret} (mode 0640)")
    assert [level for level, _ in levels] == ["fail", "warn"]


def test_a_directory_that_is_not_there_is_judged_by_the_one_above(tmp_path: Path) -> None:
    assert _disk.nearest(tmp_path / "a" / "b") == tmp_path
    what = {finding.what: finding.level for finding in _disk.examine(NodeConfig(data_dir=tmp_path / "a" / "b"))}
    assert what == {"data directory": "ok", "disk space": "ok", "disk speed": what["disk speed"]}
