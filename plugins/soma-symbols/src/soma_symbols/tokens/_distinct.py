"""What is computed once for equal tokens: a cache of exact keys that whole arrays of tokens are looked up in."""

from collections.abc import Callable
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._breaks import Places

Words = NDArray[np.uint64]

SHORT: Final = 16
"""Bytes of a token that the table holds, at most; longer ones go through a dictionary."""
LONG: Final = 1 << 14
"""Long tokens that are kept at once."""

_MASKS: Final = np.array([(1 << 8 * width) - 1 for width in range(9)], np.uint64)
_MIX: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)


class Distinct:
    """Values of tokens by their bytes. `compute`: those of distinct tokens, uint64 [n, `columns`].

    `slots`: a power of two; so many short tokens are kept at once.

    It never answers for other bytes than were asked for: the whole token is compared. What it keeps is bounded, and
    a token that was crowded out is computed anew.
    """

    def __init__(self, columns: int, compute: Callable[[list[bytes]], Words], slots: int = 1 << 16) -> None:
        self._compute = compute
        self._shift = np.uint64(65 - slots.bit_length())
        self._keys = np.zeros((2, slots), np.uint64)
        self._widths = np.zeros(slots, np.uint8)  # 0: empty, for no token is
        self._values = np.zeros((columns, slots), np.uint64)
        self._bytes: Words | None = None
        self._long: dict[bytes, tuple[int, ...]] = {}
        self._lock = Lock()

    def look_up(self, data: bytes, begins: Places, widths: Places) -> list[Words]:
        """The columns, uint64 [n] each, of the tokens of `widths` bytes from `begins` of `data`."""
        if int(widths.max(initial=0)) <= 1:
            return self._of_bytes(np.frombuffer(data, np.uint8)[begins])
        low, high = _windows(data, begins, widths)
        mixed = low * _MIX[0] ^ high * _MIX[1] ^ widths.view(np.uint64) * _MIX[2]
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MIX[1]
        slots = (mixed >> self._shift).view(np.int64)
        short = widths.astype(np.uint8)
        short[widths > SHORT] = 0
        with self._lock:
            known = (self._keys[0][slots] == low) & (self._keys[1][slots] == high) & (self._widths[slots] == short)
            known &= short != 0
            columns = [column[slots] for column in self._values]
            unknown = np.flatnonzero(~known)
            if len(unknown):
                self._fill(data, begins, widths, unknown, columns)
                kept = unknown[short[unknown] != 0]
                places = slots[kept]
                self._keys[0][places], self._keys[1][places] = low[kept], high[kept]
                self._widths[places] = short[kept]
                for column, values in zip(self._values, columns, strict=True):
                    column[places] = values[kept]
                # Of two tokens of one slot, the last stays: in every array alike, since each is written in order.
        return columns

    def _of_bytes(self, letters: NDArray[np.uint8]) -> list[Words]:
        if self._bytes is None:
            self._bytes = np.ascontiguousarray(self._compute([bytes([value]) for value in range(256)]).T)
        return [column[letters] for column in self._bytes]

    def _fill(self, data: bytes, begins: Places, widths: Places, unknown: Places, columns: list[Words]) -> None:
        """Compute what is not known, each distinct token once."""
        first = begins[unknown]
        ends = (first + widths[unknown]).tolist()
        texts = [data[begin:end] for begin, end in zip(first.tolist(), ends, strict=True)]
        values = {text: self._long.get(text) for text in texts}
        missing = [text for text, value in values.items() if value is None]
        if missing:
            values.update(zip(missing, map(tuple, self._compute(missing).tolist()), strict=True))
            if len(self._long) > LONG:
                self._long.clear()
            self._long.update((text, values[text]) for text in missing if len(text) > SHORT)  # type: ignore[misc]
        found = np.array([values[text] for text in texts], np.uint64)
        for place, column in enumerate(columns):
            column[unknown] = found[:, place]


def _windows(data: bytes, begins: Places, widths: Places) -> tuple[Words, Words]:
    """The first sixteen bytes of each token, zero beyond its end, as two numbers."""
    padded = data + bytes(16)
    every = np.ndarray((len(data) + 9,), "<u8", padded, strides=(1,)).astype(np.uint64)
    low = every[begins] & _MASKS[np.minimum(widths, 8)]
    if int(widths.max(initial=0)) <= 8:
        return low, np.zeros_like(low)
    return low, every[begins + np.minimum(widths, 8)] & _MASKS[np.clip(widths - 8, 0, 8)]
