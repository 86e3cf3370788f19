"""A disk that fills under a real node: it takes no new work, then ends with one line; with room again, all is there."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_node import RunningNode

from soma_core.cli._client import Node, RemoteError

SIZE, LOW, LEAST = 40, 16, 5
"""MiB: of the disk, and the node's two thresholds."""
PATIENCE = 20.0
FRIEND = "5a" * 32


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m", "tmpfs", str(place)], check=False)
    if done.returncode:
        pytest.skip("this system lets nobody mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def leave(disk: Path, mib: int) -> None:
    """Let something else than the node take all but `mib` of the disk."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    room = os.statvfs(disk)
    ballast.write_bytes(bytes(room.f_bavail * room.f_frsize - (mib << 20)))


def status(node: RunningNode) -> dict[str, object]:
    return json.loads(node.soma("status", "--json"))  # type: ignore[no-any-return]


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fill(node: RunningNode, directory: Path) -> str:
    """Upload until the node says no; what it says."""
    file = directory / "random"
    deadline = time.monotonic() + PATIENCE
    with Node(node.directory) as client:
        while time.monotonic() < deadline:
            file.write_bytes(os.urandom(256 << 10))
            try:
                client.put_file(file, 256 << 10)
            except RemoteError as error:
                return str(error)
            time.sleep(0.08)
    raise AssertionError("the node took everything")


def test_a_node_whose_disk_is_nearly_full_says_so_and_takes_nothing_new(
    tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMA_NODE__SPACE_LOW", str(1 << 40))
    node = RunningNode(tmp_path / "node")
    node.start()
    try:
        for refused in (["send", FRIEND, "1"], ["embed", text_file]):
            assert "the disk is nearly full" in node.soma(*refused, expect=1)
        now = status(node)
        assert (now["takes_work"], now["open_jobs"], now["mempool"]) == (False, 0, 0)
        assert now["rules"] == {"version": 1, "known": 1, "safe_mode": False, "parked": 0}
        said = node.soma("status")
        assert "nearly full, no new work is taken" in said
        assert "version 1\n" in said
        assert "takes no new work below" in node.soma("doctor")
    finally:
        assert node.stop() == 0, node.log.read_text()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_node_that_fills_its_disk_refuses_then_ends_then_goes_on(
    disk: Path, tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMA_NODE__SPACE_LOW", str(LOW))
    monkeypatch.setenv("SOMA_NODE__SPACE_LEAST", str(LEAST))
    node = RunningNode(disk / "node")
    node.log = tmp_path / "node.log"
    node.start()
    try:
        (entry,) = json.loads(node.soma("embed", text_file, "--json"))["inputs"]
        assert status(node)["takes_work"]
        leave(disk, LOW + 2)
        assert "the disk is nearly full" in fill(node, tmp_path)
        for refused in (["send", FRIEND, "1"], ["embed", text_file, "--again"]):
            assert "the disk is nearly full" in node.soma(*refused, expect=1)
        now = status(node)
        assert not now["takes_work"]
        assert LEAST << 20 < now["free"] < LOW << 20  # type: ignore[operator]
        (disk / "ballast").unlink()
        wait_until(lambda: status(node)["takes_work"])
        node.soma("send", FRIEND, "2.5")

        leave(disk, LEAST - 2)
        assert node.process is not None
        assert node.process.wait(PATIENCE) == 1
        last = node.log.read_text().splitlines()[-1]
        assert last.startswith("soma: the disk is full: ")
        assert "Traceback" not in node.log.read_text()
        said = node.soma("run", "--plugin", "consensus-solo", "--data-dir", node.directory, expect=1)
        assert "soma: the disk is full: " in said

        (disk / "ballast").unlink()
        node.start()
        assert json.loads(node.soma("balance", FRIEND, "--json"))["balance"] == 2_500_000_000
        assert json.loads(node.soma("status", "--json"))["supply"]["drift"] == 0
        (again,) = json.loads(node.soma("embed", text_file, "--json"))["inputs"]
        assert (again["job"], again["vector_digest"]) == (entry["job"], entry["vector_digest"])
        assert json.loads(node.soma("verify", str(entry["receipt"]), "--json"))["valid"]
    finally:
        assert node.stop() == 0, node.log.read_text()
