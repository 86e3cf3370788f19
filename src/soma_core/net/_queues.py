"""The two places where messages wait, each with a bound and a stated behaviour when full.

`Outbox`: to one peer on one channel, for its writer. When full, `offer` says no and `put` waits.
`Inbox`: from all peers on the consensus channel, for the driver, a turn a peer. When a peer's part stays full for
`PATIENCE`, that peer's connection ends. Rules N31 and N32 of ``specs/50-network.md``. What waits, in a queue or at its
door, is counted in a share of the node's memory for peers (N57).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import trio

from soma_core.api import Budget, PeerGone, PeerId, Share
from soma_core.errors import RefusedError

UNREAD: Final = 64
"""Messages that wait in one queue."""
UNREAD_SIZE: Final = 4 << 20
"""Bytes that wait in one queue; one message always fits."""
COALESCE: Final = 256 << 10
"""Bytes up to which waiting messages are joined into one write."""
PATIENCE: Final = 3.0
"""Seconds that a full part of the inbox may stay full."""


class _Queue:
    """Bounded in messages and bytes, which are counted in `share`."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self._items: deque[bytes] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._items)

    def offer(self, message: bytes) -> bool:
        if self._items and (len(self._items) >= UNREAD or self._size + len(message) > UNREAD_SIZE):
            return False
        self._items.append(message)
        self._size += len(message)
        self.share.add(len(message))
        return True

    def take(self) -> bytes:
        message = self._items.popleft()
        self._size -= len(message)
        self.share.add(-len(message))
        return message

    def clear(self) -> None:
        self.share.add(-self._size)
        self._items.clear()
        self._size = 0

    @contextmanager
    def at_door(self, message: bytes) -> Iterator[None]:
        """Count `message` while it waits for room."""
        self.share.add(len(message))
        try:
            yield
        finally:
            self.share.add(-len(message))

    def fits(self, room: int, taken: int) -> bool:
        return bool(self._items) and (taken == 0 or taken + len(self._items[0]) <= room)


@final
class Outbox:
    """Messages that wait for one channel's writer."""

    def __init__(self, share: Share) -> None:
        self._queue = _Queue(share)
        self._some = trio.Event()
        self._room = trio.Event()
        self._closed = False

    def offer(self, message: bytes) -> bool:
        """Queue `message`, or say that there is no room."""
        if self._closed or not self._queue.offer(message):
            return False
        self._some.set()
        return True

    async def put(self, message: bytes) -> None:
        """Queue `message` when there is room. Raises `PeerGone` once closed. Cancelled, nothing was queued."""
        await trio.lowlevel.checkpoint()
        while not self.offer(message):
            if self._closed:
                raise PeerGone
            if self._room.is_set():
                self._room = trio.Event()
            with self._queue.at_door(message):
                await self._room.wait()

    async def take(self) -> list[bytes]:
        """All that waits, in order, up to `COALESCE` bytes and at least one message."""
        while not self._queue:
            self._some = trio.Event()
            await self._some.wait()
        batch: list[bytes] = []
        size = 0
        while self._queue.fits(COALESCE, size):
            batch.append(self._queue.take())
            size += len(batch[-1])
        self._room.set()
        return batch

    def close(self) -> None:
        """Forget what waits, and wake whoever waits for room; nothing is taken any more."""
        self._closed = True
        self._queue.clear()
        self._room.set()


@final
class Inbox:
    """What peers said on the consensus channel. One task receives; peers take turns, so that none can drown another."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._queues: OrderedDict[PeerId, _Queue] = OrderedDict()
        self._some = trio.Event()
        self._room = trio.Event()

    async def put(self, peer: PeerId, message: bytes) -> None:
        """Queue a message of `peer`. Raises `RefusedError` if its part of the inbox stays full."""
        queue = self._queues.get(peer)
        if queue is None:
            share = self._budget.open(lambda: self.forget(peer), peer)
            queue = self._queues[peer] = _Queue(share)
        if not queue.offer(message):
            with trio.move_on_after(PATIENCE):
                while not queue.offer(message):
                    if self._room.is_set():
                        self._room = trio.Event()
                    with queue.at_door(message):
                        await self._room.wait()
                self._some.set()
                return
            raise RefusedError(
                f"{UNREAD} messages or {UNREAD_SIZE >> 20} MiB stayed unread on channel consensus for {PATIENCE:g} s"
            )
        self._some.set()

    async def receive(self) -> tuple[PeerId, bytes]:
        """The next message and who sent it."""
        while True:
            for peer, queue in self._queues.items():
                if queue:
                    message = queue.take()
                    self._queues.move_to_end(peer)
                    self._room.set()
                    await trio.lowlevel.cancel_shielded_checkpoint()
                    return peer, message
            self._some = trio.Event()
            await self._some.wait()

    def forget(self, peer: PeerId) -> None:
        """Drop what a peer that is gone has left."""
        queue = self._queues.pop(peer, None)
        if queue is not None:
            queue.share.close()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> tuple[PeerId, bytes]:
        return await self.receive()
