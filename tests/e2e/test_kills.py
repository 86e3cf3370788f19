"""Processes of a small network are killed; a long loop of it is ``nox -s kill``."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kill_clients import Client, Promises, audit
from kill_world import Seen, family, members_of, until

from soma_core.cli._client import Node
from soma_core.cli._network import Plan
from soma_core.genesis import read

PLAN = Plan(validators=1, encoder="encoder-numpy", encoders=("text",))
LOCALNET = """
import sys, time
from pathlib import Path
from soma_core.cli._network import Network, Plan
with Network(Path(sys.argv[1]), Plan(validators=1, encoder="encoder-numpy", encoders=("text",)), print) as network:
    network.start()
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Seen]]:
    """The directory of a local network whose parent was killed, and the processes that were below it."""
    root = tmp_path_factory.mktemp("kills") / "net"
    with subprocess.Popen([sys.executable, "-c", LOCALNET, root], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert any(line == "up\n" for line in parent.stdout)
        below = [seen for seen in family(parent.pid) if seen.pid != parent.pid]
        parent.send_signal(signal.SIGKILL)
    return root, below


def test_a_killed_localnet_leaves_nothing_running(killed: tuple[Path, list[Seen]]) -> None:
    root, below = killed
    assert sorted(seen.kind for seen in below) == ["guard", "other", "other", "signer", "signer", "worker"]
    assert until(lambda: not any(seen.alive for seen in below), 20), [seen for seen in below if seen.alive]
    for name in ("validator", "text"):
        assert "standard input has ended: ending" in (root / name / "node.log").read_text("utf-8")
        assert not (root / name / "control.sock").exists()


def test_a_signer_a_worker_and_a_validator_die_and_what_was_promised_is_kept(
    killed: tuple[Path, list[Seen]], tmp_path: Path
) -> None:
    root, below = killed
    assert until(lambda: not any(seen.alive for seen in below), 20)
    members = members_of(root, PLAN)
    promises = Promises()
    clients = [Client(member.directory, promises, tmp_path, place, 0.02) for place, member in enumerate(members)]
    validator, encoder = members
    try:
        for member in members:
            member.start()
        for member in members:
            member.up()
        for client in clients:
            client.start()
        assert until(lambda: any(transfer.said == "applied" for transfer in promises.transfers), 20)
        assert until(lambda: promises.jobs, 20)
        for member, kind in ((encoder, "worker"), (encoder, "signer"), (validator, "node")):
            member.kill(next(seen for seen in member.family() if seen.kind == kind))
            if not member.running:
                member.start_again()
        for member in members:
            member.up()
        for client in clients:
            client.finish()
        genesis = read(validator.directory / "genesis.cbor")
        with Node(validator.directory) as node:
            faults = []
            assert until(lambda: faults.extend(promises.check(node, genesis)) or not promises.open, 60, 0.2)
        assert [member.stop() for member in reversed(members)] == [0, 0]
    finally:
        for member in members:
            member.end()
    found, books = audit(members, promises, {})
    assert faults == found == []
    assert books.commits > 0
    assert [text for member in members for text in member.tracebacks()] == []
