"""Sketches: what bytes look like, cheap enough for every validator, before anybody has embedded them.

Rules Y1 and Y2 of ``specs/23-routing.md``.
"""

from math import isqrt
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BUCKET: Final = 8
"""Byte values, and differences of neighbours, that one number counts."""


def sketch_of(data: bytes) -> bytes:
    """64 numbers: how often bytes, and differences of neighbouring bytes, fall into each of 32 buckets.

    Each is the root of a share, so that two sketches differ where their distributions do. `data` has a byte or more.
    """
    import numpy as np

    values = np.frombuffer(data, np.uint8)
    steps = values[1:] - values[:-1]  # modulo 256
    return _shares(np.bincount(values // BUCKET, minlength=32)) + _shares(np.bincount(steps // BUCKET, minlength=32))


def _shares(counts: "NDArray[np.int64]") -> bytes:
    numbers = counts.tolist()
    whole = max(1, sum(numbers))
    return bytes(min(255, isqrt((number << 16) // whole)) for number in numbers)


def distance(a: bytes, b: bytes) -> int:
    """The sum of squared differences of two sketches."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
