"""py-libp2p's yamux with the bounds it lacks.

As it is, it lets a peer overrun the receive window without end, open thousands of streams, and grow its window to
16 MiB; it ends a writer who waits five seconds for a slow reader; and its pings, answered by the task that reads, can
block both ends for good while both send. `install` puts the guarded classes and constants in place.
"""

from typing import Any, Final

import trio
from libp2p.stream_muxer.yamux import yamux

from soma_core.api import Share

WINDOW: Final = 1 << 20
"""Bytes that a peer may send on a stream before it must wait. Fixed, so that memory is; at 50 ms it carries 20 MB/s."""
STREAMS: Final = 16
"""Streams of a connection, those under negotiation included. Four are used."""
BUFFERED: Final = 5 * WINDOW
"""Unread bytes of all streams of a connection: four windows, and one for streams that are about to be refused."""
STRANGERS_BUFFERED: Final = 1 << 16
"""The same of a connection whose peer has not proved itself: negotiation and hello are less than one kB."""
FRAME: Final = 65_519
"""Bytes of a yamux frame: the most that one Noise record holds. Without it every full frame costs two records."""
BODY: Final = FRAME - yamux.HEADER_SIZE
"""Bytes of data in it."""


class GuardedStream(yamux.YamuxStream):  # type: ignore[misc]  # py-libp2p is not typed
    """Has the full window from the start, and tells when the peer's has grown."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.window_grew = trio.Event()
        self._send_window = 0
        super().__init__(*args, **kwargs)
        self.target_recv_window = WINDOW

    async def read(self, n: int | None = -1) -> bytes:
        """As py-libp2p does it; what was read is not counted as unread any more."""
        data: bytes = await super().read(n)
        self.conn.count(0)
        return data

    async def _auto_tune_and_send_window_update(self, **_: int) -> None:
        """Let the peer send more once half a window is free, not at every read: an update is a record of its own."""
        free = WINDOW - self.recv_window - len(self.conn.stream_buffers.get(self.stream_id, b""))
        if free >= WINDOW // 2:
            self.recv_window += free
            await self.send_window_update(free)

    @property
    def send_window(self) -> int:
        """Bytes that may be written now."""
        return self._send_window

    @send_window.setter
    def send_window(self, value: int) -> None:
        grew = value > self._send_window
        self._send_window = value
        if grew:
            self.window_grew.set()
            self.window_grew = trio.Event()


class GuardedYamux(yamux.Yamux):  # type: ignore[misc]
    """Ends the connection of a peer that ignores flow control."""

    most_unread = STRANGERS_BUFFERED
    share: Share
    """Where unread bytes are counted."""
    _counted = 0

    def trust(self) -> None:
        """The peer is one whom we called, or who has proved itself: it may fill its windows."""
        self.most_unread = BUFFERED

    async def _read_data_body(self, length: int) -> bytes:
        """Called for every frame with data, before memory is taken for it."""
        if not self.count(length) or self._counted > self.most_unread or len(self.streams) > STREAMS:
            raise trio.TooSlowError  # the one exception on which handle_incoming closes the connection
        body: bytes = await self.secured_conn.read(length)
        return body

    def count(self, coming: int) -> bool:
        """Count what is unread and `coming`. False if it is too much for the node.

        Looked at and not summed up: py-libp2p drops what came for a stream that is closed, and does not tell.
        """
        unread = sum(map(len, self.stream_buffers.values())) + coming
        change, self._counted = unread - self._counted, unread
        return self.share.add(change)

    async def _write_frame(self, data: bytes) -> None:
        async with self._write_lock:
            await self.secured_conn.write(data)

    async def _measure_rtt_loop(self) -> None:
        """No pings: heartbeats are the business of who uses the connection, and windows do not grow."""


def install() -> None:
    """Make py-libp2p build guarded streams within fixed windows. It names its class and its constants in one module."""
    yamux.YamuxStream = GuardedStream
    yamux.MAX_WINDOW_SIZE = WINDOW
    yamux.MAX_MESSAGE_SIZE = FRAME
