"""What Unicode 15.0 says of a code point, as small numbers in arrays.

Code points with equal properties share a record (uint8). A table of 1.1 MB has the record of each code point; a
class is then one more look-up of a byte by a byte, which `bytes.translate` does fastest. The tables are made by
``recipe/unicode.py``.
"""

from functools import cache
from importlib.resources import files
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

BLOCK: Final = 128
"""Code points of a block of the two-stage table."""
COLUMNS: Final = ("word", "grapheme", "pictograph", "space", "fine", "sonority")

WORD: Final = (
    *("Other", "CR", "LF", "Newline", "Regional_Indicator", "Katakana", "Hebrew_Letter", "ALetter", "Single_Quote"),
    *("Double_Quote", "MidNumLet", "MidLetter", "MidNum", "Numeric", "ExtendNumLet", "WSegSpace"),
    *("Extend", "Format", "ZWJ"),
)
"""Word_Break; the last three are what rule WB4 passes over, and the others fit in four bits."""
GRAPHEME: Final = (
    *("Other", "CR", "LF", "Control", "Extend", "ZWJ", "Regional_Indicator", "Prepend", "SpacingMark"),
    *("L", "V", "T", "LV", "LVT", "Extended_Pictographic"),
)
"""Grapheme_Cluster_Break, and the pictographs, which are all Other."""
FINE: Final = (
    *("letter", "number", "kana", "ideograph", "connector"),
    *("space", "line"),
    *("punctuation", "symbol", "emoji", "mark", "control", "unassigned", "invalid"),
)
"""Kinds of the stream `grammar`: by the first code point of a token."""
COARSE: Final = ("word", "space", "other", "invalid")
"""Kinds of the other streams of words and parts of words."""
SONORITY: Final = (
    *("silent", "stop", "fricative", "aspirate", "nasal", "liquid", "glide", "vowel", "semivowel", "syllable", "tail"),
)
"""How a code point sounds; the first eight ascend. A semivowel is a glide before a vowel, else a vowel."""


@frozen(eq=False)
class Properties:
    """`records`: uint8 [0x110000]; `ascii`: of the first 256 code points.

    Each other is a table of 256 bytes, from records to classes.
    """

    records: NDArray[np.uint8]
    ascii: bytes
    word: bytes
    grapheme: bytes
    pictograph: bytes
    space: bytes
    fine: bytes
    coarse: bytes
    sonority: bytes


@cache
def properties() -> Properties:
    """The tables, read once."""
    with (files(__package__) / "data" / "unicode.npz").open("rb") as stream, np.load(stream) as held:
        places, blocks, classes = held["places"], held["blocks"], held["classes"]
    columns = np.zeros((len(COLUMNS), 256), np.uint8)
    columns[:, : len(classes)] = classes.T
    of = dict(zip(COLUMNS, map(bytes, columns), strict=True))
    coarse = of["fine"].translate(_coarse().ljust(256, b"\0"))
    records = blocks[places].reshape(-1)
    return Properties(records, bytes(records[:256]), coarse=coarse, **of)


def _coarse() -> bytes:
    groups = {"word": FINE[:5], "space": FINE[5:7], "invalid": FINE[-1:]}
    return bytes(
        next((COARSE.index(name) for name, kinds in groups.items() if kind in kinds), COARSE.index("other"))
        for kind in FINE
    )
