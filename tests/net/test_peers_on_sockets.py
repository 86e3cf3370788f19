"""The same over real sockets: py-libp2p on loopback, real threads, a real clock."""

import os
from pathlib import Path

import pytest
import trio
from net.peers_world import HELLO, connected, peer_of
from net.sockets_world import node

from soma_core.net import Refusal, Reply, fetch


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
