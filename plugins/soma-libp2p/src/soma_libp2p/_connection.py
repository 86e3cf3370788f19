"""One proved peer: four channels over one socket, each with a task that reads and a task that writes."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from soma_core.api import CHANNELS, MAX_MESSAGE, Budget, Channel, PeerGone, PeerId, Share

from . import Libp2pConfig
from ._frames import HEADER, Frames, frame
from ._mailbox import GONE, Mailbox
from ._stream import Stream
from ._wire import Wire
from ._yamux import STREAMS, GuardedYamux

_SMALL: Final = 64
"""A frame costs at least so much in an outbox, so that empty messages are bounded too."""


class Link:
    """One socket and its end. Whoever decides that it is over calls `drop`, which neither waits nor raises."""

    def __init__(self, stream: trio.SocketStream, budget: Budget, *, is_initiator: bool) -> None:
        self.share = budget.open(self.drop)
        self.wire = Wire(stream, self.share, is_initiator=is_initiator)
        self.scope = trio.CancelScope()
        self.over = False
        self.why: BaseException | None = None
        self.at_end: list[Callable[[], None]] = []

    def drop(self) -> None:
        """Close the socket, end every task of the connection, wake who sends or receives."""
        if self.over:
            return
        self.over = True
        self.wire.cut()
        self.scope.cancel()
        for call in self.at_end:
            call()

    async def until_over(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`; its end, however it comes, is the end of the link. The first error is kept in `why`."""
        try:
            await work()
        except* Exception as error:  # noqa: BLE001  # whatever bytes from outside made py-libp2p raise; cancellation goes on
            if not self.over:
                self.why = error
        finally:
            self.drop()


class _Post:
    """What waits on one channel, in both directions."""

    def __init__(self, config: Libp2pConfig, share: Share) -> None:
        self.inbox = Mailbox(config.inbox, config.inbox_kb * 1024, share)
        self.outbox = Mailbox(config.outbox_kb * 1024 // _SMALL, config.outbox_kb * 1024, share)
        self._share = share

    async def read_from(self, stream: Stream) -> None:
        frames = Frames()
        while True:
            data = await stream.read_some()
            self._share.add(len(data))
            for message in frames.feed(data):
                self._share.add(-HEADER - len(message))  # to be counted by the inbox
                await self.inbox.put(message)

    async def write_to(self, stream: Stream) -> None:
        while True:
            data = await self.outbox.take_all()
            self._share.add(len(data))
            await stream.write(data)
            self._share.add(-len(data))


class Libp2pConnection:
    """See `soma_core.api.Connection`.

    A channel holds `Libp2pConfig.inbox` messages and `inbox_kb` unread; then its peer's writer waits, for as long as it
    takes, while the other channels go on.
    """

    def __init__(self, peer: PeerId, link: Link, config: Libp2pConfig) -> None:
        self.peer = peer
        self._link = link
        link.share.owner = peer
        self._posts = {channel: _Post(config, link.share) for channel in CHANNELS}
        link.at_end.append(self._end)

    def run(self, nursery: trio.Nursery, streams: dict[Channel, Stream]) -> None:
        """Start the tasks of every channel."""
        for channel, post in self._posts.items():
            stream = streams[channel]
            nursery.start_soon(self._link.until_over, lambda post=post, stream=stream: post.read_from(stream))
            nursery.start_soon(self._link.until_over, lambda post=post, stream=stream: post.write_to(stream))

    async def send(self, channel: Channel, messages: Sequence[bytes]) -> None:
        """Queue `messages` in order; what waits on a channel goes out in one write. Raises `PeerGone`.

        A message above `MAX_MESSAGE` is a `ValueError`, and then none is sent.
        """
        for message in messages:
            if len(message) > MAX_MESSAGE:
                raise ValueError(f"a message of {len(message)} bytes; split it, {MAX_MESSAGE} is the most")
        await trio.lowlevel.checkpoint()
        if self._link.over:
            raise PeerGone(GONE)
        outbox = self._posts[channel].outbox
        for message in messages:
            await outbox.put(frame(message))

    async def receive(self, channel: Channel) -> bytes:
        """The next message; what had arrived before the peer left is still given. Raises `PeerGone`."""
        return await self._posts[channel].inbox.take()

    async def aclose(self) -> None:
        """Close the socket, now."""
        for post in self._posts.values():
            post.inbox.close(forget=True)
        self._link.share.close()
        self._link.drop()

    def _end(self) -> None:
        for post in self._posts.values():
            post.inbox.close(forget=self._link.share.closed)  # cut: there is no room for what had arrived
            post.outbox.close(forget=True)


class Arrivals:
    """The streams that the other end opens."""

    def __init__(self, link: Link, muxed: GuardedYamux, log: logging.Logger, *, welcome: bool) -> None:
        self._link, self._muxed, self._log, self._welcome = link, muxed, log, welcome
        self._streams: dict[Channel, Stream] = {}
        self._arrived = {channel: trio.Event() for channel in CHANNELS}
        self._asking = 0

    async def get(self, channel: Channel) -> Stream:
        """The stream of `channel`, once it has been opened."""
        await self._arrived[channel].wait()
        return self._streams[channel]

    async def run(self, limit: float) -> None:
        """Answer every stream; `limit` is the time in seconds that one has to name its protocol."""
        async with trio.open_nursery() as nursery:
            while True:
                raw = await self._muxed.accept_stream()
                self._asking += 1
                if self._asking + len(self._streams) > STREAMS:
                    self._link.drop()  # py-libp2p counts no streams: a peer could open them without end
                    return
                nursery.start_soon(self._answer, Stream(raw), limit)

    async def _answer(self, stream: Stream, limit: float) -> None:
        try:
            with trio.move_on_after(limit):
                if not self._welcome:
                    await stream.refuse()
                channel = await stream.answer()
                if channel in self._streams:
                    self._link.drop()
                    return
                self._streams[channel] = stream
                self._arrived[channel].set()
                return
        except Exception as error:  # noqa: BLE001  # whatever a peer's bytes made py-libp2p raise
            self._log.debug("a stream came to nothing: %s", error)
        finally:
            self._asking -= 1
        await stream.reset()
