"""A member's disk: a ledger for its chain, and one for its engine that keeps apart what is not synced yet."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator, Mapping
from random import Random
from typing import Final, Literal, final

Loss = Literal["kept", "unsynced", "torn", "truncated", "lost"]
"""What a crash leaves of an engine's records: all that was written; what was synced; of the rest a beginning; less than
what was synced; nothing.
"""
REMEMBERED: Final = 64
"""Synced batches that can still be undone, by the loss called ``truncated``."""

Batch = Mapping[bytes, bytes | None]


@final
class Shelf:
    """A ledger in memory. Its keys are in order at all times, because a chain scans at every commit."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes, /) -> bytes | None:
        """The value of `key`, or None."""
        return self.values.get(key)

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop``, ascending, as they were when the scan began."""
        keys, values = self._keys, self.values
        return iter([(key, values[key]) for key in keys[bisect_left(keys, start) : bisect_left(keys, stop)]])

    def write(self, batch: Batch, /) -> None:
        """All of `batch`."""
        values, keys = self.values, self._keys
        for key, value in batch.items():
            if value is None:
                if values.pop(key, None) is not None:
                    del keys[bisect_left(keys, key)]
            else:
                if key not in values:
                    if keys and key > keys[-1]:
                        keys.append(key)
                    else:
                        insort(keys, key)
                values[key] = value

    def close(self) -> None:
        """Nothing is kept open."""


@final
class Records:
    """What engines persist, epoch by epoch. `write` is seen at once and on disk after `sync`, batch by batch."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._unsynced: deque[Batch] = deque()  # what would undo each batch, oldest first
        self._synced: deque[Batch] = deque(maxlen=REMEMBERED)

    def write(self, batch: Batch) -> None:
        """All of `batch`, not on disk yet."""
        values = self._shelf.values
        self._unsynced.append({key: values.get(key) for key in batch})
        self._shelf.write(batch)

    def sync(self, batches: int) -> None:
        """So many of the batches that were written are on disk now, the oldest."""
        for _ in range(batches):
            self._synced.append(self._unsynced.popleft())

    def sweep(self, stop: bytes) -> None:
        """Delete what lies before `stop`. Nothing depends on when that is on disk."""
        self._shelf.write(dict.fromkeys(key for key, _ in self._shelf.scan(b"", stop)))

    @property
    def unsynced(self) -> int:
        """Batches that are not on disk."""
        return len(self._unsynced)

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return sum(map(len, self._shelf.values.values()))

    def scan(self, start: bytes, stop: bytes, limit: int = 1 << 62) -> list[tuple[bytes, bytes]]:
        """Up to `limit` pairs with ``start <= key < stop``, ascending."""
        return list(self._shelf.scan(start, stop))[:limit]

    def holds(self, part: bytes) -> bool:
        """Whether `part` stands in any value."""
        return any(part in value for value in self._shelf.values.values())

    def crash(self, loss: Loss, random: Random) -> None:
        """The process or its machine dies."""
        if loss == "lost":
            self._shelf = Shelf()
            self._unsynced.clear()
            self._synced.clear()
            return
        if loss != "kept":
            staying = random.randint(0, len(self._unsynced)) if loss == "torn" else 0
            while len(self._unsynced) > staying:
                self._shelf.write(self._unsynced.pop())
        if loss == "truncated" and self._synced:
            for _ in range(random.randint(1, len(self._synced))):
                self._shelf.write(self._synced.pop())
        self._synced.extend(self._unsynced)
        self._unsynced.clear()
