"""All connections of a node over one transport: accepted, dialled, kept one a peer, brought back when lost.

The newest connection of a peer wins once it has answered a heartbeat; the older one is then ended. Rules N21 to N28 of
``specs/50-network.md``.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, final

import trio

from soma_core.api import Channel, Connection, PeerGone, PeerId, Transport
from soma_core.errors import RefusedError, UnreachableError

from ._address import Address
from ._counters import Counters, Statistics
from ._hello import Fault, Hello, close, greet, say_farewell
from ._link import Link
from ._message import MAX_PAYLOAD
from ._queues import Inbox
from ._requests import Handler, Reply, Service
from ._text import short

MOST_PEERS: Final = 256
"""Connections that work at a time; a further peer is told so and refused."""
MOST_GREETED: Final = 64
"""Connections in the handshake at a time; more wait in the transport."""
RETRY_FIRST: Final = 0.25
RETRY_MOST: Final = 15.0
"""Seconds between dials of one address: doubled from the first to the most, with jitter of a half."""
REQUEST_LIMIT: Final = 10.0
"""Seconds a request may take where its asker says nothing else."""

_log = logging.getLogger("soma.net")


@final
class Network:
    """The peers of one node. `random` only spreads reconnecting; `allowed` (None: everybody) limits who may connect."""

    def __init__(
        self,
        transport: Transport,
        hello: Hello,
        book: Sequence[Address],
        *,
        random: Random,
        allowed: frozenset[PeerId] | None = None,
        hears_consensus: bool = True,
    ) -> None:
        self._transport = transport
        self._hello = hello
        self._book = tuple(book)
        self._random = random
        self._allowed = allowed
        self._services: dict[str, Service] = {}
        self._links: dict[PeerId, Link] = {}
        self._counters = Counters()
        self._changed = trio.Event()
        self.consensus_messages = Inbox()
        """(peer, message) pairs from the consensus channel; one task receives."""
        self._inbox = self.consensus_messages if hears_consensus else None

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Who is connected, longest first."""
        return tuple(sorted(self._links, key=lambda peer: self._links[peer].since))

    @property
    def changed(self) -> trio.Event:
        """Set when a peer comes or goes. Take it before looking, so that no change falls between."""
        return self._changed

    @property
    def statistics(self) -> Statistics:
        """Totals since the start."""
        return self._counters.snapshot()

    def hello_of(self, peer: PeerId) -> Hello | None:
        """What a connected peer said of itself."""
        link = self._links.get(peer)
        return None if link is None else link.hello

    def serve(self, op: str, handler: Handler, *, channel: Channel, max_payload: int = 0) -> None:
        """Answer requests named `op` on `channel` by `handler`. Before `run`."""
        if op in self._services:
            raise ValueError(f"{op} is served already")
        self._services[op] = Service(handler, channel, max_payload)

    async def request(
        self,
        peer: PeerId,
        channel: Channel,
        op: str,
        body: Mapping[str, Any] | None = None,
        payload: bytes = b"",
        *,
        timeout: float = REQUEST_LIMIT,  # noqa: ASYNC109  # part of what is asked
    ) -> Reply:
        """The peer's answer. Raises `Refusal` if it says no, `UnreachableError` if it is gone or takes too long."""
        link = self._links.get(peer)
        if link is not None:
            with trio.move_on_after(timeout):
                try:
                    return await link.ask(channel, op, body or {}, payload)
                except PeerGone:
                    raise UnreachableError(f"peer {short(peer)} went away during {op}", "ask another peer") from None
            raise UnreachableError(f"peer {short(peer)} did not answer {op} within {timeout:g} s", "ask another peer")
        raise UnreachableError(f"peer {short(peer)} is not connected", "ask another peer")

    def consensus_send(self, peer: PeerId, message: bytes) -> bool:
        """Queue a consensus message. Lossy: False if the peer is not connected or too much waits for it."""
        link = self._links.get(peer)
        if link is None or len(message) > MAX_PAYLOAD or not link.say(message):
            self._counters.lost += 1
            return False
        return True

    def drop(self, peer: PeerId, reason: str) -> None:
        """End the connection to a peer that proved to be wrong; its address is dialled again later."""
        link = self._links.get(peer)
        if link is not None:
            link.end(reason, breach=True)

    async def run(self, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Accept and dial until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, nursery)
            for address in self._book:
                if address.peer != self._own:
                    nursery.start_soon(self._keep, address)
            task_status.started()

    @property
    def _own(self) -> bytes | None:
        return getattr(self._transport, "peer", None)

    async def _accept(self, nursery: trio.Nursery) -> None:
        room = trio.Semaphore(MOST_GREETED)
        while True:
            await room.acquire()
            connection = await self._transport.accept()
            nursery.start_soon(self._work, connection, room.release)

    async def _keep(self, address: Address) -> None:
        """Dial an address whenever its peer is not connected."""
        wait = RETRY_FIRST
        while True:
            changed = self._changed
            if address.peer in self._links:
                wait = RETRY_FIRST
                await changed.wait()
                continue
            self._counters.dials += 1
            try:
                connection = await self._transport.dial(address.address, address.peer)
            except PeerGone:
                self._counters.failed_dials += 1
            else:
                if await self._work(connection):
                    wait = RETRY_FIRST
            await trio.sleep(wait * (0.5 + self._random.random()))
            wait = min(2 * wait, RETRY_MOST)

    async def _work(self, connection: Connection, greeted: Callable[[], None] = lambda: None) -> bool:
        """Greet a new connection and let it work until it ends. Whether it ever worked."""
        peer = connection.peer
        try:
            try:
                if self._allowed is not None and peer not in self._allowed:
                    await self._refuse(connection, Fault("refused", "this node takes other peers", "ask its operator"))
                    return False
                if peer not in self._links and len(self._links) >= MOST_PEERS:
                    await self._refuse(connection, Fault("busy", f"{MOST_PEERS} peers are connected", "try another"))
                    return False
                hello = await greet(connection, self._hello)
            except (RefusedError, PeerGone) as error:
                self._counters.refused += 1
                if isinstance(error, RefusedError):
                    _log.warning("peer %s: %s", short(peer), error)
                await close(connection)
                return False
        finally:
            greeted()
        link = Link(connection, hello, self._services, self._inbox, self._counters)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, link)
            await self._admit(link)
        return True

    async def _run(self, link: Link) -> None:
        try:
            await link.run()
        finally:
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
                self.consensus_messages.forget(link.peer)
                self._tell()
            _log.info("peer %s: %s", short(link.peer), link.reason)

    async def _admit(self, link: Link) -> None:
        """Make `link` the peer's connection, once it has proved to work where there is an older one."""
        older = self._links.get(link.peer)
        if older is not None and not await link.prove():
            return
        older = self._links.get(link.peer)
        if link.reason is not None:
            return
        self._links[link.peer] = link
        if older is not None:
            self._counters.replaced += 1
            older.end("a newer connection of the same peer took its place")
        self._tell()

    async def _refuse(self, connection: Connection, fault: Fault) -> None:
        self._counters.refused += 1
        await say_farewell(connection, fault)

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


