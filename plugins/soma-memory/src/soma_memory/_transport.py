"""Connections between transports of one process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from soma_core.api import (
    CHANNELS,
    MAX_MESSAGE,
    Budget,
    Channel,
    Connection,
    Identity,
    PeerGone,
    PeerId,
    TransportContext,
)

from ._fabric import Fabric
from ._lane import Lane

if TYPE_CHECKING:
    from . import MemoryConfig

BACKLOG: Final = 64
"""Connections that may wait for `accept`; the next dial fails."""

_networks: dict[str, Fabric] = {}
"""By name, those on which a transport is open now."""


def network(name: str = "default") -> Fabric:
    """The network of this name, on which some transport of this process is open: to partition it, say."""
    return _networks[name]


class MemoryConnection:
    """One end. `peer` has signed a challenge of both ends."""

    def __init__(self, peer: PeerId, budget: Budget) -> None:
        self.peer = peer
        self.closed = False
        self.share = budget.open(self.end, peer)
        self.outgoing: dict[Channel, Lane] = {}
        self.incoming: dict[Channel, Lane] = {}

    def join(self, other: "MemoryConnection", fabric: Fabric, name: str) -> None:
        """Lay the lanes of every channel from here to `other`."""
        for channel in CHANNELS:
            random = fabric.random(f"{name}/{channel}")
            lane = Lane(fabric, other.peer, self.peer, random, other.share)
            self.outgoing[channel] = other.incoming[channel] = lane

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        """Send in order; waits while the channel holds `MemoryConfig.queue` unread messages. Raises `PeerGone`."""
        for message in messages:
            if len(message) > MAX_MESSAGE:
                raise ValueError(f"a message of {len(message)} bytes; split it, {MAX_MESSAGE} is the most")
        for message in messages:
            await self.outgoing[channel].put(bytes(message))

    async def receive(self, channel: Channel) -> bytes:
        """The next message. Raises `PeerGone`."""
        return await self.incoming[channel].take()

    async def aclose(self) -> None:
        """End the connection at once. The other end may still read what had been sent."""
        self.end()

    def end(self) -> None:
        """As `aclose`."""
        self.closed = True
        self.share.close()
        for lane in self.outgoing.values():
            lane.end()
        for lane in self.incoming.values():
            lane.abandon()


class MemoryTransport:
    """A peer on a `Fabric`."""

    def __init__(self, fabric: Fabric, identity: Identity, address: str, budget: Budget) -> None:
        self.addresses: tuple[str, ...] = (address,)
        self._fabric, self.identity, self.budget = fabric, identity, budget
        self.arrivals, self._accepted = trio.open_memory_channel[Connection](BACKLOG)
        self._connections: list[MemoryConnection] = []

    async def dial(self, address: str, peer: PeerId) -> MemoryConnection:
        """Connect to `peer` at `address`; takes two travels. Raises `PeerGone`."""
        ours = self.identity.peer
        link = self._fabric.new_link(ours, peer)
        random = self._fabric.random(link)
        await trio.sleep(self._fabric.travel(random) + self._fabric.travel(random))
        other = self._fabric.transports.get(address)
        if other is None:
            raise PeerGone(f"nobody listens at {address!r:.100}")
        if not self._fabric.reachable(ours, other.identity.peer):
            raise PeerGone(f"{address} cannot be reached from here")
        await self._prove(other, peer, random.randbytes(32))
        near, far = MemoryConnection(peer, self.budget), MemoryConnection(ours, other.budget)
        near.join(far, self._fabric, f"{link}/there")
        far.join(near, self._fabric, f"{link}/back")
        try:
            other.arrivals.send_nowait(far)
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            await near.aclose()
            await far.aclose()
            raise PeerGone(f"{address} takes no connection now") from error
        self.keep(near)
        other.keep(far)
        return near

    def keep(self, connection: MemoryConnection) -> None:
        """Close `connection` with the transport."""
        self._connections = [kept for kept in self._connections if not kept.closed]
        self._connections.append(connection)

    async def _prove(self, other: "MemoryTransport", peer: PeerId, nonce: bytes) -> None:
        one, two = self.identity, other.identity
        if two.peer != peer:
            raise PeerGone(f"{two.peer.hex()} answers, not {peer.hex()}")
        challenge = b"soma-memory" + nonce + one.peer + two.peer
        if not one.verify(two.peer, challenge + b"2", await two.sign(challenge + b"2")):
            raise PeerGone(f"who answers does not hold the key {peer.hex()}")
        if not two.verify(one.peer, challenge + b"1", await one.sign(challenge + b"1")):
            raise PeerGone(f"the other end refused us: we do not hold the key {one.peer.hex()}")

    async def accept(self) -> Connection:
        """The next connection dialled to us."""
        return await self._accepted.receive()

    async def aclose(self) -> None:
        """End every connection and listen no more."""
        self.arrivals.close()
        for connection in self._connections:
            await connection.aclose()


@asynccontextmanager
async def transport_on(
    fabric: Fabric, identity: Identity, budget: Budget | None = None
) -> AsyncIterator[MemoryTransport]:
    """A transport on `fabric`, closed on leaving. It counts what waits for it in `budget`."""
    transport = MemoryTransport(fabric, identity, fabric.new_address(), budget or Budget())
    fabric.transports[transport.addresses[0]] = transport
    try:
        yield transport
    finally:
        del fabric.transports[transport.addresses[0]]
        await transport.aclose()


@asynccontextmanager
async def open_transport(config: "MemoryConfig", context: TransportContext) -> AsyncIterator[MemoryTransport]:
    """A transport on the network `config.network` of this process; its first transport sets how it behaves."""
    fabric = _networks.setdefault(
        config.network,
        Fabric(
            seed=config.seed,
            delay_ms=(config.delay_ms_min, max(config.delay_ms_min, config.delay_ms_max)),
            loss=config.loss,
            reorder=config.reorder,
            queue=config.queue,
        ),
    )
    try:
        async with transport_on(fabric, context.identity, context.budget) as transport:
            yield transport
    finally:
        if not fabric.transports and _networks.get(config.network) is fabric:
            del _networks[config.network]
