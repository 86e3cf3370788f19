"""A binary arithmetic coder of 32 bits for every lane, all at the same bit. Rule CZ29."""

from typing import Final

import numpy as np

from ._slots import Bytes, Integers

_LOW: Final = (1 << 32) - 1
_TOP: Final = 24


class _Intervals:
    def __init__(self, lanes: int) -> None:
        self.low = np.zeros(lanes, np.int64)
        self.high = np.full(lanes, _LOW, np.int64)

    def middle(self, chances: Integers) -> Integers:
        """The last number that means a set bit."""
        return self.low + ((self.high - self.low) * chances >> 16)

    def narrow(self, middle: Integers, bits: Integers) -> None:
        self.high = np.where(bits, middle, self.high)
        self.low = np.where(bits, self.low, middle + 1)

    def settled(self) -> Integers:
        """The lanes whose highest byte is known."""
        return np.nonzero((self.low ^ self.high) >> _TOP == 0)[0]

    def shift(self, lanes: Integers) -> None:
        self.low[lanes] = self.low[lanes] << 8 & _LOW
        self.high[lanes] = (self.high[lanes] << 8 & _LOW) | 255


class ArithmeticEncoder:
    """Writes one string of bytes a lane."""

    def __init__(self, lanes: int) -> None:
        self._intervals = _Intervals(lanes)
        self._lanes: list[Integers] = []
        self._bytes: list[Bytes] = []

    def code(self, chances: Integers, bits: Integers) -> None:
        """A bit of every lane, 0 or 1, of which 1 has the chance given, of 2^16, neither none nor all."""
        intervals = self._intervals
        intervals.narrow(intervals.middle(chances), bits)
        while len(lanes := intervals.settled()):
            self._lanes.append(lanes)
            self._bytes.append((intervals.high[lanes] >> _TOP).astype(np.uint8))
            intervals.shift(lanes)

    def streams(self) -> list[bytes]:
        """What was coded, of each lane. Bytes of zero are left away at the end: who reads on finds them."""
        count = len(self._intervals.low)
        # the lowest number that only the first byte makes lie within the interval; unless that is 0
        last = np.where(self._intervals.low == 0, 0, (self._intervals.low >> _TOP) + 1).astype(np.uint8)
        lanes = np.concatenate((*self._lanes, np.arange(count)))
        data = np.concatenate((*self._bytes, last))[np.argsort(lanes, kind="stable")]
        ends = np.cumsum(np.bincount(lanes, minlength=count))
        return [part.tobytes().rstrip(b"\0") for part in np.split(data, ends[:-1])]


class ArithmeticDecoder:
    """Reads what `ArithmeticEncoder` wrote, given the same chances."""

    def __init__(self, streams: list[bytes]) -> None:
        self._intervals = _Intervals(len(streams))
        lengths = np.array([len(stream) for stream in streams], np.int64)
        self._ends = np.cumsum(lengths)
        self._places = self._ends - lengths
        self._data = np.frombuffer(b"".join(streams) + b"\0", np.uint8).astype(np.int64)
        self._values = np.zeros(len(streams), np.int64)
        for _ in range(4):
            self._read(np.arange(len(streams)))

    def code(self, chances: Integers) -> Integers:
        """The next bit of every lane, 0 or 1, of which 1 has the chance given."""
        intervals = self._intervals
        middle = intervals.middle(chances)
        bits = (self._values <= middle).astype(np.int64)
        intervals.narrow(middle, bits)
        while len(lanes := intervals.settled()):
            intervals.shift(lanes)
            self._read(lanes)
        return bits

    def _read(self, lanes: Integers) -> None:
        places = self._places[lanes]
        there = places < self._ends[lanes]
        byte = self._data[np.where(there, places, -1)]
        self._values[lanes] = (self._values[lanes] << 8 & _LOW) | byte
        self._places[lanes] = places + there
