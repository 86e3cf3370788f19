"""All connections of a node over one transport: accepted, dialled, kept one a peer, brought back when lost.

The newest connection of a peer wins once it has answered a heartbeat; the older one is then ended. Rules N21 to N28 of
``specs/50-network.md``.
"""

import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final, final

import trio

from soma_core.api import Budget, Channel, Connection, PeerGone, PeerId, Transport
from soma_core.errors import RefusedError, UnreachableError

from ._address import Address
from ._counters import Counters, Statistics
from ._hello import Fault, Hello, close, greet, linger, say_farewell
from ._link import BEAT, MISSES, Link
from ._message import MAX_PAYLOAD
from ._queues import Inbox
from ._requests import Handler, Reply, Service
from ._text import short

MOST_PEERS: Final = 256
"""Strangers connected at a time; a further one is told so and refused. Peers of the book always have room."""
MOST_GREETED: Final = 64
"""Accepted connections in the handshake at a time; for a further one the oldest goes."""
RETRY_FIRST: Final = 0.25
RETRY_MOST: Final = 15.0
"""Seconds between dials of one peer: doubled from the first to the most, with jitter of a half."""
SHUNNED: Final = 30.0
"""Seconds for which a peer that was dropped is neither dialled nor let in."""
MOST_SHUNNED: Final = 1024
"""Peers shunned at a time; beyond it the first are forgiven."""
REQUEST_LIMIT: Final = 10.0
"""Seconds a request may take where its asker says nothing else."""

_log = logging.getLogger("soma.net")


