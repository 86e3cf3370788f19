"""Adaptive probabilities of one bit, many learning at once, in whole numbers. Rules CZ21 and CZ22."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

COUNT_BITS: Final = 10
EVEN: Final = 1 << 31
"""A slot that has seen nothing: one half."""

_MOST: Final = (1 << 22) - 1
_RECIPROCALS: Final = (5 << 16) // (5 * np.arange(4096, dtype=np.int64) + 8)
"""2^16 / (n + 1.6), rounded down, for n = 0, 1, …."""


def learned(slots: Integers, seen: Integers, ones: Integers, limits: Integers) -> Integers:
    """`slots` after `seen` bits each, `ones` of them set.

    A slot is the probability of a set bit · 2^32, whose low `COUNT_BITS` bits are replaced by how many bits it has
    seen, at most its limit.
    """
    chance, count = slots >> COUNT_BITS, slots & ((1 << COUNT_BITS) - 1)
    count += seen
    step = (ones << 22) - seen * chance
    step *= _RECIPROCALS[count]
    step >>= 16
    chance += step
    np.maximum(chance, 1, out=chance)
    np.minimum(chance, _MOST, out=chance)
    chance <<= COUNT_BITS
    chance |= np.minimum(count, limits)
    return chance


class Slots:
    """An array of slots, of which some are read and then told the same step's bits.

    Rows that share a slot in one step are added up first: their order changes nothing.
    """

    def __init__(self, values: Integers) -> None:
        self.values = values
        self._told = np.zeros_like(values)

    def learn(self, places: Integers, slots: Integers, bits: Integers, limits: Integers) -> None:
        """`slots`, read at `places` [rows, lanes], see the lanes' `bits` [lanes]; `limits` [rows, 1]."""
        np.add.at(self._told, places, np.broadcast_to((bits << 16) | 1, places.shape))
        told = self._told.take(places)
        self._told[places] = 0
        self.values[places] = learned(slots, told & 0xFFFF, told >> 16, limits)
