"""Learning the byte model: the entries of its table, by gradient descent on the cost of each bit."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.model import CONTEXTS, ENTRY_STEP, byte_places

RATE: Final = 0.15
"""Of AdaGrad: an entry moves by it, divided by the root of all its squared gradients."""
LARGEST: Final = 127 / ENTRY_STEP
TOGETHER: Final = 4096
"""Bytes of a step."""
CLIPPED: Final = 12.0

_FIRST: Final = 1e-2


class ByteLearner:
    """Entries of a table of `slots`, learned from chunks as they come."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._entries = np.zeros(slots, np.float32)
        self._moved = np.full(slots, _FIRST, np.float32)
        self._waiting: list[bytes] = []
        self._held = 0
        self.bits = 8.0
        """What a byte costs, a running mean over what it learns from."""

    def add(self, chunk: bytes) -> None:
        """Learn from a chunk: of one byte there is nothing to learn."""
        if len(chunk) > 1:
            self._waiting.append(chunk)
            self._held += len(chunk)
        if self._held >= TOGETHER:
            self._step()

    def entries(self) -> NDArray[np.int8]:
        """The table as whole numbers."""
        if self._held:
            self._step()
        return np.rint(self._entries * ENTRY_STEP).astype(np.int8)

    def _step(self) -> None:
        found = [byte_places(chunk, self._slots) for chunk in self._waiting]
        self._waiting, self._held = [], 0
        places = np.concatenate([places.reshape(-1, CONTEXTS) for places, _ in found])
        bits = np.concatenate([bits.ravel() for _, bits in found]).astype(np.float32)
        sums = np.clip(self._entries[places].sum(1), -CLIPPED, CLIPPED)
        chances = 1 / (1 + np.exp(-sums))
        cost = 8 * float(np.logaddexp(0, np.where(bits == 1, -sums, sums)).mean()) / np.log(2)
        self.bits += 0.01 * (cost - self.bits)
        off = np.repeat((chances - bits).astype(np.float64), CONTEXTS)
        gradient = np.bincount(places.ravel(), off, self._slots).astype(np.float32)
        self._moved += gradient * gradient
        self._entries -= RATE * gradient / np.sqrt(self._moved)
        np.clip(self._entries, -LARGEST, LARGEST, out=self._entries)
