"""One channel of one connection in one direction: messages on their way, each with the time it arrives."""

import heapq
from random import Random

import trio

from soma_core.api import PeerGone, PeerId, Share

from ._fabric import Fabric


class Lane:
    """From `source` to `target`. No task runs: a message is given its time when sent, and the receiver waits for it."""

    def __init__(self, fabric: Fabric, source: PeerId, target: PeerId, random: Random, share: Share) -> None:
        self._fabric, self._source, self._target, self._random = fabric, source, target, random
        self._share = share  # the target's, which holds what waits
        self._waiting: list[tuple[float, int, bytes]] = []  # a heap: time of arrival, number, message
        self._count = 0
        self._latest = 0.0  # arrival of the last message that kept its place
        self._end: float | None = None  # when the target learns that the source has closed
        self._abandoned: float | None = None  # when the source learns that the target has closed
        self._changed = trio.Event()
        fabric.lanes.add(self)

    def poke(self) -> None:
        """Let whoever waits look again."""
        self._changed.set()
        self._changed = trio.Event()

    async def put(self, message: bytes) -> None:
        """Send `message`, waiting while `Fabric.queue` are unread. Raises `PeerGone`."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._end is not None or self._reached(self._abandoned):
                raise PeerGone("the connection is closed")
            if len(self._waiting) < self._fabric.queue:
                break
            await self._wait(self._abandoned)
        if self._random.random() < self._fabric.loss:
            return
        due = trio.current_time() + self._fabric.travel(self._random)
        if self._random.random() < self._fabric.reorder:
            due += (1 + self._fabric.delay_ms[1]) * self._random.random() / 1000  # later ones overtake it
        else:
            due = self._latest = max(due, self._latest)
        self._share.add(len(message))
        self._count += 1
        heapq.heappush(self._waiting, (due, self._count, message))
        self.poke()

    async def take(self) -> bytes:
        """The next message that has arrived. Raises `PeerGone` when there will be none."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._abandoned is not None:
                raise PeerGone("the connection is closed")
            if self._waiting and self._reached(self._waiting[0][0]):
                message = heapq.heappop(self._waiting)[2]
                self._share.add(-len(message))
                self.poke()
                return message
            if not self._waiting and self._reached(self._end):
                raise PeerGone("the other end has closed")
            await self._wait(self._waiting[0][0] if self._waiting else self._end)

    def end(self) -> None:
        """The source closes: what it has sent still arrives."""
        if self._end is None:
            self._end = max(self._latest, trio.current_time() + self._fabric.travel(self._random))
            self.poke()

    def abandon(self) -> None:
        """The target closes: nothing more is read."""
        if self._abandoned is None:
            self._abandoned = trio.current_time() + self._fabric.travel(self._random)
            self._waiting.clear()
            self._fabric.lanes.discard(self)
            self.poke()

    def _reached(self, due: float | None) -> bool:
        return due is not None and due <= trio.current_time() and self._fabric.reachable(self._source, self._target)

    async def _wait(self, due: float | None) -> None:
        changed = self._changed
        if due is None or not self._fabric.reachable(self._source, self._target):  # healing the network pokes too
            await changed.wait()
        else:
            with trio.move_on_at(due):
                await changed.wait()
