"""What a byte costs after those before it, by a table of whole numbers: chapter ``specs/81-symbol-encoder.md``.

A byte is eight decisions, the highest bit first. Each is foretold by the sum of a few entries of one table, which are
found by hashing what stands before the bit. The costs of all 256 bytes so belong to probabilities that sum to 1.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._contract import FIRST_BYTE_BITS
from ._symbols import LETTER, LOWERED, Ids, Runs, mix

ORDERS: Final = (0, 1, 2, 3, 4, 5, 6)
"""Bytes before a byte by which its bits are foretold; beside them stands the word it is in."""
ENTRY_STEP: Final = 16
"""An entry is a natural logarithm of odds, times this."""
LIMIT: Final = 191
"""Of a sum of entries, either sign: odds of e^12."""
ONE: Final = 1 << 16
"""A probability of 1, and a bit of cost."""
CONTEXTS: Final = len(ORDERS) + 1

NODE: Final = np.uint64(0x9E3779B97F4A7C15)
SPREAD: Final = np.uint64(0xD6E8FEB86659FD93)
"""Odd, of no pattern: what tells the eight decisions apart, and what spreads contexts over the table."""

_BITS: Final = np.arange(7, -1, -1)


def _tables() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Chance of a one by sum, in 1/65536, and cost of a bit by chance and bit, [2 · LIMIT + 1, 2], in 2^-16 bit.

    No entry is near half a unit, so that every machine rounds it alike.
    """
    sums = range(-LIMIT, LIMIT + 1)
    ones = [max(1, min(ONE - 1, round(ONE / (1 + math.exp(-s / ENTRY_STEP))))) for s in sums]
    costs = [[round(-math.log2(p / ONE) * ONE) for p in (ONE - one, one)] for one in ones]
    return np.array(ones, np.int64), np.array(costs, np.int64)


CHANCES, COSTS = _tables()
"""By LIMIT + sum: the chance of a one; and the costs of a zero and of a one."""


def byte_places(chunk: bytes, slots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which entries of a table of `slots`, a power of two, foretell each bit behind the first byte, and the bits.

    [n − 1, 8, CONTEXTS] and [n − 1, 8]. A byte before the chunk counts as 0.
    """
    data = np.frombuffer(chunk, np.uint8)
    bits = (data[1:, None] >> _BITS) & 1
    nodes = (np.uint64(1) << np.arange(8, dtype=np.uint64)) | (data[1:, None] >> (_BITS + 1)).astype(np.uint64)
    contexts = _contexts(data)
    spread = (contexts[:, None, :] ^ (nodes * NODE)[:, :, None]) * SPREAD
    shift = np.uint64(64 - (slots.bit_length() - 1))
    return (spread >> shift).astype(np.int64), bits.astype(np.int64)


def _contexts(data: NDArray[np.uint8]) -> Ids:
    """A number for what stands before each byte but the first: of each order, and of its word. [n − 1, CONTEXTS]."""
    n = len(data)
    out = np.empty((n - 1, CONTEXTS), np.uint64)
    before = np.zeros(n - 1, np.uint64)
    for order in range(max(ORDERS) + 1):
        if order:
            before[order - 1 :] |= data[: max(0, n - order)].astype(np.uint64) << np.uint64(8 * (order - 1))
        out[:, order] = mix(before * np.uint64(8) + np.uint64(order))
    out[:, -1] = mix(_words(data)[:-1] ^ np.uint64(0x576F7264))
    return out


def _words(data: NDArray[np.uint8]) -> Ids:
    """For each place the hash of the word up to and with its byte, and of no word behind a byte that is in none."""
    letter, ends = LETTER[data], np.arange(1, len(data) + 1)
    starts = np.maximum.accumulate(np.where(letter, 0, ends))
    return np.where(letter, Runs(LOWERED[data]).of(np.minimum(starts, ends - 1), ends), np.uint64(0))


def costs(chunk: bytes, entries: NDArray[np.int8]) -> NDArray[np.int64]:
    """What each byte costs, [n], in 2^-16 bit, by the table `entries`: `FIRST_BYTE_BITS` bits for the first."""
    out = np.full(len(chunk), FIRST_BYTE_BITS * ONE, np.int64)
    if len(chunk) > 1:
        found, bits = byte_places(chunk, len(entries))
        sums = np.clip(entries[found].sum(-1, dtype=np.int64), -LIMIT, LIMIT) + LIMIT
        out[1:] = COSTS[sums, bits].sum(-1)
    return out
