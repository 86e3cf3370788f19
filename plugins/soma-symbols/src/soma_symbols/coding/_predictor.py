"""The chance of each lane's next bit, from everything coded so far in any lane. Rules CZ20 to CZ28."""

from typing import Final, Protocol

import numpy as np

from ._contexts import NIBBLE, ROWS, Contexts, table_bits
from ._logistic import REACH, STEPS, squash, stretch
from ._matches import STATES, Matches
from ._mixer import Mixer
from ._slots import COUNT_BITS, EVEN, Bytes, Integers, Slots

_LEVELS: Final = 33
_AGES: Final = 8
"""A context's slot is seen again as one of `_LEVELS` chances and `_AGES` ages: what that was worth is learned."""
_SHIFT: Final = 32 - 12


class Advice(Protocol):
    """A predictor of whole bytes, beside the adaptive ones."""

    def odds(self, node: Integers) -> Integers:
        """Log odds [lanes] of the next bit behind `node`, a 1 followed by the bits of the byte so far."""
        ...

    def end_byte(self, byte: Integers) -> None:
        """Each lane had `byte`."""
        ...


def _judged() -> Integers:
    """[`ROWS` · `_LEVELS` · `_AGES`]: slots whose chance is the middle of their level."""
    middles = (2 * np.arange(_LEVELS, dtype=np.int64) + 1) * (2 * REACH) // (2 * _LEVELS)
    return np.tile(np.repeat(squash()[middles] << 16, _AGES), ROWS)


def _ages() -> Integers:
    counts = np.arange(1 << COUNT_BITS)
    table: Integers = np.select([counts < 5, counts < 7, counts < 12], [counts, 5, 6], 7).astype(np.int64)
    return table


class Predictor:
    """Begin a byte, then eight times `chance` and `learn`, then end it: the same when coding and decoding.

    `plane`: uint8 [lanes · steps], where who uses this puts each byte before `end_byte`.
    """

    def __init__(self, plane: Bytes, lanes: int, advice: Advice | None = None) -> None:
        taken, judged = ROWS * lanes * NIBBLE, ROWS * _LEVELS * _AGES
        self._slots = Slots(np.concatenate((np.full(taken, EVEN, np.int64), _judged(), np.full(256 + STATES, EVEN))))
        bits = table_bits(len(plane))
        self._contexts = Contexts(lanes, bits, self._slots.values[:taken])
        self._matches = Matches(plane, lanes, bits)
        self._advice = advice
        self._levels = (stretch() + REACH) * _LEVELS // (2 * REACH) * _AGES
        self._ages = _ages()
        self._judged = taken + np.arange(ROWS, dtype=np.int64)[:, None] * (_LEVELS * _AGES)
        self._bytes, self._states = taken + judged, taken + judged + 256
        rows = 2 * ROWS + 2
        self._limits = np.full((rows, 1), 1023, np.int64)
        self._limits[:ROWS] = 255
        self._places = np.zeros((rows, lanes), np.int64)
        self._read = np.zeros((rows, lanes), np.int64)
        self._odds = np.zeros((rows + 1 + (advice is not None), lanes), np.int64)
        self._odds[rows] = 256
        self._mixer = Mixer(len(self._odds), 256, 8 * (ROWS + 1))
        self._buckets: Integers = np.zeros(0, np.int64)
        self._node = np.ones(lanes, np.int64)
        self._left = 8

    def begin_byte(self) -> None:
        self._matches.begin_byte(self._contexts.history)
        self._buckets = self._contexts.begin_byte()
        self._node = np.ones_like(self._node)
        self._left = 8

    def chance(self) -> Integers:
        """[lanes], of 2^16, that the next bit is set."""
        node, places, read, odds = self._node, self._places, self._read, self._odds
        if self._left == 4:
            self._buckets = self._contexts.middle(node)
        inner = node if self._left > 4 else (node & ((1 << (4 - self._left)) - 1)) | (1 << (4 - self._left))
        np.add(self._buckets, inner, out=places[:ROWS])
        self._slots.values.take(places[:ROWS], out=read[:ROWS], mode="clip")
        chances, counts = read[:ROWS] >> _SHIFT, read[:ROWS] & ((1 << COUNT_BITS) - 1)
        np.add(self._levels[chances] + self._ages[counts], self._judged, out=places[ROWS : 2 * ROWS])
        np.add(node, self._bytes, out=places[-2])
        states, grades = self._matches.states(node, self._left)
        np.add(states, self._states, out=places[-1])
        self._slots.values.take(places[ROWS:], out=read[ROWS:], mode="clip")
        stretch().take(read >> _SHIFT, out=odds[: len(read)], mode="clip")
        odds[:ROWS] *= counts > 0
        if self._advice:
            odds[-1] = self._advice.odds(node)
        known = (counts > 0).sum(0)
        mixed = self._mixer.mix(odds, node, (grades >> 2) * (ROWS + 1) + known)
        return squash()[mixed + REACH]

    def learn(self, bits: Integers) -> None:
        """The lanes' bits [lanes], 0 or 1."""
        self._mixer.learn(self._odds, bits)
        self._slots.learn(self._places, self._read, bits, self._limits)
        self._node = 2 * self._node + bits
        self._left -= 1

    def end_byte(self) -> Integers:
        """Of each lane the byte that its eight bits were [lanes]."""
        byte = self._node & 255
        self._contexts.end_byte(byte)
        self._matches.end_byte(byte)
        if self._advice:
            self._advice.end_byte(byte)
        return byte


assert STEPS == 1 << (32 - _SHIFT)
