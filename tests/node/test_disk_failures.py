"""A disk that fails ends a node with one line, and costs nothing that was acknowledged."""

import errno
import json
import resource
import sys
from pathlib import Path

import pytest
from running_node import RunningNode

from soma_core.errors import KeyStoreError, StorageError
from soma_core.node.storage import disk_failures

DATA = Path("/data")


def raised(error: BaseException) -> list[BaseException]:
    with pytest.raises(BaseExceptionGroup) as group, disk_failures(DATA):
        raise error
    return list(group.value.exceptions)


def test_a_line_names_the_file_and_keeps_what_the_ledger_advises() -> None:
    (only,) = raised(OSError(errno.ENOSPC, "the disk is full (20); free space", "/data/chain.sqlite"))
    assert isinstance(only, StorageError)
    assert str(only) == "/data/chain.sqlite: the disk is full (20); free space"


def test_a_failure_without_a_name_is_of_the_data_directory() -> None:
    (only,) = raised(OSError(errno.EIO, "Input/output error"))
    assert str(only).startswith("/data: Input/output error; make room or mend the disk")


def test_failures_that_came_together_are_said_once_and_others_stay() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/x")
    other = KeyStoreError("nothing was signed", "mend the disk")
    found = raised(ExceptionGroup("", [full, ExceptionGroup("", [OSError(*full.args, "/data/x"), other])]))
    assert [type(error) for error in found] == [StorageError, KeyStoreError]


@pytest.mark.parametrize(
    "error", [OSError(errno.EADDRINUSE, "in use"), FileNotFoundError(errno.ENOENT, "no", "/elsewhere"), ValueError()]
)
def test_what_is_not_the_disks_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as found, disk_failures(DATA):
        raise error
    assert found.value is error


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits another process")
def test_a_real_node_ends_with_a_line_and_starts_again_with_all_it_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # its file could not be written either
    node = RunningNode(tmp_path / "node")
    node.start()
    friend = "ab" * 32
    node.soma("send", friend, "1.5")
    assert node.process is not None
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))  # no file grows
    assert node.process.wait(30) == 1
    lines = node.log.read_text().splitlines()
    assert not [line for line in lines if "Traceback" in line]
    (said,) = [line for line in lines if line.startswith("soma: ")]
    assert "sqlite" in said
    assert "; " in said
    node.start()
    assert json.loads(node.soma("balance", friend, "--json"))["balance"] == 1_500_000_000
    node.stop()
