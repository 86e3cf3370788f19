"""Nodes and misbehaving peers on a memory fabric, for tests of what peers say to each other."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from attrs import evolve

from soma_core.api import Channel, Connection, PeerGone, PeerId
from soma_core.net import Address, Hello, Network
from soma_core.net._message import Message, decode_message, encode_message
from soma_core.records import to_value
from soma_core.testing import KeyIdentity
from soma_memory import Fabric, transport_on

HELLO = Hello(chain=b"c" * 32, protocol=b"p" * 32, version="1.2.3")
LIMIT = 300.0
"""Virtual seconds after which a test that hangs fails."""


def who(number: int) -> KeyIdentity:
    return KeyIdentity.number(number)


def peer_of(number: int) -> PeerId:
    return who(number).peer


def address(number: int, place: str) -> Address:
    return Address(peer_of(number), place)


Prepare = Callable[[Network], None]


@asynccontextmanager
async def node(
    fabric: Fabric,
    number: int,
    book: Iterable[Address] = (),
    *,
    prepare: Prepare = lambda _network: None,
    hello: Hello = HELLO,
    **settings: Any,
) -> AsyncIterator[Network]:
    """A working `Network` of the identity `number`. Transports of one fabric listen at /memory/1, 2, … in order."""
    async with transport_on(fabric, who(number)) as transport, trio.open_nursery() as nursery:
        network = Network(transport, peer_of(number), hello, tuple(book), random=Random(number), **settings)
        prepare(network)
        await nursery.start(network.run)
        with trio.fail_after(LIMIT):
            yield network
        nursery.cancel_scope.cancel()


async def connected(network: Network, *numbers: int) -> None:
    """Return once exactly these peers are connected."""
    while True:
        changed = network.changed
        if set(network.peers) == {peer_of(n) for n in numbers}:
            return
        await changed.wait()


@asynccontextmanager
async def pair(
    fabric: Fabric, *, first: Prepare = lambda _n: None, second: Prepare = lambda _n: None, **settings: Any
) -> AsyncIterator[tuple[Network, Network]]:
    """Nodes 1 and 2, connected: 2 has dialled 1."""
    async with (
        node(fabric, 1, prepare=first) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=second, **settings) as two,
    ):
        await connected(one, 2)
        await connected(two, 1)
        yield one, two


class Stranger:
    """The far end of a connection, which says whatever a test wants."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def say(self, channel: Channel, kind: Any, number: int = 0, op: str = "", **rest: Any) -> None:
        await self.say_bytes(channel, encode_message(Message(kind, number, op, **rest)))

    async def say_bytes(self, channel: Channel, data: bytes) -> None:
        await self.connection.send(channel, [data])

    async def hear(self, channel: Channel) -> Message:
        return decode_message(await self.connection.receive(channel))

    async def hear_kind(self, channel: Channel, kind: str) -> Message:
        while True:
            message = await self.hear(channel)
            if message.kind == kind:
                return message

    async def greet(self, **changes: Any) -> Message:
        """Say hello, and give what the other side says first."""
        await self.say("sync", "hello", body=to_value(evolve(HELLO, **changes)))
        return await self.hear("sync")

    async def live(self) -> None:
        """Answer heartbeats until the other side hangs up."""
        try:
            while True:
                message = await self.hear("sync")
                if message.kind == "ping":
                    await self.say("sync", "pong", message.id)
        except PeerGone:
            return

    async def until_gone(self, channel: Channel = "sync") -> None:
        """Return when the other side hangs up."""
        try:
            while True:
                await self.connection.receive(channel)
        except PeerGone:
            return


@asynccontextmanager
async def stranger(fabric: Fabric, number: int, target: int, place: str) -> AsyncIterator[Stranger]:
    """One dialled connection of the identity `number` to the node `target`."""
    async with transport_on(fabric, who(number)) as transport:
        yield Stranger(await transport.dial(place, peer_of(target)))
