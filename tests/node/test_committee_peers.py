"""Who of the committee is connected reaches the driver, whenever it came, also by a connection in place of another."""

from types import SimpleNamespace
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

    def connected(self, place: int) -> None:
        self.heard.append(("up", place))

    def disconnected(self, place: int) -> None:
        self.heard.append(("down", place))

    async def received(self, place: int, message: bytes) -> None:
        self.heard.append((place, message))
        await self.busy.wait()


def committee(network: Any, *numbers: int) -> Committee:
    genesis: Any = SimpleNamespace(validators=[SimpleNamespace(node=peer_of(number)) for number in numbers])
    return Committee(genesis, network)


async def test_members_that_were_there_before_and_that_come_and_go(autojump_clock: Any) -> None:
    fabric, driver = Fabric(), Told()
    async with node(fabric, 1) as one, trio.open_nursery() as nursery:
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
            nursery.start_soon(committee(one, 3, 2, 1).watch, driver)
            await trio.sleep(0.1)
            assert driver.heard == [("up", 1)]
            async with node(fabric, 3, [address(1, "/memory/1")]), node(fabric, 4, [address(1, "/memory/1")]):
                await connected(one, 2, 3, 4)
            await connected(one, 2)
        await connected(one)
        await trio.sleep(0.1)
        assert driver.heard == [("up", 1), ("up", 0), ("down", 0), ("down", 1)]
        nursery.cancel_scope.cancel()


async def test_a_new_connection_in_place_of_an_older_one_is_told(autojump_clock: Any) -> None:
    fabric, driver = Fabric(), Told()
    async with node(fabric, 1) as one, trio.open_nursery() as nursery:
        nursery.start_soon(committee(one, 1, 2).watch, driver)
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
            first = one.connections[peer_of(2)]
            async with node(fabric, 2, [address(1, "/memory/1")]):
                while one.connections.get(peer_of(2)) == first:
                    await one.changed.wait()
                await trio.sleep(0.1)
                assert one.connections[peer_of(2)] > first
                assert driver.heard == [("up", 1), ("up", 1)]
        nursery.cancel_scope.cancel()


async def test_reading_waits_for_the_driver_and_strangers_are_not_heard(autojump_clock: Any) -> None:
    driver = Told()
    async with pair(Fabric()) as (one, two), trio.open_nursery() as nursery:
        nursery.start_soon(committee(one, 7, 2).hear, driver)
        for message in (b"a", b"b"):
            committee(two, 1).send(0, message)
        await trio.sleep(1)
        assert driver.heard == [(1, b"a")]
        driver.busy.set()
        await trio.sleep(1)
        assert driver.heard == [(1, b"a"), (1, b"b")]
        nursery.cancel_scope.cancel()
    driver = Told()
    async with pair(Fabric()) as (one, two), trio.open_nursery() as nursery:
        nursery.start_soon(committee(one, 7).hear, driver)
        committee(two, 1).send(0, b"stranger")
        await trio.sleep(1)
        assert driver.heard == []
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("place", [0, 1])
async def test_what_is_said_to_who_is_not_connected_is_lost(place: int, autojump_clock: Any) -> None:
    async with node(Fabric(), 1) as one:
        committee(one, 1, 2).send(place, b"lost")
        assert one.statistics.lost == 1
