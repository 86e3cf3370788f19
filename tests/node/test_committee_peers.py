"""Who is connected reaches the driver, whenever it came, also by a connection in place of another."""

from typing import Any

import pytest
import trio
from net.peers_world import address, connected, node, pair, peer_of

from soma_core.node.committee import Committee
from soma_memory import Fabric


class Told:
    """A driver that writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.busy = trio.Event()

    def connected(self, node: bytes) -> None:
        self.heard.append(("up", node))

    def disconnected(self, node: bytes) -> None:
        self.heard.append(("down", node))

    async def received(self, node: bytes, message: bytes) -> None:
        self.heard.append((node, message))
        await self.busy.wait()


async def test_peers_that_were_there_before_and_that_come_and_go(autojump_clock: Any) -> None:
    fabric, driver = Fabric(), Told()
    two, three = peer_of(2), peer_of(3)
    async with node(fabric, 1) as one, trio.open_nursery() as nursery:
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
            nursery.start_soon(Committee(one).watch, driver)
            await trio.sleep(0.1)
            assert driver.heard == [("up", two)]
            async with node(fabric, 3, [address(1, "/memory/1")]):
                await connected(one, 2, 3)
            await connected(one, 2)
        await connected(one)
        await trio.sleep(0.1)
        assert driver.heard == [("up", two), ("up", three), ("down", three), ("down", two)]
        nursery.cancel_scope.cancel()


async def test_a_new_connection_in_place_of_an_older_one_is_told(autojump_clock: Any) -> None:
    fabric, driver = Fabric(), Told()
    async with node(fabric, 1) as one, trio.open_nursery() as nursery:
        nursery.start_soon(Committee(one).watch, driver)
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
            first = one.connections[peer_of(2)]
            async with node(fabric, 2, [address(1, "/memory/1")]):
                while one.connections.get(peer_of(2)) == first:
                    await one.changed.wait()
                await trio.sleep(0.1)
                assert one.connections[peer_of(2)] > first
                assert driver.heard == [("up", peer_of(2)), ("up", peer_of(2))]
        nursery.cancel_scope.cancel()


async def test_reading_waits_for_the_driver(autojump_clock: Any) -> None:
    driver = Told()
    async with pair(Fabric()) as (one, two), trio.open_nursery() as nursery:
        nursery.start_soon(Committee(one).hear, driver)
        for message in (b"a", b"b"):
            Committee(two).send(peer_of(1), message)
        await trio.sleep(1)
        assert driver.heard == [(peer_of(2), b"a")]
        driver.busy.set()
        await trio.sleep(1)
        assert driver.heard == [(peer_of(2), b"a"), (peer_of(2), b"b")]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("number", [1, 2])
async def test_what_is_said_to_who_is_not_connected_is_lost(number: int, autojump_clock: Any) -> None:
    async with node(Fabric(), 1) as one:
        Committee(one).send(peer_of(number), b"lost")
        assert one.statistics.lost == 1
