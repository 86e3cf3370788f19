"""The network between members: who is connected with whom, what is on its way, what is lost."""

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Final, final

from .heap import MS, Heap
from .schedules import Schedule

if TYPE_CHECKING:
    from .member import Member

NOTICED: Final = (0, 1_000 * MS)
"""A broken connection is noticed after this, least and most."""
RECONNECTED: Final = (5 * MS, 500 * MS)
"""Peers that can reach each other are connected again after this."""


@final
class Links:
    """`members`: by place, those who share it. `unordered`: messages of a link may overtake each other.

    `losses`, `copies`: of a thousand messages, so many are lost, or come twice.
    """

    def __init__(self, heap: Heap, random: Random, size: int, schedule: Schedule) -> None:
        self.members: list[list[Member]] = [[] for _ in range(size)]
        self.losses = self.copies = 0
        self.unordered = False
        self.carried = 0
        self.schedule = schedule
        self._heap, self._random, self._size = heap, random, size
        self._cut: list[list[bool]] = [[False] * size for _ in range(size)]
        self._connection: list[list[int]] = [[0] * size for _ in range(size)]
        self._connections = 0
        self._stalled: dict[tuple[int, int], int] = {}
        self._last = [[0] * size for _ in range(size)]

    def carry(self, place: int, other: int, epoch: int, message: bytes, voice: int | None = None) -> None:
        """A message of `place` to `other`; to one of the voices there, or to all."""
        connection = self._connection[place][other]
        if not connection:
            return
        self.carried += 1
        at = self._heap.now + self.schedule.delay(place, other, message)
        if self._stalled:
            at = max(at, self._stalled.get((place, other), 0))
        if self.losses and self._random.randrange(1_000) < self.losses:
            return
        if not self.unordered:
            last = self._last[place]
            if at < last[other]:
                at = last[other]
            last[other] = at
        self._heap.post(at - self._heap.now, self._arrive, place, other, connection, epoch, message, voice)
        if self.copies and self._random.randrange(1_000) < self.copies:
            again = at - self._heap.now + self._random.randrange(500 * MS)
            self._heap.post(again, self._arrive, place, other, connection, epoch, message, voice)

    def _arrive(self, place: int, other: int, connection: int, epoch: int, message: bytes, voice: int | None) -> None:
        if self._connection[place][other] == connection:
            for member in self.members[other]:
                if voice is None or member.voice == voice:
                    member.receive(place, epoch, message)

    def cut(self, pairs: Iterable[tuple[int, int]]) -> None:
        """No connection between these."""
        for a, b in pairs:
            self._cut[a][b] = self._cut[b][a] = True
            self._look(a, b)

    def heal(self) -> None:
        """All may connect."""
        for a in range(self._size):
            for b in range(a):
                if self._cut[a][b]:
                    self._cut[a][b] = self._cut[b][a] = False
                    self._look(a, b)

    def stall(self, pairs: Iterable[tuple[int, int]], until: int) -> None:
        """What these say to each other arrives at `until`; their connections stay."""
        for a, b in pairs:
            for link in ((a, b), (b, a)):
                self._stalled[link] = until
        self._heap.post(until - self._heap.now, self._stalled.clear)

    def changed(self, place: int) -> None:
        """A member came up or went down."""
        for other in range(self._size):
            if other != place:
                self._look(place, other)

    def connect_all(self) -> None:
        """At the beginning everybody who is up is connected."""
        for a in range(self._size):
            for b in range(a):
                self._connect(a, b)

    def _may(self, a: int, b: int) -> bool:
        return not self._cut[a][b] and self.members[a][0].up and self.members[b][0].up

    def _look(self, a: int, b: int) -> None:
        if self._connection[a][b] and not self._may(a, b):
            self._connection[a][b] = self._connection[b][a] = 0
            self._heap.post(self._random.randint(*NOTICED), self._tell, a, b)
            self._heap.post(self._random.randint(*NOTICED), self._tell, b, a)
        elif not self._connection[a][b] and self._may(a, b):
            self._heap.post(self._random.randint(*RECONNECTED), self._connect, a, b)

    def _connect(self, a: int, b: int) -> None:
        if not self._connection[a][b] and self._may(a, b):
            self._connections += 1
            self._connection[a][b] = self._connection[b][a] = self._connections
            self._last[a][b] = self._last[b][a] = 0
            self._tell(a, b)
            self._tell(b, a)

    def _tell(self, place: int, other: int) -> None:
        for member in self.members[place]:
            member.peer(other, self._connection[place][other] or None)
