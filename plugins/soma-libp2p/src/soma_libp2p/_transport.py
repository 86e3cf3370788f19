"""Listening, dialling, and the life of a connection from its socket to its end.

py-libp2p's layers are used (Noise, yamux, negotiation), its swarm is not: that blacklists a peer for a minute after one
failed dial, waits 250 ms in every dial, keeps the connection of a frozen peer and uses it, lets half-open sockets lock
out peers, and hangs when it closes a dead one. Here a failed dial leaves no trace, and every end is the socket's end.
"""

import logging
import math
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import trio
from libp2p.peer.id import ID

from soma_core.api import CHANNELS, Budget, Channel, Connection, Identity, PeerGone, PeerId, TransportContext

from . import Libp2pConfig
from ._address import Address
from ._admission import Admission
from ._connection import Arrivals, Libp2pConnection, Link
from ._hello import greet, welcome
from ._hostkey import load_host_key
from ._stream import Stream
from ._upgrade import Upgrader

DEAD_AFTER: Final = 30
"""Seconds after which the system gives up a peer that acknowledges nothing; heartbeats above notice earlier."""


class Libp2pTransport:
    """See `soma_core.api.Transport`."""

    def __init__(
        self, config: Libp2pConfig, identity: Identity, upgrader: Upgrader, log: logging.Logger, budget: Budget
    ) -> None:
        self.addresses: tuple[str, ...] = ()
        self.admission = Admission(config.max_half_open, config.max_connections)
        self._config, self._identity, self._upgrader, self._log = config, identity, upgrader, log
        self._budget = budget
        self._proved, self._accepted = trio.open_memory_channel[Connection](config.backlog)
        self._nursery: trio.Nursery

    async def accept(self) -> Connection:
        """The next connection of a peer that has proved its key."""
        return await self._accepted.receive()

    async def dial(self, address: str, peer: PeerId) -> Connection:
        """A connection to `peer` at `address`, which names a libp2p peer id. Raises `PeerGone`."""
        try:
            where = Address.parse(address)
            p2p = ID.from_string(where.peer_id)
        except Exception as error:  # py-libp2p's own errors for a bad id share no base
            raise PeerGone(f"cannot dial: {error}") from error
        if getattr(self, "_nursery", None) is None or self._nursery.cancel_scope.cancel_called:
            raise PeerGone("this transport is closed")
        connection: Connection = await self._nursery.start(self._dialled, where, p2p, peer)
        return connection

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Listen; on leaving, every connection is closed."""
        listeners = await _listen(self._config.listen)
        self.addresses = tuple(self._announced(listener) for listener in listeners)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(trio.serve_listeners, self._arrived, listeners)
                try:
                    yield
                finally:
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None  # what went wrong inside, as it was raised there

    def _announced(self, listener: trio.SocketListener) -> str:
        where = Address.parse(self._config.announce or self._config.listen)
        host, port = listener.socket.getsockname()[:2]
        if host in {"0.0.0.0", "::"} and not self._config.announce:  # noqa: S104  # refused below, not bound here
            self._log.warning(
                "listening everywhere, announcing %s; set transport.libp2p.announce for other machines", host
            )
        p2p = self._upgrader.peer_id.to_base58()
        if self._config.announce:
            return str(Address(where.kind, where.host, where.port or port, p2p))
        return str(Address("ip6" if ":" in host else "ip4", host, port, p2p))

    async def _arrived(self, stream: trio.SocketStream) -> None:
        link = Link(stream, self._budget, is_initiator=False)
        host = "?"
        with suppress(OSError):
            host = stream.socket.getpeername()[0]
        self.admission.arrive(link, host)

        async def establish(nursery: trio.Nursery) -> Libp2pConnection:
            return await self._welcome(link, nursery)

        def hand_over(connection: Libp2pConnection) -> None:
            self.admission.prove(link)
            self._proved.send_nowait(connection)  # full: WouldBlock ends this connection

        try:
            await self._live(link, stream, establish, hand_over)
        except PeerGone as gone:
            self._log.debug("refused a connection from %s: %s", host, gone)

    async def _dialled(
        self, where: Address, p2p: ID, peer: PeerId, task_status: Any = trio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            with trio.fail_after(self._config.hello_timeout):
                stream = await trio.open_tcp_stream(where.host, where.port)
        except (OSError, ValueError, trio.TooSlowError) as error:
            raise PeerGone(f"nobody answers at {where}: {_cause(error)}") from error
        link = Link(stream, self._budget, is_initiator=True)

        async def establish(nursery: trio.Nursery) -> Libp2pConnection:
            return await self._greet(link, nursery, p2p, peer)

        await self._live(link, stream, establish, task_status.started)

    async def _live(
        self,
        link: Link,
        stream: trio.SocketStream,
        establish: Callable[[trio.Nursery], Awaitable[Libp2pConnection]],
        hand_over: Callable[[Libp2pConnection], Any],
    ) -> None:
        """One connection from its socket to its end. Raises `PeerGone` if it never came about, and nothing else."""
        handed_over = False

        async def begin() -> None:
            nonlocal handed_over
            _set_options(stream)
            hand_over(await establish(nursery))
            handed_over = True
            link.scope.deadline = math.inf
            await trio.sleep_forever()  # until the link is dropped

        try:
            with link.scope:
                link.scope.deadline = trio.current_time() + self._config.hello_timeout
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(link.until_over, begin)
        finally:
            link.drop()
        if not handed_over:
            link.share.close()
            why = _cause(link.why) if link.why else f"no proof of a key within {self._config.hello_timeout:g} s"
            raise PeerGone(why) from link.why

    async def _greet(self, link: Link, nursery: trio.Nursery, p2p: ID, peer: PeerId) -> Libp2pConnection:
        muxed = await self._upgrader.upgrade(link.wire, p2p)
        muxed.trust()
        nursery.start_soon(link.until_over, muxed.start)
        await muxed.event_started.wait()
        arrivals = Arrivals(link, muxed, self._log, welcome=False)
        nursery.start_soon(link.until_over, lambda: arrivals.run(self._config.hello_timeout))
        streams: dict[Channel, Stream] = {}

        async def open_stream(channel: Channel) -> None:
            stream = Stream(await muxed.open_stream())
            await stream.propose(channel)
            streams[channel] = stream

        await open_stream("sync")
        await greet(streams["sync"], self._identity, peer, self._upgrader.peer_id.to_bytes(), p2p.to_bytes())
        async with trio.open_nursery() as opening:
            for channel in CHANNELS:
                if channel != "sync":
                    opening.start_soon(open_stream, channel)
        connection = Libp2pConnection(peer, link, self._config)
        connection.run(nursery, streams)
        return connection

    async def _welcome(self, link: Link, nursery: trio.Nursery) -> Libp2pConnection:
        muxed = await self._upgrader.upgrade(link.wire, None)
        nursery.start_soon(link.until_over, muxed.start)
        arrivals = Arrivals(link, muxed, self._log, welcome=True)
        nursery.start_soon(link.until_over, lambda: arrivals.run(self._config.hello_timeout))
        ours, theirs = self._upgrader.peer_id.to_bytes(), muxed.peer_id.to_bytes()
        peer = await welcome(await arrivals.get("sync"), self._identity, ours, theirs, proved=muxed.trust)
        streams = {channel: await arrivals.get(channel) for channel in CHANNELS}
        connection = Libp2pConnection(peer, link, self._config)
        connection.run(nursery, streams)
        return connection


@asynccontextmanager
async def open_transport(config: Libp2pConfig, context: TransportContext) -> AsyncIterator[Libp2pTransport]:
    """A listening transport, closed on leaving."""
    _quiet()
    upgrader = Upgrader(load_host_key(context.directory))
    transport = Libp2pTransport(config, context.identity, upgrader, context.log, context.budget)
    async with transport.run():
        yield transport


async def _listen(text: str) -> list[trio.SocketListener]:
    try:
        where = Address.parse(text)
        return list(await trio.open_tcp_listeners(where.port, host=where.host))
    except (OSError, ValueError) as error:
        raise OSError(f"transport.libp2p.listen: cannot listen at {text}: {error}; choose another address") from error


def _set_options(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_AFTER * 1000)


def _cause(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _quiet() -> None:
    """Bad bytes from strangers are no news; py-libp2p reports them as errors, and on stderr unless told otherwise."""
    if not os.environ.get("LIBP2P_DEBUG"):
        logging.getLogger("libp2p").setLevel(logging.CRITICAL)
