"""Integer arithmetic of every value that is signed, hashed, compared or paid, and the one way in from floats.

Fixed point is Q16 (65536 is 1) unless said otherwise. Python integers have no bound; where numpy carries them its
float64 and int64 hold every value exactly, so that no result depends on a machine, a library or an order of summation.
Rules Q1 to Q15 of ``specs/03-quantiser.md``; numpy is imported where an array is touched.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from math import frexp, fsum, isqrt, sqrt
from typing import TYPE_CHECKING, Final

from .errors import CorruptionError, DecodeError, EncoderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

ONE: Final = 1 << 16
"""1 in Q16."""
COORDINATE_MAX: Final = 32767
"""The largest size of a coordinate: -32768 is not used, so that a vector can always be negated."""
DIMENSION_MAX: Final = 8192
"""The longest vector: its dot products stay below 2^43, far from the 2^53 up to which float64 counts exactly."""
VECTOR_SCALE: Final = 1 << 12
"""A vector's root mean square coordinate: the norm of a vector of D coordinates is √D·2^12, to rounding."""
SQUARED_NORM_MIN: Final = 1 << 20
"""Least squared norm of a valid vector, for each dimension: a quarter of the norm that quantising aims at."""
SQUARED_NORM_MAX: Final = (1 << 24) + 4097
"""Largest squared norm of a valid vector, for each dimension: what rounding can add, no more."""
TABLE_DIGEST: Final = "017533acfc9d9fd56a2ee7fd10804a3f86b2f66f1e50cf6cff73780b6a33f0d5"
"""BLAKE2b-256, without personalisation, of the 1024 entries of `table` as 8 bytes little endian each."""

_GUARD: Final = 96  # bits below the point while the table is built
_STEPS: Final = 32  # of Weiszfeld's iteration: 400 gave the same cosine to the last bit in 300 shards
_NEAREST: Final = 1024  # below this a distance counts as this, so that a start on a member does not stick there


def half_even(n: int, d: int) -> int:
    """The integer nearest to n / d, of two equally near the even one; d > 0."""
    q, r = divmod(n, d)
    return q + (2 * r > d or (2 * r == d and q & 1))


@cache
def table() -> tuple[int, ...]:
    """⌊2^(32 - k/1024)⌋ for k = 0..1023, in Q32: the largest t with t^1024 <= 2^(32768 - k).

    Built once. The roots and products below err by less than 2^-50; that this changes no entry, the digest proves.
    Raises `CorruptionError` if it does not.
    """
    root = 2 << _GUARD
    for _ in range(10):
        root = isqrt(root << _GUARD)  # 2^(1/1024)
    entries = [1 << 32]
    power = 1 << (31 + _GUARD)
    for _ in range(1023):
        power = power * root >> _GUARD
        entries.insert(1, power >> _GUARD)
    if blake2b(b"".join(t.to_bytes(8, "little") for t in entries), digest_size=32).hexdigest() != TABLE_DIGEST:
        raise CorruptionError("the table of powers of two is not the rules' own", "this Python miscounts; replace it")
    return tuple(entries)


def exp2neg(x: int) -> int:
    """2^-x for x >= 0 in Q16, as Q32; 0 from x = 33 on."""
    shift = x >> 16
    return table()[(x >> 6) & 1023] >> shift if shift <= 32 else 0


def log2q(y: int) -> int:
    """log2 y for an integer y >= 1, in Q16, rounded down to within 2 units; this loop is its definition."""
    if y < 1:
        raise ValueError(f"log2q({y}): there is a logarithm only from 1 on")
    n = y.bit_length() - 1
    v = y >> (n - 31) if n > 31 else y << (31 - n)
    f = 0
    for _ in range(16):
        v = v * v >> 31
        f <<= 1
        if v >> 32:
            v >>= 1
            f += 1
    return (n << 16) + f


def cosq(dot: int, norm_a: int, norm_b: int) -> int:
    """The cosine of two vectors from their dot product and squared norms: Q16, within ±65536; 0 beside a zero norm."""
    if norm_a == 0 or norm_b == 0:
        return 0
    cosine = min(ONE, half_even(abs(dot) << 16, isqrt(norm_a * norm_b)))
    return -cosine if dot < 0 else cosine


