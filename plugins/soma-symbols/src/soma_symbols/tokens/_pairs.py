"""Byte-level BPE: a word's bytes, joined pair by pair in the order in which the pairs were learned."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from ._distinct import Words

Scalar = TypeVar("Scalar", bound=np.generic)

TOGETHER: Final = 64
"""Bytes that are encoded together, at most: one mask of 64 bits says where their parts begin."""
SYMBOLS: Final = 1 << 16
_NONE: Final = np.int32(0x7FFFFFFF)
"""The rank of a pair that is not joined."""
_END: Final = SYMBOLS - 1
"""The symbol after the last one of a word; no pair has it."""
_SIZES: Final = (8, 16, TOGETHER)
"""Words are encoded together with others of about their length."""


class PairEncoder:
    """Joins of learned pairs. `merges`: uint16 [m, 2], symbols; below 256 they are bytes, 256 + i is the i-th pair.

    Pairs that make the same bytes make the same symbol: that of the first of them.
    """

    def __init__(self, merges: NDArray[np.uint16]) -> None:
        if len(merges) > _END - 256:
            raise ValueError(f"{len(merges)} merges; there are at most {_END - 256}")
        keys = merges[:, 0].astype(np.uint32) << np.uint32(16) | merges[:, 1]
        self._ranks = np.argsort(keys, kind="stable").astype(np.int32)
        self._keys = keys[self._ranks]
        self._made = _made(merges)
        self._bytes = np.full((256, 256), _NONE, np.int32)
        first = (merges < 256).all(1)
        self._bytes[merges[first, 0], merges[first, 1]] = np.flatnonzero(first)

    def encode(self, words: list[bytes]) -> Words:
        """Where the parts of each word begin, a bit a byte; uint64 [n, 1]. A word has 1 to 64 bytes."""
        widths = np.array([len(word) for word in words])
        masks = np.empty((len(words), 1), np.uint64)
        least = 0
        for size in _SIZES:
            chosen = np.flatnonzero((widths > least) & (widths <= size))
            if len(chosen):
                rows = b"".join([words[place].ljust(size, b"\0") for place in chosen.tolist()])
                symbols = np.frombuffer(rows, np.uint8).reshape(-1, size)
                masks[chosen, 0] = self._join(symbols, widths[chosen])
            least = size
        return masks

    def _join(self, letters: NDArray[np.uint8], widths: NDArray[np.int64]) -> Words:
        count, size = letters.shape
        inside = np.arange(size) < widths[:, None]
        symbols = np.where(inside, letters, np.int32(_END))
        symbols = np.pad(symbols, ((0, 0), (0, 2)), constant_values=_END)
        ranks = np.full((count, size + 1), _NONE, np.int32)
        ranks[:, : size - 1] = np.where(inside[:, 1:], self._bytes[letters[:, :-1], letters[:, 1:]], _NONE)
        places = np.broadcast_to(np.arange(size + 2, dtype=np.uint64), symbols.shape).copy()
        masks = (np.uint64(1) << (widths.astype(np.uint64) - np.uint64(1)) << np.uint64(1)) - np.uint64(1)
        rows = np.arange(count)
        whole = masks
        while True:
            best = ranks.argmin(1)
            at = np.arange(len(rows))
            rank = ranks[at, best]
            live = rank != _NONE
            if not live.any():
                return whole
            if not live.all():
                rows, best, rank = rows[live], best[live], rank[live]
                symbols, ranks, places = symbols[live], ranks[live], places[live]
                at = np.arange(len(rows))
            whole[rows] &= ~(np.uint64(1) << places[at, best + 1])
            symbols[at, best] = self._made[rank]
            # The pair's second symbol goes from all three arrays, which are narrower by one then.
            symbols, places = _without(symbols, best + 1), _without(places, best + 1)
            ranks = _without(ranks, best + 1)
            ranks[at, best] = self._rank(symbols[at, best], symbols[at, best + 1])
            inner = np.flatnonzero(best)
            ranks[inner, best[inner] - 1] = self._rank(symbols[inner, best[inner] - 1], symbols[inner, best[inner]])

    def _rank(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.int32]:
        if not len(self._keys):
            return np.full(len(first), _NONE, np.int32)
        keys = first.astype(np.uint32) << np.uint32(16) | second.astype(np.uint32)
        found = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[found] == keys, self._ranks[found], _NONE)


def _made(merges: NDArray[np.uint16]) -> NDArray[np.int32]:
    """The symbol that each pair makes; int32 [m]."""
    texts = [bytes([value]) for value in range(256)]
    known: dict[bytes, int] = {}
    for first, second in merges.tolist():
        texts.append(texts[first] + texts[second])
    for symbol, text in enumerate(texts):
        known.setdefault(text, symbol)
    return np.array([known[text] for text in texts[256:]], np.int32)


def _without(array: NDArray[Scalar], column: NDArray[np.int64]) -> NDArray[Scalar]:
    """Each row without its element at `column`."""
    kept = np.arange(array.shape[1]) != column[:, None]
    narrower: NDArray[Scalar] = array[kept].reshape(len(array), -1)
    return narrower