@final
class Network:
    """The peers of the node whose key is `me`.

    `random` only spreads reconnecting. `allowed` (None: everybody) limits who may connect. Without `hears_consensus`,
    what comes on channel consensus is ignored. `budget` (None: one of its own) bounds what is held for all peers.
    """

    def __init__(
        self,
        transport: Transport,
        me: PeerId,
        hello: Hello,
        book: Sequence[Address],
        *,
        random: Random,
        allowed: frozenset[PeerId] | None = None,
        hears_consensus: bool = True,
        budget: Budget | None = None,
    ) -> None:
        self._transport = transport
        self._me = me
        self._hello = hello
        self._book: dict[PeerId, list[str]] = {}
        for entry in book:
            if entry.peer != me:
                self._book.setdefault(entry.peer, []).append(entry.address)
        self._random = random
        self._allowed = allowed
        self._services: dict[str, Service] = {}
        self._links: dict[PeerId, Link] = {}
        self._admitted = 0
        self._candidates: dict[PeerId, Link] = {}
        self._greeting: dict[Connection, trio.CancelScope] = {}
        self._shunned: dict[PeerId, float] = {}
        self._counters = Counters()
        self._changed = trio.Event()
        self._budget = Budget() if budget is None else budget
        self.consensus_messages = Inbox(self._budget)
        """(peer, message) pairs from the consensus channel; one task receives."""
        self._inbox = self.consensus_messages if hears_consensus else None

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """Who is connected, longest first."""
        return tuple(sorted(self._links, key=lambda peer: self._links[peer].since))

    @property
    def connections(self) -> Mapping[PeerId, int]:
        """Who is connected, with a number of the connection: a newer one of the same peer has a greater number."""
        return {peer: link.number for peer, link in self._links.items()}

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
        """End the connection to a peer that proved to be wrong, and have nothing to do with it for `SHUNNED`."""
        now = trio.current_time()
        self._shunned = {who: until for who, until in self._shunned.items() if until > now and who != peer}
        if len(self._shunned) >= MOST_SHUNNED:
            del self._shunned[next(iter(self._shunned))]
        self._shunned[peer] = now + SHUNNED
        for link in (self._links.get(peer), self._candidates.get(peer)):
            if link is not None:
                link.end(reason, breach=True)

    async def run(self, task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED) -> None:
        """Accept and dial until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept, nursery)
            for peer, addresses in self._book.items():
                nursery.start_soon(self._keep, peer, addresses)
            task_status.started()

    async def _accept(self, nursery: trio.Nursery) -> None:
        while True:
            connection = await self._transport.accept()
            if len(self._greeting) >= MOST_GREETED:
                self._greeting.pop(next(iter(self._greeting))).cancel()
            self._greeting[connection] = scope = trio.CancelScope()
            nursery.start_soon(self._welcome, connection, scope)

    async def _welcome(self, connection: Connection, scope: trio.CancelScope) -> None:
        """Greet a connection that came, unless too many others press; then let it work."""
        hello = None
        try:
            with scope:
                hello = await self._greet(connection)
        finally:
            self._greeting.pop(connection, None)
            if hello is None:
                await close(connection)
        if hello is not None:
            await self._work(connection, hello, dialled=False)

    async def _keep(self, peer: PeerId, addresses: Sequence[str]) -> None:
        """Dial a peer of the book, at one address after another, whenever it is not connected."""
        wait, turn = RETRY_FIRST, 0
        while True:
            changed = self._changed
            if peer in self._links:
                wait = RETRY_FIRST
                await changed.wait()
                continue
            if (shunned := self._shunned.get(peer, 0.0)) > trio.current_time():
                await trio.sleep_until(shunned)
            else:
                began = trio.current_time()
                await self._dial(addresses[turn % len(addresses)], peer)
                if trio.current_time() - began > RETRY_MOST:  # it worked for a while
                    wait = RETRY_FIRST
            turn += 1
            await trio.sleep(wait * (0.5 + self._random.random()))
            wait = min(2 * wait, RETRY_MOST)

    async def _dial(self, address: str, peer: PeerId) -> None:
        """Connect to a peer and let the connection work until it ends."""
        self._counters.dials += 1
        try:
            connection = await self._transport.dial(address, peer)
        except PeerGone as error:
            self._counters.failed_dials += 1
            _log.debug("peer %s: not at %s: %s", short(peer), address, error)
            return
        hello = None
        try:
            hello = await self._greet(connection)
        finally:
            if hello is None:
                await close(connection)
        if hello is not None:
            await self._work(connection, hello, dialled=True)

    async def _greet(self, connection: Connection) -> Hello | None:
        """The peer's hello; None if the two will not work together, which the peer was told where it cannot know."""
        if (fault := self._unwelcome(connection.peer)) is not None:
            self._counters.refused += 1
            await say_farewell(connection, fault)
            return None
        try:
            return await greet(connection, self._hello)
        except PeerGone:
            self._counters.refused += 1
            _log.info("peer %s: hung up in the handshake", short(connection.peer))
        except RefusedError as error:
            self._counters.refused += 1
            _log.warning("peer %s: %s", short(connection.peer), error)
            await linger(connection)
        return None

    def _unwelcome(self, peer: PeerId) -> Fault | None:
        """Why this peer is not let in now."""
        if peer == self._me:
            return Fault("refused", "this is your own node, or one that has its key", "give every node its own key")
        if self._allowed is not None and peer not in self._allowed:
            return Fault("refused", "this node takes other peers", "ask its operator")
        if self._shunned.get(peer, 0.0) > trio.current_time():
            return Fault("refused", "you broke the network's rules", "see its operator's log; come back in a minute")
        if peer not in self._links and peer not in self._book and self._strangers() >= MOST_PEERS:
            return Fault("busy", f"{MOST_PEERS} peers are connected", "try another")
        return None

    def _strangers(self) -> int:
        return sum(peer not in self._book for peer in self._links)

    async def _work(self, connection: Connection, hello: Hello, *, dialled: bool) -> None:
        """Let a greeted connection work until it ends."""
        if (fault := self._unwelcome(connection.peer)) is not None:  # others were greeted meanwhile
            self._counters.refused += 1
            await say_farewell(connection, fault)
            return
        link = Link(connection, hello, self._services, self._inbox, self._counters, self._budget, dialled=dialled)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run, link)
            await self._admit(link)

    async def _run(self, link: Link) -> None:
        peer = link.peer
        try:
            await link.run()
        finally:
            if self._links.get(peer) is link:
                del self._links[peer]
                self._tell()
            if peer not in self._links:
                self.consensus_messages.forget(peer)
            _log.info("peer %s: %s", short(peer), link.reason)

    async def _admit(self, link: Link) -> None:
        """Make `link` the peer's one connection, at once or when it has won over the older one.

        The newest wins when it has proved to work, because an older one may be that of a peer that froze and was born
        again. But where both sides dialled each other at once, both connections work; then the lower key's dial stays,
        on both sides.
        """
        peer = link.peer
        if (rival := self._candidates.get(peer)) is not None:
            rival.end("a newer connection of the same peer took its place")
        self._candidates[peer] = link
        try:
            while (older := self._links.get(peer)) is not None:
                if not await _proves(link, MISSES * BEAT):
                    link.end("did not answer a heartbeat")
                    return
                if older.dialled != link.dialled and older.dialled == (self._me < peer) and await _proves(older, BEAT):
                    link.end("both sides dialled; the other connection stays")
                    return
                if self._links.get(peer) in {older, None}:
                    break
            if link.reason is not None:
                return
            self._admitted += 1
            link.number = self._admitted
            self._links[peer] = link
        finally:
            if self._candidates.get(peer) is link:
                del self._candidates[peer]
        if older is not None and older.reason is None:
            self._counters.replaced += 1
            older.end("a newer connection of the same peer took its place")
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


async def _proves(link: Link, limit: float) -> bool:
    """Whether `link` answers a heartbeat in time."""
    with trio.move_on_after(limit):
        return await link.prove()
    return False
