"""The guards that are `net`'s, with real sockets and processes. Those of the transport: `test_libp2p_guards.py`."""

import os
import signal
import struct
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import hostile_peers
import pytest
import trio
from hostile_peers import Attack, attacker, tcp
from net.peers_world import HELLO, connected, peer_of
from net.sockets_world import node, process

from soma_core.net import BlobStore, Network, fetch
from soma_core.net import _hello as hello_rules
from soma_core.net import _link as link_rules
from soma_core.net import _peers as peers_rules

MIB = 1 << 20


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats of 100 ms on our side."""
    for rules in (link_rules, peers_rules):
        monkeypatch.setattr(rules, "BEAT", 0.1)


def attack(address: str, peers: int = 1, blob: bytes = b"") -> Attack:
    return Attack(address, peer_of(1), HELLO.chain, HELLO.protocol, peers, blob, peer_of(2))


async def served(asker: Network, number: int, limit: float = 5.0) -> None:
    """A request is answered, in time."""
    reply = await asker.request(peer_of(number), "sync", "test.echo", {"n": 1}, b"x" * 1000, timeout=limit)
    assert reply.payload == b"x" * 1000


# Frozen, gone, reborn -------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_frozen_peer_is_noticed_by_heartbeat_and_cut(tmp_path: Path, quick: None) -> None:
    """A process stopped by SIGSTOP: its system goes on acknowledging, a writer waits for it, nothing ever comes."""
    async with process(1, tmp_path / "1") as frozen, node(2, tmp_path / "2", frozen.where) as (two, _, _):
        await connected(two, 1)
        await served(two, 1)
        frozen.signal(signal.SIGSTOP)
        started = trio.current_time()
        while two.consensus_send(peer_of(1), bytes(500_000)):
            await trio.lowlevel.checkpoint()
        await connected(two)
        assert trio.current_time() - started < 1.5
        assert two.statistics.frozen == 1
        assert two._budget.held == 0, "what waited for it is forgotten"
        frozen.signal(signal.SIGCONT)
        await connected(two, 1)
        await served(two, 1)


@pytest.mark.slow
async def test_failed_dial_and_reconnect_are_ours_without_a_blacklist(tmp_path: Path) -> None:
    """The peer is not there, comes, is killed, comes again at once: each time it is found within moments."""
    async with process(1, tmp_path / "1") as gone:
        where = gone.where
    port = int(where.address.split("/")[4])
    async with node(2, tmp_path / "2", where) as (two, _, _):
        while two.statistics.failed_dials < 2:  # noqa: ASYNC110  # nobody tells
            await trio.sleep(0.02)
        for _ in range(2):
            async with process(1, tmp_path / "1", port=port) as one:
                assert one.where == where
                started = trio.current_time()
                await connected(two, 1)
                assert trio.current_time() - started < 30, "py-libp2p would wait for a minute"
                await served(two, 1)
                one.signal(signal.SIGKILL)
                await connected(two)
        assert two.statistics.frozen == 0, "an end is noticed as such"


@pytest.mark.slow
@pytest.mark.parametrize("dials", ["reborn", "survivor"])
async def test_reborn_peer_with_the_same_identity_takes_over(tmp_path: Path, dials: str) -> None:
    """The old process is frozen, its socket open. The newest connection wins; all channels work, both ways."""
    async with AsyncExitStack() as stack:
        (tmp_path / "old").mkdir()
        book = []
        if dials == "survivor":
            old = await stack.enter_async_context(process(2, tmp_path / "old"))
            book = [old.where]
        one, blobs, where = await stack.enter_async_context(node(1, tmp_path / "1", *book))
        if dials == "reborn":
            old = await stack.enter_async_context(process(2, tmp_path / "old", where))
        await connected(one, 2)
        stale = one._links[peer_of(2)]
        old.signal(signal.SIGSTOP)
        await stack.enter_async_context(process(2, tmp_path / "new", where))
        while one._links.get(peer_of(2)) in {stale, None}:  # noqa: ASYNC110  # nobody tells of the swap
            await trio.sleep(0.01)
        assert one.peers == (peer_of(2),)
        await served(one, 2)
        assert one.consensus_send(peer_of(2), b"a block")
        assert await one.consensus_messages.receive() == (peer_of(2), b"a block")
        name = blobs.put(os.urandom(MIB))
        reply = await one.request(peer_of(2), "sync", "test.fetch", {"blob": name})
        assert reply.body == {"has": True}, "the reborn peer asks us, and is answered"
        assert stale.reason is not None


# Slow, silent, false --------------------------------------------------------------------------------------------------


async def drip(write: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
    """A byte at a time, until it is cut off."""
    with suppress(Exception):
        for byte in data:
            await write(bytes([byte]))
            await trio.sleep(0.05)


async def test_slow_loris_before_the_hello_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof is there, the hello of the network comes byte by byte."""
    monkeypatch.setattr(hello_rules, "HELLO_LIMIT", 0.3)
    monkeypatch.setattr(hello_rules, "FAREWELL_LIMIT", 0.1)
    async with node(1, tmp_path / "1") as (one, _, where), attacker(where.address) as us:
        streams = await us.prove(attack(where.address).identity(0), peer_of(1))
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, streams["sync"].write, struct.pack(">I", 1000))
            await us.muxed.event_closed.wait()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started < 1.5
        assert (one.peers, one.statistics.refused) == ((), 1)


