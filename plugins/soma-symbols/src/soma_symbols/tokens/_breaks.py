"""Where grapheme clusters and words begin: UAX #29 of Unicode 15.0 (rules GB…, WB…) over whole arrays.

Most rules look at two neighbours: both classes fit in a byte, and a table of 256 says whether they stay together. The
few that look further have candidates, which are rare, and are looked at one kind at a time.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._properties import GRAPHEME, WORD

Classes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Places = NDArray[np.int64]

REACH: Final = 32
"""So many marks and formats rules WB6, WB7b and WB12 pass over to see what follows; beyond, they see the end."""
HOLD: Final = REACH + 2
"""A break before a code point is decided when so many are known from it on."""


def _class(names: tuple[str, ...], *chosen: str) -> list[int]:
    return [names.index(name) for name in chosen]


def _pairs(*groups: tuple[list[int], list[int]]) -> bytes:
    """A table from a byte, the class before and the class after, to 1 where they stay together."""
    table = bytearray(256)
    for before, after in groups:
        for one in before:
            for other in after:
                table[one << 4 | other] = 1
    return bytes(table)


def _g(*names: str) -> list[int]:
    return _class(GRAPHEME, *names)


def _w(*names: str) -> list[int]:
    return _class(WORD, *names)


_BARE = [place for place, name in enumerate(GRAPHEME) if name not in {"CR", "LF", "Control"}]
_GRAPHEME_PAIRS: Final = _pairs(
    (_g("CR"), _g("LF")),
    (_g("L"), _g("L", "V", "LV", "LVT")),
    (_g("LV", "V"), _g("V", "T")),
    (_g("LVT", "T"), _g("T")),
    (_BARE, _g("Extend", "ZWJ", "SpacingMark")),
    (_g("Prepend"), _BARE),
)
_LETTERS = ("ALetter", "Hebrew_Letter")
_WORD_PAIRS: Final = _pairs(
    (_w("CR"), _w("LF")),
    (_w("WSegSpace"), _w("WSegSpace")),
    (_w(*_LETTERS, "Numeric"), _w(*_LETTERS, "Numeric")),
    (_w("Katakana"), _w("Katakana")),
    (_w(*_LETTERS, "Numeric", "Katakana", "ExtendNumLet"), _w("ExtendNumLet")),
    (_w("ExtendNumLet"), _w(*_LETTERS, "Numeric", "Katakana")),
    (_w("Hebrew_Letter"), _w("Single_Quote")),
)

(_EXTEND, _JOINER, _FLAG, _PICTOGRAPH) = _g("Extend", "ZWJ", "Regional_Indicator", "Extended_Pictographic")
(_WORD_FLAG, _HEBREW, _DOUBLE_QUOTE, _WHITE, _WORD_JOINER) = _w(
    "Regional_Indicator", "Hebrew_Letter", "Double_Quote", "WSegSpace", "ZWJ"
)
_FIRST_PASSED: Final = WORD.index("Extend")
"""From this class on, rule WB4 passes over."""


def _table(names: list[int]) -> bytes:
    return bytes(place in names for place in range(256))


_IS_LETTER: Final = _table(_w(*_LETTERS))
_IS_NUMBER: Final = _table(_w("Numeric"))
_IS_MIDDLE: Final = _table(_w("MidLetter", "MidNum", "MidNumLet", "Single_Quote", "Double_Quote"))
_BETWEEN_LETTERS: Final = _table(_w("MidLetter", "MidNumLet", "Single_Quote"))
_BETWEEN_NUMBERS: Final = _table(_w("MidNum", "MidNumLet", "Single_Quote"))
_IS_NEWLINE: Final = _table(_w("CR", "LF", "Newline"))


def translate(classes: Classes, table: bytes) -> Classes:
    """Each byte looked up in a `table` of 256; uint8 [n]."""
    return np.frombuffer(classes.tobytes().translate(table), np.uint8)


def cluster_starts(classes: Classes, anew: Mask | None = None) -> Mask:
    """Where grapheme clusters begin, by GRAPHEME classes [n] from the begin of a text; bool [n].

    `anew`: where words begin, bool [n]: each is a text of its own. (No word begins after a joiner, so that only flags
    need to be told.)
    """
    starts = ~_joined(classes, _GRAPHEME_PAIRS)
    if anew is not None:
        starts |= anew
    high = int(classes.max(initial=0))
    if high < _EXTEND:  # nothing but plain code points and controls
        return starts
    if high >= _PICTOGRAPH:
        after = np.flatnonzero((classes[1:] == _PICTOGRAPH) & (classes[:-1] == _JOINER)) + 1
        if len(after):  # GB11
            places = np.where(classes != _EXTEND, np.arange(len(classes)), -1)
            base = np.maximum.accumulate(places)[np.maximum(after - 2, 0)]
            starts[after[(after >= 2) & (base >= 0) & (classes[base] == _PICTOGRAPH)]] = False
    flags = np.flatnonzero(classes == _FLAG)
    starts[_second_of_pairs(flags, None if anew is None else anew[flags])] = False
    return starts


def word_starts(classes: Classes, pictographs: Classes) -> Mask:
    """Where words begin, by WORD classes [n] from the begin of a text; bool [n]. `pictographs`: 1 where one is."""
    if int(classes.max(initial=0)) < _FIRST_PASSED:
        return _starts_of_bases(classes, None)
    passed = classes >= _FIRST_PASSED
    glued = passed.copy()
    glued[:1] = False
    glued[1:] &= ~translate(classes[:-1], _IS_NEWLINE).view(np.bool_)  # WB4
    kept = np.flatnonzero(~glued)
    bases = np.where(passed[kept], np.uint8(0), classes[kept])
    starts = np.zeros(len(classes), np.bool_)
    starts[kept] = _starts_of_bases(bases, kept)
    joined = np.flatnonzero((classes[:-1] == _WORD_JOINER) & (pictographs[1:] != 0)) + 1
    starts[joined] = False  # WB3c
    return starts


def _starts_of_bases(classes: Classes, places: Places | None) -> Mask:
    """Where words begin among what rule WB4 leaves. `places`: where that stands in the text; None: everywhere."""
    starts = ~_joined(classes, _WORD_PAIRS)
    middles = np.flatnonzero(translate(classes, _IS_MIDDLE))
    if len(middles):
        middles = middles[(middles > 0) & (middles < len(classes) - 1)]
        if places is not None:
            middles = middles[places[middles + 1] - places[middles] <= REACH + 1]
        before, here, after = classes[middles - 1], classes[middles], classes[middles + 1]
        joins = translate(before, _IS_LETTER) & translate(here, _BETWEEN_LETTERS) & translate(after, _IS_LETTER)
        joins |= translate(before, _IS_NUMBER) & translate(here, _BETWEEN_NUMBERS) & translate(after, _IS_NUMBER)
        joins |= (before == _HEBREW) & (here == _DOUBLE_QUOTE) & (after == _HEBREW)
        inner = middles[joins != 0]
        starts[inner] = False
        starts[inner + 1] = False
    if places is not None:
        apart = np.flatnonzero(np.diff(places) > 1) + 1
        starts[apart[(classes[apart] == _WHITE) & (classes[apart - 1] == _WHITE)]] = True  # WB3d: only side by side
    flags = np.flatnonzero(classes == _WORD_FLAG)
    starts[_second_of_pairs(flags)] = False
    return starts


def _joined(classes: Classes, pairs: bytes) -> Mask:
    """Whether each stays with the one before, by the table of `pairs`; the first does not. bool [n]."""
    joined = np.empty(len(classes), np.bool_)
    joined[:1] = False
    joined[1:] = translate(classes[:-1] << np.uint8(4) | classes[1:], pairs).view(np.bool_)
    return joined


def _second_of_pairs(flags: Places, anew: Mask | None = None) -> Places:
    """Of `flags`, those that are the second, fourth … in a run of neighbours; `anew`: which begin a run anyway."""
    if len(flags) < 2:
        return flags[:0]
    order = np.arange(len(flags))
    begins = np.concatenate([[True], np.diff(flags) > 1])
    if anew is not None:
        begins |= anew
    run = np.maximum.accumulate(np.where(begins, order, 0))
    second: Places = flags[(order - run) & 1 == 1]
    return second
