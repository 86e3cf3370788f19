"""One connection at work: a reader for every channel, a writer for every channel we speak on, and the heartbeat.

The connection is closed first and its tasks are cancelled then, because a transport's send must not be cancelled alone.
Whatever goes wrong ends the link with a reason; nothing a peer does raises out of `run`. Rules N29 and N30 of
``specs/50-network.md``.
"""

from collections.abc import Mapping
from typing import Final, final

import trio

from soma_core.api import CHANNELS, Budget, Channel, Connection, PeerGone
from soma_core.errors import DecodeError, RefusedError

from ._counters import Counters
from ._hello import Hello, close
from ._message import Message, decode_message, encode_message
from ._queues import Inbox, Outbox
from ._requests import Desk, Service
from ._text import short, shown

BEAT: Final = 1.5
"""Seconds between heartbeats."""
MISSES: Final = 3
"""Heartbeats in a row without a word from the peer after which it is dead."""
STALL: Final = 20.0
"""Seconds that one write of ours may take."""
CONSENSUS_NOTE: Final = "consensus.message"
"""The operation of every note on channel consensus; the payload is the engine's."""

_SPOKEN: Final[tuple[Channel, ...]] = ("consensus", "sync", "blobs")
_HEARD: Final[Mapping[Channel, frozenset[str]]] = {
    "consensus": frozenset({"note"}),
    "sync": frozenset({"request", "reply", "error", "ping", "pong"}),
    "blobs": frozenset({"request", "reply", "error"}),
    "hints": frozenset({"note"}),
}
"""What may come on a channel after the hello."""


@final
class Link:
    """A connection after the hello. `run` once; `end` from anywhere."""

    def __init__(
        self,
        connection: Connection,
        hello: Hello,
        services: Mapping[str, Service],
        inbox: Inbox | None,
        counters: Counters,
        budget: Budget,
        *,
        dialled: bool,
    ) -> None:
        self.peer = connection.peer
        self.dialled = dialled
        """Whether this side opened it."""
        self.hello = hello
        self.since = trio.current_time()
        self.number = 0
        """Of the connections that became a peer's one connection, this is the how-manieth; 0 before."""
        self.reason: str | None = None
        """Why the link ended; None while it works."""
        self.breach = False
        """Whether it ended because the peer broke a rule."""
        self._connection = connection
        self._inbox = inbox
        self._counters = counters
        self._share = budget.open(self._crowded, self.peer)
        self._outboxes: dict[Channel, Outbox] = {channel: Outbox(self._share) for channel in _SPOKEN}
        self._desk = Desk(self.peer, services, self._outboxes, counters, self._share)
        self.ask = self._desk.ask
        self._over = trio.Event()
        self._pings = 0
        self._pongs = 0
        self._ponged = trio.Event()
        self._heard = False
        self._writing: dict[Channel, float] = {}

    def __repr__(self) -> str:
        return f"Link({short(self.peer)}, {self.reason or 'working'})"

    async def run(self) -> None:
        """Work until the link ends; `reason` then says why. Cancelled, it closes the connection."""
        try:
            async with trio.open_nursery() as nursery:
                for channel in CHANNELS:
                    nursery.start_soon(self._read, channel, nursery)
                for channel in _SPOKEN:
                    nursery.start_soon(self._write, channel)
                nursery.start_soon(self._beat)
                await self._over.wait()
                await close(self._connection)
                nursery.cancel_scope.cancel()
        finally:
            self.end("this node stopped")
            await close(self._connection)

    def end(self, reason: str, *, breach: bool = False) -> None:
        """End the link; the first reason stands."""
        if self.reason is None:
            self.reason = reason
            self.breach = breach
            self._counters.breaches += breach
            self._desk.close()
            for outbox in self._outboxes.values():
                outbox.close()
            self._share.close()
            self._over.set()
            self._ponged.set()

    def say(self, message: bytes) -> bool:
        """Queue a consensus message; False if there is no room for it."""
        return self._outboxes["consensus"].offer(encode_message(Message("note", 0, CONSENSUS_NOTE, {}, message)))

    async def prove(self) -> bool:
        """Whether the peer answers a heartbeat on this link. Takes as long as it works, at most."""
        number = self._ping()
        while self._pongs < number and self.reason is None:
            await self._ponged.wait()
        return self.reason is None

    def _crowded(self) -> None:
        self._counters.crowded += 1
        self.end("it held most of the memory for peers, which is full")

    async def _read(self, channel: Channel, nursery: trio.Nursery) -> None:
        try:
            while True:
                data = await self._connection.receive(channel)
                self._heard = True
                self._counters.received += 1
                self._counters.received_bytes += len(data)
                size = len(data)
                message = decode_message(data)
                del data  # a message that waits below is held once
                if message.kind not in _HEARD[channel]:
                    raise DecodeError(f"a {message.kind} on channel {channel}")  # noqa: TRY301  # one handler below
                await self._hear(channel, message, size, nursery)
        except PeerGone:
            self.end("the peer ended the connection")
        except (DecodeError, RefusedError) as error:
            self.end(f"breach of the network rules: {shown(error.what)}", breach=True)

    async def _hear(self, channel: Channel, message: Message, size: int, nursery: trio.Nursery) -> None:
        if message.kind == "note":
            if channel == "consensus" and message.op != CONSENSUS_NOTE:
                raise DecodeError(f"a note {shown(message.op)} on channel consensus")
            if channel != "consensus" or self._inbox is None:
                self._counters.ignored += 1
            else:
                await self._inbox.put(self.peer, message.payload)
        elif message.kind == "request":
            self._desk.admit(channel, message, size, nursery)
        elif message.kind == "ping":
            self._outboxes["sync"].offer(encode_message(Message("pong", message.id)))
        elif message.kind == "pong":
            if message.id > self._pings:
                raise DecodeError(f"an answer to heartbeat {message.id}, which was never sent")
            self._pongs = max(self._pongs, message.id)
            self._ponged.set()
            self._ponged = trio.Event()
        elif message.id == 0:
            raise DecodeError("an error that answers nothing")
        else:
            self._desk.settle(channel, message, size)

    async def _write(self, channel: Channel) -> None:
        outbox = self._outboxes[channel]
        try:
            while True:
                batch = await outbox.take()
                size = sum(map(len, batch))
                self._share.add(size)
                self._writing[channel] = trio.current_time()
                await self._connection.send(channel, batch)
                del self._writing[channel]
                self._share.add(-size)
                self._counters.sent += len(batch)
                self._counters.sent_bytes += size
        except PeerGone:
            self.end("the peer ended the connection")

    async def _beat(self) -> None:
        # Beats are counted, not seconds: after a stall of our own process the peer's words still wait to be read.
        silent = 0
        while True:
            self._ping()
            await trio.sleep(BEAT)
            self._desk.beat()
            silent = 0 if self._heard else silent + 1
            self._heard = False
            if silent >= MISSES:
                self._counters.frozen += 1
                return self.end(f"not a word for {MISSES} heartbeats of {BEAT:g} s")
            for channel, since in self._writing.items():
                if trio.current_time() - since > STALL:
                    self._counters.frozen += 1
                    return self.end(f"took nothing on channel {channel} for {STALL:g} s")

    def _ping(self) -> int:
        self._pings += 1
        self._outboxes["sync"].offer(encode_message(Message("ping", self._pings)))
        return self._pings
