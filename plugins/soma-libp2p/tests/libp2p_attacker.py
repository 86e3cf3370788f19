"""A peer made of the plugin's own layers, who stops following the rules where a test says so."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import frozen
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.id import ID

from soma_core.api import CHANNELS, Budget, Channel, PeerId, Share, TransportContext
from soma_core.testing import KeyIdentity
from soma_libp2p import Libp2pConfig
from soma_libp2p._address import Address
from soma_libp2p._hello import greet
from soma_libp2p._stream import Stream
from soma_libp2p._transport import Libp2pTransport, open_transport
from soma_libp2p._upgrade import Upgrader
from soma_libp2p._wire import Wire
from soma_libp2p._yamux import GuardedYamux


@asynccontextmanager
async def node(
    directory: Path, identity: KeyIdentity, config: Libp2pConfig | None = None, budget: Budget | None = None
) -> AsyncIterator[Libp2pTransport]:
    """A transport of ours."""
    directory.mkdir(mode=0o700, exist_ok=True)  # noqa: ASYNC240
    context = TransportContext(
        "transport-libp2p", directory, logging.getLogger("soma.test"), identity, budget or Budget()
    )
    async with open_transport(config or Libp2pConfig(), context) as transport:
        yield transport


async def tcp(address: str) -> trio.SocketStream:
    """A bare connection to `address`."""
    where = Address.parse(address)
    return await trio.open_tcp_stream(where.host, where.port)


async def is_cut(stream: trio.SocketStream, limit: float) -> bool:
    """Whether the other end closes within `limit` seconds."""
    with trio.move_on_after(limit):
        try:
            while await stream.receive_some(1 << 16):
                pass
        except trio.BrokenResourceError:
            pass
        return True
    return False


def share() -> Share:
    """To count where nobody looks."""
    return Budget().open(lambda: None)


def wire_on(stream: trio.SocketStream) -> Wire:
    """The dialler's end."""
    return Wire(stream, share(), is_initiator=True)


@frozen
class Attacker:
    """A libp2p connection, proved by Noise. `socket` is what lies under it."""

    muxed: GuardedYamux
    stream: trio.SocketStream
    ours: bytes
    theirs: bytes

    async def open(self, channel: Channel) -> Stream:
        stream = Stream(await self.muxed.open_stream())
        await stream.propose(channel)
        return stream

    async def prove(self, identity: KeyIdentity, peer: PeerId) -> dict[Channel, Stream]:
        """Everything an honest peer does."""
        streams = {"sync": await self.open("sync")}
        await greet(streams["sync"], identity, peer, self.ours, self.theirs)
        for channel in CHANNELS[:1] + CHANNELS[2:]:
            streams[channel] = await self.open(channel)
        return streams

    def freeze(self) -> None:
        """Read and write no more, and leave the socket open."""
        assert self.muxed._nursery is not None
        self.muxed._nursery.cancel_scope.cancel()


@asynccontextmanager
async def attacker(address: str, *, receive_buffer: int | None = None) -> AsyncIterator[Attacker]:
    """Connected to `address` as far as Noise and yamux go."""
    p2p = ID.from_string(Address.parse(address).peer_id)
    upgrader = Upgrader(create_new_key_pair())
    stream = await tcp(address)
    if receive_buffer:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    async with stream:
        muxed = await upgrader.upgrade(wire_on(stream), p2p)
        muxed.trust()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(muxed.start)
            await muxed.event_started.wait()
            yield Attacker(muxed, stream, upgrader.peer_id.to_bytes(), p2p.to_bytes())
            nursery.cancel_scope.cancel()
