"""Every attack on one node, while an honest peer asks and fetches. ``nox -s abuse``; ``specs/results/transport.json``.

The node is `soma run` in a process of its own, so that its memory can be read; the hostile peers are another process;
the honest peer is here. First each attack by itself, then all of them at once.
"""

import json
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final

import hostile_peers
import pytest
import trio
from attrs import define, field
from constants import SPECS
from running_node import RunningNode

from soma_core.api import PeerId, TransportContext
from soma_core.budget import PEER_MEMORY
from soma_core.cli._client import Node
from soma_core.errors import SomaError
from soma_core.net import Address, BlobStore, Hello, Network, fetch
from soma_core.testing import KeyIdentity
from soma_libp2p import Libp2pConfig, soma_transport

ROOT: Final = SPECS.parent
SECONDS: Final = 12.0
"""For each attack."""
ALL_SECONDS: Final = 45.0
"""For all at once."""
PEERS: Final = 20
"""Hostile peers of each attack at a time."""
PATIENCE: Final = 10.0
"""Seconds that the honest peer waits for one answer."""
SLOWEST: Final = 5.0
"""Seconds that the slowest answer may take."""
MIB: Final = 1 << 20
MOST_GROWTH: Final = 2 * PEER_MEMORY
"""Bytes by which an attack may make the node grow: the allocator keeps some of what was freed."""
SEED: Final = 20
ATTACKS: Final[Mapping[str, tuple[Sequence[str], float]]] = {
    **{name: ((name,), SECONDS) for name in hostile_peers.ATTACKS},
    "all_at_once": (tuple(hostile_peers.ATTACKS), ALL_SECONDS),
}
"""Name → attacks of one run, and its seconds."""


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@define
class Honest:
    """Asks for commits and fetches a blob, again and again."""

    network: Network
    node: PeerId
    blob: bytes
    directory: Path
    sent: int = 0
    answered: int = 0
    blobs: int = 0
    slowest: float = 0.0
    failures: list[str] = field(factory=list)

    async def ask(self) -> None:
        while True:
            await self._one(self._request)
            await trio.sleep(0.05)

    async def fetch(self) -> None:
        turn = 0
        while True:
            turn += 1
            directory = self.directory / f"blobs-{turn}"
            directory.mkdir()

            async def whole(directory: Path = directory) -> None:
                store = BlobStore(directory)
                await fetch(self.network, store, self.blob, [self.node])
                assert store.has(self.blob)
                self.blobs += 1

            await self._one(whole)
            await trio.sleep(0.5)

    async def _request(self) -> None:
        body = {"first": 1, "limit": 4, "wait_ms": 0}
        await self.network.request(self.node, "sync", "sync.entries", body, timeout=PATIENCE)

    async def _one(self, call: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await call()
        except SomaError as error:
            self.failures.append(str(error))
        else:
            self.answered += 1
        self.sent += 1
        self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("abuse") / "node", ("consensus-solo",))
    running.start()
    yield running
    running.stop()


async def attacked(
    victim: RunningNode, place: dict[str, Any], names: Sequence[str], seconds: float, directory: Path
) -> dict[str, Any]:
    """What the attacks did, and what the honest peer got meanwhile."""
    assert victim.process is not None
    pid = victim.process.pid
    chain, protocol, node, blob = (bytes.fromhex(place[name]) for name in ("chain", "protocol", "peer", "blob"))
    identity = KeyIdentity(KeyIdentity.number(1).key, chain=chain)
    context = TransportContext("transport-libp2p", directory, logging.getLogger("soma.test"), identity)
    asked = {"attacks": names, "seconds": seconds, "peers": PEERS, "spoofed": identity.peer.hex(), **place}
    async with soma_transport().open(Libp2pConfig(), context) as transport, trio.open_nursery() as nursery:
        network = Network(
            transport,
            identity.peer,
            Hello(chain, protocol),
            [Address(PeerId(node), place["address"])],
            random=Random(SEED),
        )
        await nursery.start(network.run)
        with trio.fail_after(20):
            while not network.peers:
                await network.changed.wait()
        honest = Honest(network, PeerId(node), blob, directory)
        before = most = resident(pid)
        process = await trio.lowlevel.open_process(
            [sys.executable, hostile_peers.__file__, json.dumps(asked)], stdout=subprocess.PIPE
        )
        nursery.start_soon(honest.ask)
        nursery.start_soon(honest.fetch)
        assert process.stdout is not None
        with trio.fail_after(seconds + 60):
            while process.poll() is None:
                most = max(most, resident(pid))
                await trio.sleep(0.02)
        report = json.loads(await process.stdout.receive_some(1 << 20))
        await process.stdout.aclose()
        assert process.returncode == 0
        await trio.sleep(1)
        dials = network.statistics.dials
        nursery.cancel_scope.cancel()
    return {
        "tried": sum(entry["tried"] for entry in report.values()),
        "hostile_connections_ended": sum(entry["cut"] for entry in report.values()),
        "wrongly_accepted": sum(entry["wrong"] for entry in report.values()),
        "rss_before_mib": round(before / MIB, 1),
        "rss_growth_mib": round((most - before) / MIB, 1),
        "honest_sent": honest.sent,
        "honest_answered": honest.answered,
        "honest_blobs": honest.blobs,
        "honest_slowest_seconds": round(honest.slowest, 3),
        "honest_reconnected": dials - 1,
        "failures": honest.failures[:5],
        "crashes": int(victim.process.poll() is not None),
    }


