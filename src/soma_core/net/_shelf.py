"""What a store holds: names, sizes, and when each was used last, in that order."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, final

LEAST_WEIGHT: Final = 64 << 10
"""Bytes that the smallest blob counts for: it bounds how many there are."""


@final
class Shelf:
    """Names in the order of their last use. Holds no file; who changes it holds the store's lock."""

    def __init__(self) -> None:
        self._used: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self.total = 0
        """The weight of all."""

    @staticmethod
    def weight(size: int) -> int:
        """What `size` bytes count for."""
        return max(size, LEAST_WEIGHT)

    def __contains__(self, name: bytes) -> bool:
        return name in self._used

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._used)

    def put(self, name: bytes, size: int, now: float) -> None:
        """Add `name`, or say that it was used."""
        self.take(name)
        self._used[name] = (size, now)
        self.total += self.weight(size)

    def use(self, name: bytes, now: float) -> None:
        """`name`, which is here, is used."""
        self._used[name] = (self._used[name][0], now)
        self._used.move_to_end(name)

    def take(self, name: bytes) -> None:
        """Remove `name` if it is here."""
        found = self._used.pop(name, None)
        if found is not None:
            self.total -= self.weight(found[0])

    def weight_of(self, name: bytes) -> int:
        """What `name` counts for."""
        return self.weight(self._used[name][0])

    def unused_since(self, time: float) -> Iterator[bytes]:
        """Names last used before `time`, the longest unused first."""
        for name, (_, used) in self._used.items():
            if used < time:
                yield name
