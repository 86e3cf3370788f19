"""The longest match: what followed the last time the same bytes were coded, in any lane. Rule CZ25."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._slots import Bytes, Integers

SHORTEST: Final = 6
COMPARED: Final = 32
"""Bytes compared when a match is found; it grows from there."""
STATES: Final = 64
"""What a match says of a bit: how long it is, 0 for none to 31, and the bit."""

_HASH: Final = np.uint64(0x9E3779B97F4A7C15)
_BYTES: Final = np.uint64((1 << 8 * SHORTEST) - 1)


class Matches:
    """`plane`: uint8 [lanes · steps], the block lane by lane, of which the first columns are known."""

    def __init__(self, plane: Bytes, lanes: int, bits: int) -> None:
        self._plane, self._steps, self._step = plane, len(plane) // lanes, 0
        self._starts = np.arange(lanes, dtype=np.int64) * self._steps
        self._seen = np.zeros(1 << bits, np.int64)
        self._shift = np.uint64(64 - bits)
        self._places = np.zeros(lanes, np.int64)
        self._lengths = np.zeros(lanes, np.int64)
        self._grades = np.zeros(lanes, np.int64)
        self._byte = np.zeros(lanes, np.int64)

    def begin_byte(self, history: NDArray[np.uint64]) -> None:
        """Look for a match in the lanes that have none. `history`: the last eight bytes of each."""
        if self._step >= SHORTEST:
            slots = ((history & _BYTES) * _HASH >> self._shift).astype(np.int64)
            lanes = len(self._starts)
            latest = self._seen[slots]
            (wanting,) = np.nonzero((self._lengths == 0) & (latest > 0))
            if len(wanting):
                step, lane = np.divmod(latest[wanting], lanes)
                self._places[wanting] = found = self._starts[lane] + step
                self._lengths[wanting] = self._agreement(found, self._starts[wanting] + self._step, step)
            np.maximum.at(self._seen, slots, self._step * lanes + np.arange(lanes))
        self._byte = self._plane[self._places].astype(np.int64) | 256
        lengths = self._lengths
        self._grades = np.where(lengths < 16, lengths, np.minimum(12 + lengths // 4, 31))

    def _agreement(self, there: Integers, here: Integers, known: Integers) -> Integers:
        """How many of the `known` bytes before `there` and `here` agree, at most `COMPARED`; 0 below `SHORTEST`."""
        length = np.zeros(len(here), np.int64)
        same = np.ones(len(here), bool)
        for back in range(1, COMPARED + 1):
            same &= (back <= known) & (self._plane[there - back] == self._plane[here - back])
            if not same.any():
                break
            length += same
        length[length < SHORTEST] = 0
        return length

    def states(self, node: Integers, left: int) -> tuple[Integers, Integers]:
        """Of each lane, with `left` bits of the byte to come after `node`: its state of `STATES`, its grade 0 to 31."""
        grades = np.where(self._byte >> (left) == node, self._grades, 0)
        return np.where(grades, 2 * grades + (self._byte >> (left - 1) & 1), 0), grades

    def end_byte(self, byte: Integers) -> None:
        """Each lane had `byte`, which now stands in the plane."""
        kept = (self._byte & 255 == byte) & (self._lengths > 0) & (self._places < len(self._plane) - 1)
        self._lengths = np.where(kept, self._lengths + 1, 0)
        self._places = np.where(kept, self._places + 1, 0)
        self._step += 1