@pytest.fixture(scope="module")
def place(victim: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Where the node is, which network it is of, and a blob that it has."""
    status, genesis = (json.loads(victim.soma(what, "--json")) for what in ("status", "genesis"))
    file = tmp_path_factory.mktemp("data") / "data"
    file.write_bytes(Random(SEED).randbytes(1 << 20))
    with Node(victim.directory) as control:
        blob = control.put_file(file, 1 << 20)
    return {
        "address": status["addresses"][0],
        "peer": status["node"],
        "chain": genesis["chain"],
        "protocol": genesis["protocol"],
        "blob": blob.hex(),
    }


@pytest.fixture(scope="module")
def results(victim: RunningNode) -> Iterator[dict[str, Any]]:
    """What was found, by attack; written down at the end of a whole run."""
    assert victim.process is not None
    found: dict[str, Any] = {}
    base = resident(victim.process.pid)
    yield found
    if len(found) < len(ATTACKS) or "SOMA_ABUSE_SECONDS" in os.environ:
        return
    about = {
        "what": "one node attacked by many peers, while an honest peer asks for commits and fetches a blob of 1 MiB",
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "seed": SEED,
        "hostile_peers": PEERS,
        "seconds_each": SECONDS,
        "budget_mib": PEER_MEMORY // MIB,
        "rss_at_start_mib": round(base / MIB, 1),
        "rss_at_end_mib": round(resident(victim.process.pid) / MIB, 1),
        "attacks": found,
    }
    (SPECS / "results" / "transport.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def machine() -> str:
    """Cores, their model, and the system."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} cores, {model}, {platform.system()} {platform.release()}"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_honest_peer_is_served_and_memory_is_bounded(
    name: str, victim: RunningNode, place: dict[str, Any], results: dict[str, Any], tmp_path: Path
) -> None:
    names, seconds = ATTACKS[name]
    seconds = float(os.environ.get("SOMA_ABUSE_SECONDS", seconds))
    result = results[name] = trio.run(attacked, victim, place, names, seconds, tmp_path)
    assert result["crashes"] == 0, victim.log.read_text("utf-8")[-3000:]
    assert result["tried"] >= PEERS
    assert result["wrongly_accepted"] == 0
    unanswered = result["honest_sent"] - result["honest_answered"]
    assert unanswered <= result["honest_sent"] / 20, result["failures"]  # 3 s for a manifest, on a machine this busy
    assert result["honest_answered"] > 2 * seconds
    assert result["honest_blobs"] > seconds / 4
    assert result["honest_reconnected"] == 0
    assert result["honest_slowest_seconds"] < SLOWEST
    assert result["rss_growth_mib"] < MOST_GROWTH / MIB
    assert "Traceback" not in victim.log.read_text("utf-8")


def test_the_node_goes_on(victim: RunningNode, place: dict[str, Any], results: dict[str, Any]) -> None:
    """It orders commits as before, and what it held is free again."""
    assert victim.process is not None
    commit = json.loads(victim.soma("status", "--json"))["commit"]
    deadline = time.monotonic() + 30
    while json.loads(victim.soma("status", "--json"))["commit"] <= commit:
        assert time.monotonic() < deadline
    assert len([*Path(f"/proc/{victim.process.pid}/fd").iterdir()]) < 100, "no descriptor is left behind"
