"""Connections between transports of one process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from soma_core.api import CHANNELS, MAX_MESSAGE, Channel, Connection, Identity, PeerGone, PeerId, TransportContext

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

    def __init__(self, peer: PeerId, outgoing: dict[Channel, Lane], incoming: dict[Channel, Lane]) -> None:
        self.peer = peer
        self.closed = False
        self._outgoing, self._incoming = outgoing, incoming

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        """Send in order; waits while the channel holds `MemoryConfig.queue` unread messages. Raises `PeerGone`."""
        for message in messages:
            if len(message) > MAX_MESSAGE:
                raise ValueError(f"a message of {len(message)} bytes; split it, {MAX_MESSAGE} is the most")
        for message in messages:
            await self._outgoing[channel].put(bytes(message))

    async def receive(self, channel: Channel) -> bytes:
        """The next message. Raises `PeerGone`."""
        return await self._incoming[channel].take()

    async def aclose(self) -> None:
        """End the connection at once. The other end may still read what had been sent."""
        self.closed = True
        for lane in self._outgoing.values():
            lane.end()
        for lane in self._incoming.values():
            lane.abandon()


class MemoryTransport:
    """A peer on a `Fabric`."""

    def __init__(self, fabric: Fabric, identity: Identity, address: str) -> None:
        self.addresses: tuple[str, ...] = (address,)
        self._fabric, self.identity = fabric, identity
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
        there = {name: Lane(self._fabric, ours, peer, self._fabric.random(f"{link}/there/{name}")) for name in CHANNELS}
        back = {name: Lane(self._fabric, peer, ours, self._fabric.random(f"{link}/back/{name}")) for name in CHANNELS}
        near, far = MemoryConnection(peer, there, back), MemoryConnection(ours, back, there)
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
async def transport_on(fabric: Fabric, identity: Identity) -> AsyncIterator[MemoryTransport]:
    """A transport on `fabric`, closed on leaving."""
    transport = MemoryTransport(fabric, identity, fabric.new_address())
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
        async with transport_on(fabric, context.identity) as transport:
            yield transport
    finally:
        if not fabric.transports and _networks.get(config.network) is fabric:
            del _networks[config.network]
