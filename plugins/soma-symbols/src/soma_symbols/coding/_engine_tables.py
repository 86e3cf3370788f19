"""What the integer engine looks up instead of computing it: the same numbers on every machine. Rule CZ33."""

import hashlib
import math
from functools import cache
from typing import Final

import numpy as np

from soma_core.api.fixed import table

from ._slots import Integers

VERSION: Final = 1
"""Of the engine: whatever changes a prediction changes this."""

POINT: Final = 12
"""Bits behind the point of every activation."""
TURN_POINT: Final = 14
"""Bits behind the point of sines and cosines."""
POWER_POINT: Final = 10
"""Bits behind the point of an exponent of two."""
LOG2_E: Final = 94_548
"""1/ln 2 · 2^16, rounded."""

_GELU_REACH: Final = 8


@cache
def gelu() -> Integers:
    """[2 · 8 · 2^`POINT`]: x + 8 → x·Φ(x), both with `POINT` bits behind the point, to the nearest.

    No entry but those at whole numbers' symmetry lies so near the middle of two that an error of a library's erf below
    1e-12 would show; a test says how near.
    """
    one = 1 << POINT
    values = (place / one for place in range(-_GELU_REACH * one, _GELU_REACH * one))
    return np.array([round(x * (1 + math.erf(x / math.sqrt(2))) / 2 * one) for x in values], np.int64)


@cache
def turns(positions: int, head_dim: int, base: int, scale: int) -> tuple[Integers, Integers]:
    """Cosine and sine [positions, head_dim / 2] with `TURN_POINT` bits behind the point."""
    half = head_dim // 2
    rates = [base ** (-2 * place / head_dim) / scale for place in range(half)]
    angles = [[position * rate for rate in rates] for position in range(positions)]
    one = 1 << TURN_POINT
    cosines, sines = (np.array([[round(f(a) * one) for a in row] for row in angles]) for f in (math.cos, math.sin))
    return cosines, sines


@cache
def powers() -> Integers:
    """[1024]: ⌊2^(32 − k/1024)⌋."""
    return np.array(table(), np.int64)


def power(exponents: Integers, point: int) -> Integers:
    """2^−x with `point` bits behind the point, rounded down, for x >= 0 with `POWER_POINT` bits behind it."""
    places = exponents & ((1 << POWER_POINT) - 1)
    shifts = np.minimum((exponents >> POWER_POINT) + (32 - point), 62)
    found: Integers = powers()[places] >> shifts
    return found


def root(values: Integers) -> Integers:
    """⌊√v⌋ for 0 <= v < 2^52: exact, however a machine rounds its roots."""
    found = np.sqrt(values.astype(np.float64)).astype(np.int64)
    found -= found * found > values
    found += (found + 1) * (found + 1) <= values
    return found


def engine_digest(cosines: Integers, sines: Integers) -> bytes:
    """8 bytes that name the engine and every table it looks into."""
    state = hashlib.blake2b(b"%d" % VERSION, digest_size=8, person=b"soma/packed")
    for part in (gelu(), powers(), cosines, sines):
        state.update(part.astype("<i8").tobytes())
    return state.digest()