def median(values: Sequence[int]) -> int:
    """The middle of at least one integer; of an even number the mean of the two middle ones, rounded down."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) & 1 else (ordered[half - 1] + ordered[half]) >> 1


def share(parts: Sequence[int], total: int) -> list[int]:
    """`total` split in proportion to `parts` (non-negative, at least one): floors, and the remainder to the largest.

    Of equal largest the first takes it. If all parts are 0 they count as 1. The shares sum to `total` exactly.
    """
    whole = sum(parts)
    if whole == 0:
        parts, whole = [1] * len(parts), len(parts)
    shares = [part * total // whole for part in parts]
    shares[parts.index(max(parts))] += total - sum(shares)
    return shares


def quant(vector: Sequence[int]) -> "NDArray[np.int16]":
    """The direction of an integer vector as int16 [D], of norm √D·2^12: each coordinate rounded half-even, exactly.

    Coordinates may have any size; the result's are at most 32767. Raises `EncoderError` for a vector of zeros.
    """
    import numpy as np

    squared = sum(u * u for u in vector)
    if squared == 0:
        raise EncoderError("a vector of zeros has no direction", "give a vector with a coordinate that is not 0")
    scale = len(vector) << 26  # (2·√D·2^12)^2: twice the coordinate, so that its last bit says which half
    out = []
    for u in vector:
        t = u * u * scale
        s = isqrt(t // squared)
        n = (s + 1) >> 1
        if s & 1 and n & 1 and s * s * squared == t:  # exactly between two integers: to the even one
            n -= 1
        n = min(n, COORDINATE_MAX)
        out.append(-n if u < 0 else n)
    return np.array(out, np.int16)


def quantise(x: "ArrayLike") -> "NDArray[np.int16]":
    """The one way from floats [D] to a vector, int16 [D]: x/‖x‖·√D·2^12 rounded half-even, clipped to ±32767.

    The same on every machine: products and roots of float64, and a sum rounded once. Raises `EncoderError` for a vector
    that is empty or too long, has a coordinate that is not finite, is zero, or is so one-hot that clipping shortens it
    below the norm that a valid vector has.
    """
    import numpy as np

    values = np.asarray(x, np.float64)
    if values.ndim != 1 or not 1 <= len(values) <= DIMENSION_MAX:
        raise EncoderError(
            f"a vector of shape {values.shape} cannot be quantised", f"give one row of 1 to {DIMENSION_MAX} numbers"
        )
    if not np.isfinite(values).all():
        raise EncoderError("a vector with NaN or infinity cannot be quantised", "make the encoder's output finite")
    largest = float(np.abs(values).max())
    if largest == 0.0:
        raise EncoderError("a vector of zeros has no direction", "give a vector with a coordinate that is not 0")
    values = np.ldexp(values, -frexp(largest)[1])  # by a power of two: the squares can neither overflow nor vanish
    scale = sqrt(len(values)) * VECTOR_SCALE / sqrt(fsum((values * values).tolist()))
    out = np.clip(np.rint(values * scale), -COORDINATE_MAX, COORDINATE_MAX).astype(np.int16)
    if squared_norm(out) < len(out) * SQUARED_NORM_MIN:
        raise EncoderError(
            f"a vector of {len(out)} numbers with nearly all of its length in one cannot be quantised",
            "spread the encoder's output over more dimensions",
        )
    return out


def is_vector(z: object, dim: int) -> bool:
    """Whether `z` is a vector the rules accept: integers [dim] within ±32767, of nearly the norm quantising gives."""
    import numpy as np

    if not 1 <= dim <= DIMENSION_MAX or not isinstance(z, np.ndarray):
        return False
    if z.shape != (dim,) or not np.issubdtype(z.dtype, np.integer):
        return False
    if int(z.min()) < -COORDINATE_MAX or int(z.max()) > COORDINATE_MAX:
        return False
    return dim * SQUARED_NORM_MIN <= squared_norm(z) <= dim * SQUARED_NORM_MAX


def squared_norm(z: "NDArray[np.integer]") -> int:
    """Σz² of a vector [D] of coordinates within ±32768, exactly."""
    import numpy as np

    wide = z.astype(np.float64)
    return int(wide @ wide)


def dots(a: "NDArray[np.integer]", b: "NDArray[np.integer]") -> "NDArray[np.int64]":
    """Dot products of the rows of `a` [m, D] with those of `b` [n, D], int64 [m, n], exactly.

    Coordinates are those of int16 and D is at most `DIMENSION_MAX`: every partial sum is an integer below 2^53, which
    float64 holds, so that matrix products may use it in any order.
    """
    import numpy as np

    if a.shape[1] > DIMENSION_MAX:
        raise ValueError(f"dots of vectors of {a.shape[1]} coordinates; at most {DIMENSION_MAX}")
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.int64)


def geometric_median(vectors: "NDArray[np.integer]") -> "NDArray[np.int64]":
    """The point with nearly the least sum of distances to the rows of `vectors` [n, D], int64 [D].

    Coordinates within ±32767; n at most 4096. From the median of each coordinate, 32 steps of Weiszfeld's iteration in
    integers; a step that changes nothing ends them.
    """
    import numpy as np

    z = vectors.astype(np.float64)
    ordered = np.sort(vectors.astype(np.int64), axis=0)
    half = len(ordered) // 2
    y: NDArray[np.int64] = ordered[half] if len(ordered) & 1 else (ordered[half - 1] + ordered[half]) >> 1
    for _ in range(_STEPS):
        away = z - y
        squares = np.einsum("nd,nd->n", away, away)  # exact in float64: integers below 2^32·D
        weights = [(1 << 32) // max(_NEAREST, isqrt(int(square))) for square in squares]
        total = sum(weights)
        sums = (np.array(weights, np.float64) @ z).astype(np.int64)  # exact: below n·2^22·2^15
        quotient, rest = np.divmod(sums, total)
        moved = quotient + ((2 * rest > total) | ((2 * rest == total) & (quotient & 1 == 1)))
        if np.array_equal(moved, y):
            break
        y = moved
    return y


def vector_bytes(z: "NDArray[np.int16]") -> bytes:
    """A vector as it travels and is hashed: int16, little endian, 2·D bytes."""
    return z.astype("<i2", casting="equiv").tobytes()


def vector_from_bytes(data: bytes, dim: int) -> "NDArray[np.int16]":
    """The vector int16 [dim] whose bytes these are. Raises `DecodeError` if they are not exactly 2·dim."""
    import numpy as np

    if len(data) != 2 * dim:
        raise DecodeError(f"a vector of {len(data)} bytes where {2 * dim} belong", f"send {dim} int16, little endian")
    return np.frombuffer(data, "<i2").astype(np.int16)
