"""A node is lost with its disk, and comes back from a backup: what was in it, and what a follower had seen since."""

import json
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running_node import RunningNode

from soma_core.errors import DecodeError
from soma_core.node.backups import check_backup

FRIEND, OTHER = "ab" * 32, "cd" * 32


def balance(node: RunningNode, address: str) -> int:
    return int(json.loads(node.soma("balance", address, "--json"))["balance"])


def place(node: RunningNode) -> str:
    """Where its peers find it."""
    found = node.status()
    return f"{found.node.hex()}@{found.addresses[0]}"


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The directory of a killed node, and a backup that was made while it ran; it has done more since."""
    root = tmp_path_factory.mktemp("lost")
    node = RunningNode(root / "node")
    node.start()
    (root / "note.txt").write_text("two cats\n" * 40)
    node.soma("embed", root / "note.txt")
    node.soma("send", FRIEND, "1.5")
    said = json.loads(node.soma("backup", root / "node.backup", "--keys", "--json"))
    assert said["bytes"] == (root / "node.backup").stat().st_size
    assert (root / "node.backup").stat().st_mode & 0o777 == 0o600
    assert "there is a file already" in node.soma("backup", root / "node.backup", expect=2)
    node.soma("send", OTHER, "2")
    node.kill()
    return node.directory, root / "node.backup"


def test_a_backup_of_what_was_restored_is_the_same_backup(lost: tuple[Path, Path], tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "again")
    said = json.loads(node.soma("restore", lost[1], "--json"))
    assert said["keys"] is True
    again = json.loads(node.soma("backup", tmp_path / "again.backup", "--keys", "--json"))
    assert (again["commit"], again["record"]) == (said["commit"], said["record"])
    assert (tmp_path / "again.backup").read_bytes() == lost[1].read_bytes()
    secrets = (lost[0] / "keys" / "passphrase").read_bytes().strip()
    assert secrets not in lost[1].read_bytes()
    assert not (node.directory / "keys" / "signed.sqlite").exists()
    assert not list((node.directory / "components").glob("*consensus*"))


def test_nothing_is_restored_over_something(lost: tuple[Path, Path], tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "node")
    node.directory.mkdir()
    (node.directory / "mine").write_text("mine")
    assert "something is there already" in node.soma("restore", lost[1], expect=2)
    assert [path.name for path in tmp_path.iterdir()] == ["node"]
    assert (node.directory / "mine").read_text() == "mine"


def test_nothing_is_restored_into_a_ledger_that_forgets(lost: tuple[Path, Path], tmp_path: Path) -> None:
    said = RunningNode(tmp_path / "node").soma("restore", lost[1], "--plugin", "ledger-memory", expect=2)
    assert "ledger-memory keeps nothing on disk" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cut", [0, 3, 1000, -1, -40])
def test_a_backup_that_is_cut_off_is_refused_and_nothing_is_left(
    lost: tuple[Path, Path], tmp_path: Path, cut: int
) -> None:
    (tmp_path / "cut").write_bytes(lost[1].read_bytes()[:cut])
    assert "nothing was restored" in RunningNode(tmp_path / "node").soma("restore", tmp_path / "cut", expect=1)
    assert [path.name for path in tmp_path.iterdir()] == ["cut"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_changed_byte_passes(lost: tuple[Path, Path], data: st.DataObject) -> None:
    whole = bytearray(lost[1].read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    changed = lost[1].with_name("changed")
    changed.write_bytes(whole)
    with pytest.raises(DecodeError):
        check_backup(changed)


def test_bytes_after_the_end_are_refused(lost: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(lost[1].read_bytes() + b"\0")
    with pytest.raises(DecodeError, match="damaged"):
        check_backup(tmp_path / "longer")


def test_a_second_node_in_the_same_directory_is_refused(lost: tuple[Path, Path], tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "node")
    node.soma("restore", lost[1], expect=0)
    shutil.copy(lost[0] / "keys" / "passphrase", node.directory / "keys" / "passphrase")
    node.start_without_waiting()
    deadline = time.monotonic() + 30
    while "asking peers" not in node.log.read_text():  # it holds the lock from the first moment
        assert time.monotonic() < deadline, node.log.read_text()
        time.sleep(0.05)
    said = node.soma("run", "--plugin", "consensus-solo", expect=2)
    assert said.startswith("soma: ")
    assert "a node is running here already" in said
    assert len(said.splitlines()) == 1
    node.wait_until_up()
    assert balance(node, FRIEND) == 1_500_000_000
    assert balance(node, OTHER) == 0, "what nobody but the lost disk had is lost"
    node.soma("embed", lost[1].with_name("note.txt"))
    node.stop()
    assert "going on after commit" in node.log.read_text()
    assert not (node.directory / "restored").exists()


def test_what_a_follower_had_seen_comes_back(tmp_path: Path) -> None:
    node = RunningNode(tmp_path / "node")
    node.start()
    node.soma("backup", tmp_path / "early.backup", "--keys")
    node.soma("send", FRIEND, "3")
    follower = RunningNode(tmp_path / "follower", plugins=("transport-libp2p",))
    follower.soma("keys", "new", "account")
    follower.soma("keys", "new", "node")
    shutil.copy(node.directory / "genesis.cbor", follower.directory / "genesis.cbor")
    follower.settings = {"node.peers": f'["{place(node)}"]'}
    follower.start()
    deadline = time.monotonic() + 30
    while balance(follower, FRIEND) != 3_000_000_000:
        assert time.monotonic() < deadline, follower.log.read_text()
        time.sleep(0.1)
    node.kill()
    again = RunningNode(tmp_path / "again")
    again.soma("restore", tmp_path / "early.backup")
    shutil.copy(node.directory / "keys" / "passphrase", again.directory / "keys" / "passphrase")
    again.settings = {"node.peers": f'["{place(follower)}"]'}
    again.start()
    assert balance(again, FRIEND) == 3_000_000_000
    again.soma("send", OTHER, "4")
    deadline = time.monotonic() + 30
    while balance(follower, OTHER) != 4_000_000_000:  # the same chain goes on for it
        assert time.monotonic() < deadline, follower.log.read_text()
        time.sleep(0.1)
    again.stop()
    follower.stop()
