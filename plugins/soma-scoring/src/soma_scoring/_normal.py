"""Numbers of the normal distribution from a seed, in integers (rule TR3 of ``specs/31-target-rules.md``)."""

from functools import cache
from typing import Final

from soma_core.api.draws import uniform

LEVELS: Final = 256
"""Entries of the table: a byte of a seed's stream chooses one."""
_POINT: Final = 80  # bits below the point while the table is built
_ROOT: Final = 0x2_81B2_63FE_C4E0_B2CA_F948  # √(2π), 80 bits below the point, rounded down


@cache
def normal_table() -> tuple[int, ...]:
    """Where the normal distribution reaches (2i + 1) / 512, for i = 0..255: 4096 is one standard deviation, nearest.

    The second half is found by halving on ∫exp(-t²/2)dt; the first half is its mirror image. No true
    value lies within 1/1000 of a half, so that a series good to 2^-70 rounds each of them right.
    """
    half = []
    for level in range(LEVELS // 2):
        wanted = (2 * level + 1) * _ROOT // (2 * LEVELS)
        low, high = 0, 1 << 15  # in halves of a unit: four standard deviations
        while high - low > 1:
            middle = (low + high) >> 1
            low, high = (middle, high) if _area(middle) < wanted else (low, middle)
        half.append((low + 1) >> 1)
    return (*(-entry for entry in reversed(half)), *half)


def _area(halves: int) -> int:
    """∫ from 0 to `halves` / 8192 of exp(-t²/2) dt, `_POINT` bits below the point, by its power series."""
    x = halves << (_POINT - 13)
    square = x * x >> (_POINT + 1)
    term, total, n = x, 0, 0
    while term:
        total += term // (2 * n + 1) if n % 2 == 0 else -(term // (2 * n + 1))
        n += 1
        term = (term * square >> _POINT) // n
    return total


def normals(seed: bytes, count: int) -> list[int]:
    """`count` numbers of the table, one for each byte of the stream that `seed` names, 32 bytes a place."""
    table = normal_table()
    stream = b"".join(uniform(seed, place, 1 << 256).to_bytes(32, "big") for place in range(-(-count // 32)))
    return [table[byte] for byte in stream[:count]]
