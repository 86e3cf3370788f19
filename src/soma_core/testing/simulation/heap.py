"""Virtual time: what happens next, in an order that depends on nothing but what was posted."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final, final

MS: Final = 1_000
"""Microseconds in a millisecond: the heap counts the former, engines and people the latter."""
SECOND: Final = 1_000 * MS


@final
class Heap:
    """`now`: microseconds since the beginning. What is posted for the same moment happens in the order of posting."""

    def __init__(self) -> None:
        self.now = 0
        self._queue: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def post(self, delay: int, act: Callable[..., object], *arguments: Any) -> None:
        """Call `act` with `arguments` after `delay` microseconds."""
        self._count = count = self._count + 1
        heappush(self._queue, (self.now + delay, count, act, arguments))

    def run(self, until: int) -> None:
        """Let everything happen up to the moment `until`."""
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, act, arguments = heappop(queue)
            act(*arguments)
        self.now = until
