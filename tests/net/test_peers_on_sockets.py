"""The same over real sockets: py-libp2p on loopback, real threads, a real clock."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import evolve
from net.peers_world import HELLO, connected, peer_of, who

from soma_core.api import TransportContext
from soma_core.net import Address, BlobStore, Network, Refusal, Reply, fetch, serve_blobs
from soma_libp2p import Libp2pConfig, soma_transport

LIMIT = 20.0
"""Seconds; none needs a tenth of it."""


@asynccontextmanager
async def node(
    number: int, directory: Path, *book: Address, chain: bytes = HELLO.chain
) -> AsyncIterator[tuple[Network, BlobStore, Address]]:
    """A node with a store of blobs; where others dial it."""
    await trio.Path(directory / "blobs").mkdir(parents=True)
    context = TransportContext("transport-libp2p", directory, logging.getLogger("soma.test"), who(number))
    async with soma_transport().open(Libp2pConfig(), context) as transport, trio.open_nursery() as nursery:
        hello = evolve(HELLO, chain=chain, addresses=transport.addresses)
        network = Network(transport, peer_of(number), hello, book, random=Random(number))
        store = BlobStore(directory / "blobs")
        serve_blobs(network, store)

        async def echo(_peer: bytes, body: object, payload: bytes) -> Reply:
            return Reply({"got": body}, payload)

        network.serve("test.echo", echo, channel="sync", max_payload=1 << 19)
        await nursery.start(network.run)
        with trio.fail_after(LIMIT):
            yield network, store, Address(peer_of(number), transport.addresses[0])
        nursery.cancel_scope.cancel()


async def test_two_nodes_greet_ask_and_share_a_blob(tmp_path: Path) -> None:
    data = os.urandom(1 << 20)
    async with (
        node(1, tmp_path / "1") as (one, theirs, where),
        node(2, tmp_path / "2", where) as (two, ours, _),
    ):
        await connected(one, 2)
        await connected(two, 1)
        assert two.hello_of(peer_of(1)).addresses == (where.address,)
        reply = await two.request(peer_of(1), "sync", "test.echo", {"n": 1}, data[: 1 << 19])
        assert reply == Reply({"got": {"n": 1}}, data[: 1 << 19])
        with pytest.raises(Refusal, match=r"does not serve test\.none"):
            await one.request(peer_of(2), "sync", "test.none")
        assert one.consensus_send(peer_of(2), b"a block")
        assert await two.consensus_messages.receive() == (peer_of(1), b"a block")
        name = theirs.put(data)
        await fetch(two, ours, name, two.peers)
        assert ours.get(name) == data
        for network in (one, two):
            assert (network.statistics.breaches, network.statistics.refused, network.statistics.frozen) == (0, 0, 0)


async def test_both_ends_learn_why_a_foreign_chain_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        node(1, tmp_path / "1") as (one, _, where),
        node(2, tmp_path / "2", where, chain=b"x" * 32) as (two, _, _),
    ):
        while not (one.statistics.refused and two.statistics.refused):  # noqa: ASYNC110  # nobody tells
            await trio.sleep(0.01)
    ours, foreign = HELLO.chain.hex(), (b"x" * 32).hex()
    assert f"the peer is on chain {foreign}, we are on {ours}" in caplog.text
    assert f"the peer is on chain {ours}, we are on {foreign}" in caplog.text
