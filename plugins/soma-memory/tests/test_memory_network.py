"""What is the memory network's own: time, loss, reordering and partition, all of it from one seed."""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from soma_core.api import Connection, PeerGone, TransportContext
from soma_core.testing import KeyIdentity
from soma_memory import Fabric, MemoryConfig, network, open_transport, transport_on

ONE, TWO, THREE = (KeyIdentity.number(n) for n in (1, 2, 3))


@asynccontextmanager
async def linked(fabric: Fabric) -> AsyncIterator[tuple[Connection, Connection]]:
    async with transport_on(fabric, ONE) as one, transport_on(fabric, TWO) as two:
        near = await one.dial(two.addresses[0], TWO.peer)
        yield near, await two.accept()


async def arrivals(fabric: Fabric, count: int) -> list[tuple[bytes, float]]:
    """What arrives of `count` messages sent at once, and how many milliseconds later."""
    got: list[tuple[bytes, float]] = []
    async with linked(fabric) as (near, far):
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(near.send, "sync", [b"%d" % n for n in range(count)])
            with trio.move_on_after(60):
                while True:
                    message = await far.receive("sync")
                    got.append((message, round(1000 * (trio.current_time() - start), 3)))
    return got


async def test_message_takes_as_long_as_the_network_says(autojump_clock: MockClock) -> None:
    (first, at), *_ = await arrivals(Fabric(delay_ms=(250, 250)), 3)
    assert (first, at) == (b"0", 250.0)
    got = await arrivals(Fabric(seed=1, delay_ms=(10, 90), queue=500), 400)
    assert [m for m, _ in got] == [b"%d" % n for n in range(400)], "delay alone keeps the order"
    assert 10 <= got[0][1] <= got[-1][1] <= 90.001


async def test_dialling_takes_a_round_trip(autojump_clock: MockClock) -> None:
    fabric = Fabric(delay_ms=(100, 100))
    async with transport_on(fabric, ONE) as one, transport_on(fabric, TWO) as two:
        start = trio.current_time()
        await one.dial(two.addresses[0], TWO.peer)
        assert trio.current_time() - start == pytest.approx(0.2)


async def test_loss_is_the_share_that_was_asked_for(autojump_clock: MockClock) -> None:
    got = await arrivals(Fabric(seed=3, loss=0.25, queue=5000), 2000)
    assert 1400 < len(got) < 1600
    assert [int(m) for m, _ in got] == sorted(int(m) for m, _ in got)
    assert await arrivals(Fabric(loss=1.0), 200) == []


async def test_reordering_changes_the_order_and_loses_nothing(autojump_clock: MockClock) -> None:
    got = [int(m) for m, _ in await arrivals(Fabric(seed=4, reorder=0.2, delay_ms=(1, 5), queue=500), 300)]
    assert got != sorted(got)
    assert sorted(got) == list(range(300))


async def test_one_seed_is_one_history(autojump_clock: MockClock) -> None:
    def bad(seed: int) -> Fabric:
        return Fabric(seed=seed, delay_ms=(1, 50), loss=0.1, reorder=0.1, queue=500)

    first, again, other = await arrivals(bad(5), 200), await arrivals(bad(5), 200), await arrivals(bad(6), 200)
    assert first == again
    assert first != other


async def test_partition_is_silent_and_healing_delivers(autojump_clock: MockClock) -> None:
    fabric = Fabric(delay_ms=(5, 5))
    async with linked(fabric) as (near, far):
        await near.send("sync", [b"before"])
        assert await far.receive("sync") == b"before"
        fabric.partition([ONE.peer], [TWO.peer])
        await near.send("sync", [b"during"])
        with trio.move_on_after(1000) as waited:
            await far.receive("sync")
        assert waited.cancelled_caught
        fabric.heal()
        assert await far.receive("sync") == b"during"


async def test_end_is_not_known_across_a_partition(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with linked(fabric) as (near, far):
        fabric.partition([ONE.peer], [TWO.peer])
        await near.aclose()
        with trio.move_on_after(1000) as waited:
            await far.receive("sync")
        assert waited.cancelled_caught
        with trio.move_on_after(1000) as waited:
            await far.send("sync", [b"x"] * 100)
        assert waited.cancelled_caught, "the queue is full and nobody tells"
        fabric.heal()
        with pytest.raises(PeerGone):
            await far.receive("sync")
        with pytest.raises(PeerGone):
            await far.send("sync", [b"x"])


async def test_who_waits_hears_of_healing(autojump_clock: MockClock) -> None:
    fabric = Fabric()

    async def heal_later() -> None:
        await trio.sleep(30)
        fabric.heal()

    async with linked(fabric) as (near, far), trio.open_nursery() as nursery:
        fabric.partition([ONE.peer, THREE.peer], [TWO.peer])
        await near.send("hints", [b"late"])
        nursery.start_soon(heal_later)
        assert await far.receive("hints") == b"late"
        assert trio.current_time() >= 30


async def test_dialling_across_a_partition_fails_and_within_a_group_works(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(transport_on(fabric, who)) for who in (ONE, TWO, THREE)]
        fabric.partition([ONE.peer, TWO.peer])
        assert (await one.dial(two.addresses[0], TWO.peer)).peer == TWO.peer
        with pytest.raises(PeerGone, match="cannot be reached"):
            await one.dial(three.addresses[0], THREE.peer)


async def test_unaccepted_connections_are_bounded(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with transport_on(fabric, ONE) as one, transport_on(fabric, TWO) as two:
        for _ in range(64):
            await one.dial(two.addresses[0], TWO.peer)
        with pytest.raises(PeerGone, match="takes no connection now"):
            await one.dial(two.addresses[0], TWO.peer)
        await two.accept()
        await one.dial(two.addresses[0], TWO.peer)


async def test_named_networks_are_apart_and_end_with_their_last_transport(tmp_path: Path) -> None:
    def context(identity: KeyIdentity) -> TransportContext:
        return TransportContext("transport-memory", tmp_path, logging.getLogger("t"), identity)

    red, blue = MemoryConfig(network="red", delay_ms_min=3), MemoryConfig(network="blue")
    async with open_transport(red, context(ONE)) as one:
        assert network("red").delay_ms == (3, 3)
        async with open_transport(blue, context(TWO)) as two:
            with pytest.raises(PeerGone):
                await one.dial(two.addresses[0], TWO.peer)
    with pytest.raises(KeyError):
        network("red")


def test_importing_the_plugin_imports_no_trio() -> None:
    code = "import sys, soma_memory; print('trio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
