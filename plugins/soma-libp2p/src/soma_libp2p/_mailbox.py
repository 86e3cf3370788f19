"""A bounded queue of byte strings, counted and weighed, between one task that puts and one that takes."""

from collections import deque
from typing import Final

import trio

from soma_core.api import PeerGone, Share

GONE: Final = "the connection is over"


class Mailbox:
    """Holds at most `most` items and `most_bytes` bytes, or one item if that alone is heavier.

    What it holds, and what waits to be put, is counted in `share`.

    Cancelling `put` or `take` loses nothing: an item is either in the box or was handed over.
    """

    def __init__(self, most: int, most_bytes: int, share: Share) -> None:
        self._most, self._most_bytes, self._share = most, most_bytes, share
        self._items: deque[bytes] = deque()
        self._bytes = 0
        self._closed = False
        self._not_full = trio.Event()
        self._not_empty = trio.Event()

    async def put(self, item: bytes) -> None:
        """Wait for room, then add `item`. Raises `PeerGone` once closed. A checkpoint only if it waits."""
        self._share.add(len(item))
        try:
            while not self._closed and self._items and self._is_full(item):
                self._not_full = _unset(self._not_full)
                await self._not_full.wait()
            if self._closed:
                raise PeerGone(GONE)  # noqa: TRY301  # counted off like any other end
        except BaseException:
            self._share.add(-len(item))
            raise
        self._items.append(item)
        self._bytes += len(item)
        self._not_empty.set()

    async def take(self) -> bytes:
        """The oldest item. Raises `PeerGone` once closed and empty."""
        await self._something()
        item = self._items.popleft()
        self._bytes -= len(item)
        self._share.add(-len(item))
        self._not_full.set()
        return item

    async def take_all(self) -> bytes:
        """All items joined. Raises `PeerGone` once closed and empty."""
        await self._something()
        joined = b"".join(self._items)
        self._clear()
        self._not_full.set()
        return joined

    def close(self, *, forget: bool) -> None:
        """Nothing more comes in; with `forget`, nothing more comes out either. Wakes who waits."""
        self._closed = True
        if forget:
            self._clear()
        self._not_full.set()
        self._not_empty.set()

    def _clear(self) -> None:
        self._items.clear()
        self._share.add(-self._bytes)
        self._bytes = 0

    def _is_full(self, item: bytes) -> bool:
        return len(self._items) >= self._most or self._bytes + len(item) > self._most_bytes

    async def _something(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._items:
            if self._closed:
                raise PeerGone(GONE)
            self._not_empty = _unset(self._not_empty)
            await self._not_empty.wait()


def _unset(event: trio.Event) -> trio.Event:
    """An event to wait for: `event` itself if others wait for it already."""
    return trio.Event() if event.is_set() else event
