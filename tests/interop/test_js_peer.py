"""A peer of another make meets ours: js-libp2p, and the rules of ``specs`` alone. Run by ``nox -s interop``."""

import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import trio
from running_node import RunningNode
from vectors import DIRECTORY

from soma_core.api import PeerId, TransportContext
from soma_core.cli._client import Node
from soma_core.crypto import SecretKey
from soma_core.net import Address, BlobStore, Hello, Network, Refusal, fetch
from soma_core.testing import KeyIdentity
from soma_libp2p import Libp2pConfig, soma_transport

HERE: Final = Path(__file__).parent
CHAIN, PROTOCOL, SECRET = b"c" * 32, b"p" * 32, b"\7" * 32
LIMIT = 60.0
"""Seconds for one visit, of which a few are heartbeats."""


NODE: Final = ("node", "--import", "./node20.mjs")


def command(mode: str, **facts: Any) -> list[str]:
    return [*NODE, "peer.mjs", mode, json.dumps({"secret": SECRET.hex(), **facts})]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    running = RunningNode(tmp_path_factory.mktemp("interop") / "node")
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def visit(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, Any]]:
    """The data that the guest was to fetch, and its report."""
    data = os.urandom(3 * (256 << 10) + 7)
    file = tmp_path_factory.mktemp("data") / "data"
    file.write_bytes(data)
    with Node(node.directory) as control:
        blob = control.put_file(file, len(data))
    status, genesis = (json.loads(node.soma(what, "--json")) for what in ("status", "genesis"))
    facts = {"address": status["addresses"][0], "key": status["node"], "blob": blob.hex()}
    done = subprocess.run(
        command("guest", chain=genesis["chain"], protocol=genesis["protocol"], **facts),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr, node.log.read_text())
    return data, json.loads(done.stdout)


def test_a_node_is_greeted_and_gives_a_blob(visit: tuple[bytes, dict[str, Any]]) -> None:
    data, report = visit
    assert report["hello"]["api"] == 1
    assert report["fetched"] == {"chunks": 4, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_requests_that_cannot_be_served_are_refused_by_their_codes(visit: tuple[bytes, dict[str, Any]]) -> None:
    refused = visit[1]["refused"]
    assert {code: fault["kind"] for code, fault in refused.items()} == dict.fromkeys(
        ("absent", "malformed", "unknown"), "error"
    )
    assert all(fault["text"] for fault in refused.values())


def test_bad_frames_end_the_connection_at_once_and_nothing_else(
    visit: tuple[bytes, dict[str, Any]], node: RunningNode
) -> None:
    report = visit[1]
    assert len(report["cut"]) == 6
    assert {name: seconds for name, seconds in report["cut"].items() if seconds > 1} == {}
    log = node.log.read_text()
    assert log.count("breach of the network rules") == 4, "two lengths are the transport's to refuse"
    assert report["again"] == report["fetched"], "who sent bad frames is no liar, and is served again"
    assert "Traceback" not in log
    assert json.loads(node.soma("status", "--json"))["supply"]["drift"] == 0


def test_a_foreign_chain_is_refused_by_both(visit: tuple[bytes, dict[str, Any]], node: RunningNode) -> None:
    assert visit[1]["foreign"] == "another chain"
    assert f"the peer is on chain {'00' * 32}" in node.log.read_text()


def test_the_other_make_keeps_the_vectors() -> None:
    done = subprocess.run([*NODE, "vectors.mjs"], cwd=HERE, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    net, blobs = (json.loads((DIRECTORY / name).read_text("utf-8")) for name in ("net.json", "blobs.json"))
    cases = [*net["messages"], *net["invalid_messages"], *net["proofs"], *blobs["blobs"]]
    assert int(done.stdout) == len(cases)


@contextmanager
def js_host(size: int) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    """A JavaScript peer that listens and has a blob of `size` bytes; what it says of itself."""
    facts = {"chain": CHAIN.hex(), "protocol": PROTOCOL.hex(), "size": size}
    with subprocess.Popen(
        command("host", **facts), cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        try:
            yield host, json.loads(host.stdout.readline())
            host.stdin.close()  # it stops by itself then
            assert host.wait(10) == 0
        finally:
            host.kill()


async def test_our_side_dials_greets_and_fetches(tmp_path: Path) -> None:
    me = KeyIdentity(SecretKey(b"\1" * 32), chain=CHAIN)
    context = TransportContext("transport-libp2p", tmp_path, logging.getLogger("soma.test"), me)
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    store = BlobStore(blobs)
    with js_host(5 * (256 << 10)) as (host, said):
        book = [Address(PeerId(bytes.fromhex(said["key"])), said["address"])]
        async with soma_transport().open(Libp2pConfig(), context) as transport, trio.open_nursery() as nursery:
            network = Network(transport, me.peer, Hello(CHAIN, PROTOCOL), book, random=Random(1))
            await nursery.start(network.run)
            with trio.fail_after(LIMIT):
                while not network.peers:
                    await network.changed.wait()
                await fetch(network, store, bytes.fromhex(said["blob"]), network.peers)
                with pytest.raises(Refusal, match=r"no test\.none here") as refused:
                    await network.request(book[0].peer, "sync", "test.none")
                assert refused.value.code == "unknown"
                await trio.sleep(6)  # longer than three heartbeats: they are answered, or it would be over
            statistics = network.statistics
            assert network.hello_of(book[0].peer).version == "js"
            nursery.cancel_scope.cancel()
        assert hashlib.sha256(store.get(bytes.fromhex(said["blob"]))).hexdigest() == said["sha256"]
        assert (statistics.dials, statistics.breaches, statistics.frozen, statistics.refused) == (1, 0, 0, 0)
        assert json.loads(host.stdout.readline()) == {"met": me.peer.hex(), "version": ""}