@pytest.mark.parametrize("place", ["inside a record", "inside a message", "inside a message, speaking elsewhere"])
async def test_slow_loris_after_the_hello_holds_nobody_up(tmp_path: Path, quick: None, place: str) -> None:
    """Who says nothing whole is silent. Who speaks elsewhere may go on, and costs what has come of it."""
    async with (
        node(1, tmp_path / "1") as (one, _, where),
        node(2, tmp_path / "2", where) as (two, _, _),
        attack(where.address).friend(0) as loris,
        trio.open_nursery() as nursery,
    ):
        while len(one.peers) < 2:
            await one.changed.wait()
        if "speaking" in place:

            async def alive() -> None:
                while True:
                    await loris.say("hints", "note", 0, "some.hint")
                    await trio.sleep(0.05)

            nursery.start_soon(alive)
            nursery.start_soon(drip, lambda data: loris.write("blobs", data), struct.pack(">I", MIB) + bytes(100))
            await trio.sleep(0.8)
            assert 4 < one._budget.held < 1000
            assert len(one.peers) == 2
        else:
            write = loris.muxed.stream.send_all if place == "inside a record" else partial(loris.write, "sync")
            nursery.start_soon(drip, write, b"\x00\x0f\xff\xff" + bytes(1000))
            await connected(one, 2)
            assert one.statistics.frozen == 1
        await served(two, 1)
        nursery.cancel_scope.cancel()


async def test_identity_spoofing_reaches_nobody(tmp_path: Path) -> None:
    """Who claims another's key is never a peer, and does not displace the one who holds it."""
    async with node(1, tmp_path / "1") as (one, _, where), node(2, tmp_path / "2", where) as (two, _, _):
        await connected(one, 2)
        link = one._links[peer_of(2)]
        spoof = attack(where.address, peers=5)
        with trio.move_on_after(0.7):
            await hostile_peers.identity_spoofing(spoof)
        assert spoof.cut >= 5
        assert spoof.wrong == 0
        assert one.peers == (peer_of(2),)
        assert one._links[peer_of(2)] is link
        await served(two, 1)


async def test_half_open_flood_of_450_does_not_lock_a_peer_out(tmp_path: Path) -> None:
    """With the settings as they are, and from the address that the honest peer has too."""
    async with process(1, tmp_path / "1") as one, AsyncExitStack() as stack:
        for _ in range(450):
            await stack.enter_async_context(await tcp(one.where.address))
        started = trio.current_time()
        async with node(2, tmp_path / "2", one.where) as (two, _, _):
            await connected(two, 1)
            assert trio.current_time() - started < 2
            await served(two, 1)
            assert two.statistics.dials == 1


# How much they hold ---------------------------------------------------------------------------------------------------


async def honest(network: Network, directory: Path, blob: bytes, counts: list[float]) -> None:
    """Ask and fetch until cancelled; the seconds that each took."""
    turn = 0
    while True:
        turn += 1
        started = trio.current_time()
        await served(network, 1, 10)
        store_at = directory / f"got-{turn}"
        store_at.mkdir()
        await fetch(network, BlobStore(store_at), blob, [peer_of(1)])
        counts.append(trio.current_time() - started)


@pytest.mark.slow
async def test_memory_of_all_peers_together_is_bounded_while_an_honest_one_is_served(
    tmp_path: Path,
) -> None:
    """20 hostile proved peers make the node hold all that they can; by themselves each may have 50 MiB."""
    budget = 24 * MIB
    (tmp_path / "1" / "blobs").mkdir(parents=True)
    blob = BlobStore(tmp_path / "1" / "blobs").put(os.urandom(MIB))
    took: list[float] = []
    async with (
        process(1, tmp_path / "1", budget=budget) as one,
        node(2, tmp_path / "2", one.where) as (two, _, _),
        trio.open_nursery() as nursery,
    ):
        await connected(two, 1)
        nursery.start_soon(honest, two, tmp_path, blob, took)
        await trio.sleep(0.3)
        before = most = one.resident()
        hogs = attack(one.where.address, 20, blob)
        nursery.start_soon(hostile_peers.memory_hogs, hogs)
        until = trio.current_time() + 4
        while trio.current_time() < until:
            await trio.sleep(0.01)
            most = max(most, one.resident())
        assert two.statistics.dials == 1, "the honest peer was never cut"
        nursery.cancel_scope.cancel()
    assert hogs.cut > 5, "the hostile ones were"
    assert len(took) > 3
    assert max(took) < 5
    assert most - before < 3 * budget, "what the allocator keeps of what was freed included"
