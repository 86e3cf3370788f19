"""What an encoder says of itself, and whether what an auditor computed bears it out.

Its position, its best anchors, and that its vectors of new data are those of the network's frame: all of them follow
from its weights. Rules AU26 to AU29 of ``specs/25-audits.md``.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from attrs import frozen

from soma_core import fixed
from soma_core.records import octets, uint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ASPECTS: Final = ("position", "best", "frame")
"""What is asked of an encoder; an item's member is the place here."""
POSITION_NEAR: Final = 1_311
"""Cosine distance, Q16: 0.02. Another engine's losses may put other anchors at the edge of the best."""
BEST_PART: Final = 16
"""Of the anchors that are named as the best, one in so many may be another."""
FRESH_MOST: Final = 32
"""Data of a frame check."""
FRESH_LEAST: Final = 10
"""Data without which there is none."""
RETRIEVED_LEAST: Final = 8
"""Data that must find their own vector: eight times chance, however many there are."""
COSINE_LEAST: Final = 13_107
"""Mean cosine of the centred vectors, Q16: 0.20."""

Said = Literal["honest", "false", "missing"]


@frozen(kw_only=True)
class Anchor:
    """A datum of a settled job, of `size` bytes, and the joined `vector` (int16) that others gave it."""

    blob: bytes = octets(32)
    size: int = uint()
    vector: bytes = octets(most=1 << 14)


def fresh_most(dimension: int, bytes_most: int) -> int:
    """Data of a frame check, so that what an auditor computed of all aspects takes at most `bytes_most`."""
    return min(FRESH_MOST, bytes_most // (2 * dimension) - 2)


def length(aspect: str, claim: bytes, anchors: Sequence[Anchor], dimension: int) -> int:
    """Bytes of what an auditor says of an aspect. Of the frame: a vector for each anchor, zeros where it had none."""
    return 2 * dimension * len(anchors) if aspect == "frame" else len(claim)


def judged(aspect: str, claim: bytes, said: bytes, anchors: Sequence[Anchor], dimension: int) -> Said:
    """Whether the encoder's `claim` holds, by what an auditor computed."""
    if aspect == "best":
        named = int.from_bytes(claim, "big")
        wrong = named & ~int.from_bytes(said, "big")
        return "honest" if BEST_PART * wrong.bit_count() <= named.bit_count() else "false"
    if aspect == "position":
        one, other = (fixed.vector_from_bytes(data, dimension) for data in (claim, said))
        return "honest" if fixed.ONE - _cosine(one, other) <= POSITION_NEAR else "false"
    return _in_frame(said, anchors, dimension)


def _in_frame(said: bytes, anchors: Sequence[Anchor], dimension: int) -> Said:
    """Whether vectors find those that others gave the same data, and lie as they do among each other."""
    import numpy as np

    rows = np.frombuffer(said, "<i2").reshape(-1, dimension).astype(np.int64)
    had = rows.any(1)
    if had.sum() < FRESH_LEAST:
        return "missing"
    rows = rows[had]
    others = np.frombuffer(b"".join(anchor.vector for anchor in anchors), "<i2").reshape(-1, dimension)
    others = others.astype(np.int64)[had]
    found = sum(_nearest(row, others) == place for place, row in enumerate(rows))
    cosines = sum(_cosine(one, other) for one, other in zip(_centred(rows), _centred(others), strict=True))
    return "honest" if found >= RETRIEVED_LEAST and cosines >= COSINE_LEAST * len(rows) else "false"


def _nearest(row: "NDArray[np.int64]", others: "NDArray[np.int64]") -> int:
    """The place of the nearest other, of equally near ones the first."""
    cosines = [_cosine(row, other) for other in others]
    return cosines.index(max(cosines))


def _centred(rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Rows less their mean, times their number."""
    centred: NDArray[np.int64] = len(rows) * rows - rows.sum(0)
    return centred


def _cosine(one: "NDArray[np.integer]", other: "NDArray[np.integer]") -> int:
    """Q16; 0 where one of them is zero. Their numbers are below 2^22: no sum of at most 8192 products leaves int64."""
    import numpy as np

    a, b = one.astype(np.int64), other.astype(np.int64)
    return fixed.cosq(int(a @ b), int(a @ a), int(b @ b))
