"""What came before, hashed: where the probabilities of each order live. Rules CZ23 and CZ24."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._slots import EVEN, Integers

Words = NDArray[np.uint64]

ORDERS: Final = 6
ROWS: Final = ORDERS + 1
"""Orders 1 to `ORDERS`, and the word under way."""
NIBBLE: Final = 16
"""Slots of a bucket: the nodes 1 to 15 of four bits; the first is not used."""

MIN_BITS: Final = 10
MAX_BITS: Final = 21

_SALTS: Final = np.arange(1, ROWS + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
_MASKS: Final = np.array([(1 << 8 * order) - 1 for order in range(1, ORDERS + 1)], np.uint64)[:, None]
_SPREAD: Final = np.uint64(0xD6E8FEB86659FD93)
_HALF: Final = np.uint64(0xA0761D6478BD642F)
_FINISH: Final = np.uint64(0xE7037ED1A0B428DB)
_WORD: Final = np.uint64(0x2F0B4C47D5A3B2A9)


def _word_bytes() -> NDArray[np.bool_]:
    table = np.zeros(256, bool)
    table[list(b"0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] = True
    table[128:] = True
    return table


_IN_WORD: Final = _word_bytes()


def table_bits(size: int) -> int:
    """log2 of the buckets for a block of `size` bytes: about two a byte, within `MIN_BITS` and `MAX_BITS`."""
    return min(max(size.bit_length(), MIN_BITS), MAX_BITS)


class Contexts:
    """Buckets of 15 slots, one for each context and half byte, shared by all lanes.

    The slots of the nibble under way are in `taken`, [`ROWS` · lanes · `NIBBLE`] of a larger array; of equal buckets
    all rows use the copy of the last, so that what one learns the others see.
    """

    def __init__(self, lanes: int, bits: int, taken: Integers) -> None:
        self.history = np.zeros(lanes, np.uint64)
        self._word = np.zeros(lanes, np.uint64)
        self._hashes = np.zeros((ROWS, lanes), np.uint64)
        self._bits = np.uint64(64 - bits)
        self._table = np.full((1 << bits, NIBBLE), EVEN, np.uint32)
        self._checks = np.zeros(1 << bits, np.uint32)
        self._last = np.zeros(1 << bits, np.int32)
        self._rows = np.arange(ROWS * lanes, dtype=np.int32).reshape(ROWS, lanes)
        self._buckets: Integers = np.zeros(0, np.int64)
        self._taken = taken.reshape(ROWS * lanes, NIBBLE)
        self._copies = self._rows

    def begin_byte(self) -> Integers:
        """Where in `taken` each row's bucket of the first nibble lies, [`ROWS`, lanes]."""
        np.bitwise_and(self.history, _MASKS, out=self._hashes[:ORDERS])
        self._hashes[ORDERS] = self._word
        self._hashes += _SALTS
        self._hashes *= _SPREAD
        self._hashes ^= self._hashes >> np.uint64(32)
        return self._take(self._hashes * _FINISH)

    def middle(self, node: Integers) -> Integers:
        """The same for the second nibble; `node`: 16 + the first nibble, of each lane."""
        self._leave()
        return self._take((self._hashes + node.astype(np.uint64) * _HALF) * _FINISH)

    def end_byte(self, byte: Integers) -> None:
        """Each lane had `byte`."""
        self._leave()
        value = byte.astype(np.uint64)
        self.history = (self.history << np.uint64(8)) | value
        self._word = np.where(_IN_WORD[byte], (self._word + value + np.uint64(1)) * _WORD, np.uint64(0))

    def _take(self, hashes: Words) -> Integers:
        buckets = (hashes >> self._bits).astype(np.int64)
        checks = ((hashes >> np.uint64(8)) & np.uint64(0xFFFF)).astype(np.uint32) | np.uint32(1)
        foreign = self._checks[buckets] != checks
        if foreign.any():  # all that want a bucket for something new empty it; the highest check becomes its owner
            new = buckets[foreign]
            self._table[new] = EVEN
            self._checks[new] = 0
            np.maximum.at(self._checks, new, checks[foreign])
        self._last[buckets] = -1
        np.maximum.at(self._last, buckets, self._rows)
        self._copies = self._last[buckets]
        self._buckets = buckets
        self._taken[:] = self._table[buckets.reshape(-1)]
        return self._copies.astype(np.int64) * NIBBLE

    def _leave(self) -> None:
        self._table[self._buckets] = self._taken[self._copies]
