"""UIDs: xorshift64*, computed for many positions at once, and the older system's faulty chain of it.

The state of xorshift64* moves by a linear map over bits, so any position is reached by a product of 64 by 64 bit
matrices. Many lanes begin a fixed stride apart and step together; the output is that of the serial definition.
"""

from functools import cache
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

WORD: Final = 0xFFFFFFFFFFFFFFFF
GOLDEN: Final = 0x9E3779B97F4A7C15
"""Stands in for the seed 0, at which the generator would stay for ever."""
FACTOR: Final = 2685821657736338717
STRIDE: Final = 32
"""Positions of a lane."""
KEPT: Final = 1 << 22
"""Positions of a compat chain that are kept: 32 MiB."""

_SHIFTS: Final = (np.uint64(12), np.uint64(25), np.uint64(27))


class StandardChain:
    """Standard xorshift64* seeded with `seed`, from position `first` on."""

    def __init__(self, seed: int, first: int = 0) -> None:
        state = np.array([(seed & WORD) or GOLDEN], np.uint64)
        for power in range(first.bit_length()):
            if first >> power & 1:
                state = _jump(power, state)
        self._state = state

    def draw(self, count: int) -> Words:
        """The next `count` UIDs; uint64 [count]."""
        if not count:
            return np.empty(0, np.uint64)
        lanes = self._state
        while len(lanes) * STRIDE < count:
            lanes = np.concatenate([lanes, _jump((len(lanes) * STRIDE).bit_length() - 1, lanes)])
        lanes = lanes[: -(-count // STRIDE)].copy()
        states = np.empty((STRIDE, len(lanes)), np.uint64)
        for row in states:
            _step(lanes)
            row[:] = lanes
        drawn: Words = states.T.ravel()[:count]
        self._state = drawn[-1:].copy()
        drawn *= np.uint64(FACTOR)
        return drawn


def _step(states: Words) -> None:
    right, left, last = _SHIFTS
    states ^= states >> right
    states ^= states << left
    states ^= states >> last


def _jump(exponent: int, states: Words) -> Words:
    """`states`, each 2 ** `exponent` steps on; uint64 [n]."""
    octets = states.astype("<u8").view(np.uint8).reshape(-1, 8)
    moved: Words = np.bitwise_xor.reduce(_jumps(exponent)[np.arange(8), octets], axis=1)
    return moved


@cache
def _jumps(exponent: int) -> Words:
    """What each value of each byte of a state becomes 2 ** `exponent` steps on; uint64 [8, 256]."""
    bits = np.uint64(1) << np.arange(64, dtype=np.uint64)
    if exponent == 0:
        columns = bits.copy()
        _step(columns)
    else:
        columns = _jump(exponent - 1, _jump(exponent - 1, bits))
    tables = np.zeros((8, 256), np.uint64)
    for bit in range(8):
        tables[:, np.arange(256) >> bit & 1 == 1] ^= columns[bit::8, None]
    return tables


class CompatChain:
    """The older system's UIDs of one seed: each output is the next state, so they come in order or not at all.

    They depend on the seed and the position alone. The first `KEPT` are computed once and kept for all who ask; who
    goes further computes the rest for itself.
    """

    def __init__(self, seed: int) -> None:
        self._kept = np.empty(0, np.uint64)
        self._seed = (seed & WORD) or GOLDEN
        self._lock = Lock()

    def draw(self, first: int, count: int, before: int | None) -> Words:
        """Draws `first` to `first + count`; uint64 [count]. `before`: draw `first` - 1, None for the first."""
        end = min(first + count, KEPT)
        with self._lock:
            if end > len(self._kept):
                grown = min(KEPT, max(end, 2 * len(self._kept), 1 << 12))
                last = int(self._kept[-1]) if len(self._kept) else self._seed
                self._kept = np.concatenate([self._kept, _chain(last, grown - len(self._kept))])
            found = self._kept[first : first + count]
        if len(found) == count:
            return found
        last = int(found[-1]) if len(found) else self._seed if before is None else before
        return np.concatenate([found, _chain(last, count - len(found))])


def _chain(state: int, count: int) -> Words:
    drawn = [0] * count
    for place in range(count):
        state ^= state >> 12
        state ^= state << 25 & WORD
        drawn[place] = state = (state ^ state >> 27) * FACTOR & WORD
    return np.array(drawn, np.uint64)
