"""Symbols of bytes: tokens (words, and parts of words) and the runs of bytes in them, each named by its content.

Rules LS1 to LS6 of ``specs/81-symbol-encoder.md``. Everything is integers, the same on every machine.
"""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

MULTIPLIER: Final = 0x9E3779B97F4A7C15
"""Of the polynomial that a run of bytes is hashed by: odd, so that it can be divided by."""
TOKEN: Final = 0x546F6B656E
"""What keeps the families of symbols apart: the letters of their names."""
GRAM: Final = 0x4772616D
HASHED: Final = 0x486173686564
GRAMS: Final = (3, 4, 5)
"""Bytes of a run inside a part of a word, its edges counted."""
HASHED_GRAMS: Final = (2, 3, 4)
"""Bytes of a run for the strategy `hash`, anywhere."""
EDGE: Final = 32
"""Stands before and behind a part, where runs are taken from it."""

Ids = NDArray[np.uint64]

LETTER: Final = np.zeros(256, bool)
LETTER[[*range(48, 58), *range(65, 91), 95, *range(97, 123), *range(128, 256)]] = True
_UPPER: Final = np.zeros(256, bool)
_UPPER[65:91] = True
LOWERED: Final = np.arange(256, dtype=np.uint64)
LOWERED[65:91] += np.uint64(32)
_UNDERSCORE: Final = 95
_M: Final = np.uint64(MULTIPLIER)
_INVERSE: Final = np.uint64(pow(MULTIPLIER, -1, 1 << 64))


@frozen(eq=False)
class Symbols:
    """Of one chunk, as content ids.

    `tokens`: uint64 [n], in order. `grams`: uint64 [m]; `owners`: the places of the tokens that they are in, [m].
    """

    tokens: Ids
    grams: Ids
    owners: NDArray[np.intp]


def symbols(chunk: bytes) -> Symbols:
    """Tokens and grams of 1 and more bytes."""
    data = np.frombuffer(chunk, np.uint8)
    first, last, words_first, words_last = _parts(data)
    lowered = LOWERED[data]
    starts, ends = np.concatenate([first, words_first]), np.concatenate([last, words_last])
    order = np.argsort(starts, kind="stable")  # a word stands behind its own first part
    tokens = _mixed(Runs(lowered).of(starts[order], ends[order]), TOKEN)
    places = np.empty(len(order), np.intp)
    places[order] = np.arange(len(order))
    inner = np.flatnonzero(LETTER[data[first]])
    grams, parts = _grams(lowered, first[inner], last[inner])
    return Symbols(tokens, grams, places[inner[parts]])


def hashed(chunk: bytes) -> Ids:
    """Content ids of all runs of `HASHED_GRAMS` bytes, and of the chunk itself if it is shorter than all of them."""
    data = np.frombuffer(chunk, np.uint8)
    runs = Runs(data.astype(np.uint64))
    found = [
        _mixed(runs.of(np.arange(len(data) - n + 1), np.arange(n, len(data) + 1)), HASHED + n)
        for n in HASHED_GRAMS
        if len(data) >= n
    ]
    return np.concatenate(found) if found else _mixed(runs.of(np.array([0]), np.array([len(data)])), HASHED)


def mix(x: Ids) -> Ids:
    """The finaliser of MurmurHash3: every bit of the result depends on every bit of `x`."""
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xFF51AFD7ED558CCD)
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))


def _parts(data: NDArray[np.uint8]) -> tuple[NDArray[np.intp], ...]:
    """First byte and end of every part, in order, and of every word that is not one part.

    A byte that belongs to no word is a part of its own, but an underscore is none.
    """
    letter, upper = LETTER[data], _UPPER[data]
    under = data == _UNDERSCORE
    lower = letter & ~upper & ~under
    ahead = np.append(lower[1:], False)
    behind = np.concatenate([[False], letter[:-1]])
    after_lower = np.concatenate([[False], lower[:-1]])
    after_under = np.concatenate([[False], under[:-1]])
    after_upper = np.concatenate([[False], upper[:-1]])
    turned = upper & (after_lower | (after_upper & ahead))  # camelCase, and the S of HTTPServer
    starts = ~under & (~letter | ~behind | after_under | turned)
    ends = np.append(starts[1:] | under[1:], True) & ~under
    first, last = np.flatnonzero(starts), np.flatnonzero(ends) + 1
    word_first = np.flatnonzero(letter & ~behind)
    word_last = np.flatnonzero(letter & ~np.append(letter[1:], False)) + 1
    held = np.searchsorted(first, word_last) - np.searchsorted(first, word_first)
    return first, last, word_first[held != 1], word_last[held != 1]


def _grams(lowered: Ids, first: NDArray[np.intp], last: NDArray[np.intp]) -> tuple[Ids, NDArray[np.intp]]:
    """Of the parts from `first` to `last`, each with an `EDGE` on both sides; and which part each is from."""
    if not len(first):
        return np.empty(0, np.uint64), np.empty(0, np.intp)
    lengths = last - first + 2
    ends = np.cumsum(lengths)
    padded = np.full(int(ends[-1]), EDGE, np.uint64)
    own = np.repeat(np.arange(len(first)), lengths)
    place = np.arange(len(padded)) - np.repeat(ends - lengths, lengths)
    inside = (place > 0) & (place < lengths[own] - 1)
    padded[inside] = lowered[(first[own] + place - 1)[inside]]
    runs, limit, found, parts = Runs(padded), ends[own], [], []
    for n in GRAMS:
        starts = np.flatnonzero(np.arange(len(padded)) + n <= limit)
        found.append(_mixed(runs.of(starts, starts + n), GRAM + n))
        parts.append(own[starts])
    return np.concatenate(found), np.concatenate(parts)


class Runs:
    """The polynomial hash of any run of numbers, from sums over all of them: Σ (c + 1) · M^(distance to the end)."""

    def __init__(self, numbers: Ids) -> None:
        n = len(numbers)
        self._powers = _powers(_M, n)
        terms = (numbers + np.uint64(1)) * _powers(_INVERSE, n)
        self._sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms)])

    def of(self, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Ids:
        """That of each run from its start up to its end, which is behind it."""
        found: Ids = (self._sums[ends] - self._sums[starts]) * self._powers[ends - 1]
        return found


def _powers(base: np.uint64, count: int) -> Ids:
    out = np.full(count, base, np.uint64)
    out[0] = 1
    return np.cumprod(out)


def _mixed(runs: Ids, family: int) -> Ids:
    return mix(runs ^ mix(np.array([family], np.uint64)))
