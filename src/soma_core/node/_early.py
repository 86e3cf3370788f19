"""Messages of members whose next epoch has begun before ours: kept, within bounds, until it has begun here, too."""

from collections import deque
from typing import Final, final

EARLY: Final = 64
"""Messages kept of one member; the first."""
EARLY_SIZE: Final = 256 << 10
"""Bytes kept of one member."""


@final
class Early:
    """Messages for one epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._kept: deque[tuple[bytes, bytes]] = deque()
        self._counts: dict[bytes, tuple[int, int]] = {}

    def keep(self, node: bytes, message: bytes) -> None:
        """Keep a message of a member, if there is room for it."""
        count, size = self._counts.get(node, (0, 0))
        if count < EARLY and size + len(message) <= EARLY_SIZE:
            self._counts[node] = count + 1, size + len(message)
            self._kept.append((node, message))

    def take(self) -> list[tuple[bytes, bytes]]:
        """All of them, in order."""
        kept = list(self._kept)
        self._kept.clear()
        self._counts.clear()
        return kept
