"""The symbol encoder in NumPy, one item at a time: the referee. Rules LS9 to LS16 of ``specs/81-symbol-encoder.md``.

Vectors are sums of whole numbers below 2^53, so that no order of summation and no library changes a bit of them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ._byte_model import ONE, costs
from ._contract import MAX_CHUNKS, chunks
from ._reading import Reading
from ._symbols import LETTER, Ids, hashed, mix, symbols
from ._symbols_config import Strategy, SymbolsConfig

CLASSES: Final = 8
"""Of bytes: lower and upper case, digits, underscores, spaces, other ASCII, control codes, and all above 127."""
LENGTHS: Final = 64
"""Of runs of letters that are told apart; the last stands for it and more."""
GROUP: Final = 4
"""Rows of a group; a token stands in one of two groups, so that a table can be full."""
MIDDLE: Final = 8
"""What a half byte is less by: a vector's numbers are −8 to 7."""
_BLOCK: Final = 4096
"""Rows that are unpacked at a time."""

Vector = NDArray[np.float64]


class ReferenceSymbols:
    """A symbol encoder with NumPy alone. Whatever `dtype`, it computes the same, and gives float32."""

    def __init__(
        self, config: SymbolsConfig, tensors: Mapping[str, NDArray[Any]], dtype: type[Any] = np.float32
    ) -> None:
        del dtype
        config.check({name: tensor.shape for name, tensor in tensors.items()})
        self.config = config
        self._tensors = tensors
        ways: dict[Strategy, Callable[[list[bytes]], Vector]] = {
            "feature": self._feature,
            "hash": self._hash,
            "semantic": self._semantic,
            "hybrid": self._hybrid,
        }
        self._vector = ways[config.strategy]

    def read(self, data: bytes, max_chunks: int = MAX_CHUNKS) -> Reading:
        """Vector and loss of one item. Raises `ValueError` if it is empty or larger than any item may be."""
        pieces = chunks(data, self.config.seq, max_chunks)
        bits = sum(int(self.costs(piece).sum()) for piece in pieces) / ONE
        return Reading(unit(self._vector(pieces)).astype(np.float32), bits, sum(map(len, pieces)))

    def costs(self, chunk: bytes) -> NDArray[np.int64]:
        """What each byte of a chunk costs, [n], in 2^-16 bit."""
        return costs(chunk, self._tensors["bytes.entries"])

    def _semantic(self, pieces: list[bytes]) -> Vector:
        tokens, grams = np.zeros(self.config.tokens, np.int64), np.zeros(self.config.grams, np.int64)
        for piece in pieces:
            found = symbols(piece)
            rows = find(found.tokens, self._tensors["tokens.prints"])
            known = rows >= 0
            tokens += np.bincount(rows[known], minlength=len(tokens))
            unknown = found.grams[~known[found.owners]] & np.uint64(len(grams) - 1)
            grams += np.bincount(unknown.astype(np.int64), minlength=len(grams))
        return self._sum("tokens", tokens) + self._sum("grams", grams)

    def _sum(self, table: str, counts: NDArray[np.int64]) -> Vector:
        """Σ damped(count) · weight · vector over the rows of a table."""
        rows = np.flatnonzero(counts)
        factors = damped(counts[rows]) * self._tensors[f"{table}.weights"][rows]
        out = np.zeros(self.config.dim)
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            out += factors[block] @ unpacked(self._tensors[f"{table}.vectors"][rows[block]])
        return out

    def _hash(self, pieces: list[bytes]) -> Vector:
        ids, counts = np.unique(np.concatenate([hashed(piece) for piece in pieces]), return_counts=True)
        return projected(ids, counts, self.config.dim)

    def _feature(self, pieces: list[bytes]) -> Vector:
        counts = np.sum([features(piece) for piece in pieces], axis=0)
        seen = np.flatnonzero(counts)
        return projected(seen.astype(np.uint64), counts[seen], self.config.dim)

    def _hybrid(self, pieces: list[bytes]) -> Vector:
        return unit(self._semantic(pieces)) + unit(self._hash(pieces))


def find(tokens: Ids, prints: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The row of each token, or −1: the first of the rows where it may stand that has its print."""
    rows, own = token_places(tokens, len(prints))
    met = prints[rows] == own[:, None]
    return np.where(met.any(1), rows[np.arange(len(rows)), met.argmax(1)], -1)


def token_places(tokens: Ids, size: int) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The rows of a table of `size` where each token may stand, two groups of `GROUP`, [n, 8], and its print, [n].

    A print is never 0: that is a row where nobody stands.
    """
    mask = np.uint64(size // GROUP - 1)
    groups = np.stack([tokens & mask, (tokens >> np.uint64(22)) & mask], 1).astype(np.int64)
    rows = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(tokens), 2 * GROUP)
    return rows, np.maximum(tokens >> np.uint64(48), np.uint64(1)).astype(np.uint16)


def damped(counts: NDArray[np.int64]) -> Vector:
    """⌊16 · √count⌋, exactly: what stands there often counts for less each time."""
    out: Vector = np.floor(np.sqrt(256.0 * counts))
    return out


def unpacked(rows: NDArray[np.uint8]) -> Vector:
    """Vectors [n, dim] of packed ones [n, dim / 2]: the lower half of a byte comes first."""
    out = np.empty((len(rows), 2 * rows.shape[1]))
    out[:, 0::2] = rows & 15
    out[:, 1::2] = rows >> 4
    out -= MIDDLE
    return out


def projected(ids: Ids, counts: NDArray[np.int64], dim: int) -> Vector:
    """Σ damped(count) · signs(id), the signs ±1 drawn from each id, [dim]."""
    factors, out = damped(counts), np.zeros(dim)
    for start in range(0, len(ids), _BLOCK):
        block = slice(start, start + _BLOCK)
        out += factors[block] @ signs(ids[block], dim)
    return out


def signs(ids: Ids, dim: int) -> Vector:
    """[n, dim] of 1 and −1: the bits of mix(id + 1 · φ), mix(id + 2 · φ), …, the lowest first; 1 where a bit is set."""
    steps = np.arange(1, -(-dim // 64) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words = mix(ids[:, None] + steps).astype("<u8").view(np.uint8)
    bits = np.unpackbits(words, axis=1, bitorder="little")[:, :dim]
    return np.where(bits, 1.0, -1.0)


def features(chunk: bytes) -> NDArray[np.int64]:
    """Counts of bytes, of pairs of neighbouring classes, and of lengths of runs of letters: [256 + 64 + 64]."""
    data = np.frombuffer(chunk, np.uint8)
    kinds = _CLASS_OF[data]
    edges = np.flatnonzero(np.diff(LETTER[data].astype(np.int8), prepend=0, append=0))
    lengths = np.minimum(edges[1::2] - edges[0::2], LENGTHS) - 1
    return np.concatenate(
        [
            np.bincount(data, minlength=256),
            np.bincount(kinds[:-1] * CLASSES + kinds[1:], minlength=CLASSES * CLASSES),
            np.bincount(lengths, minlength=LENGTHS),
        ]
    )


def unit(x: Vector) -> Vector:
    """`x` with length 1, every number rounded as IEEE 754 says; all ones where `x` is zero."""
    if not x.any():
        x = np.ones(len(x))
    out: Vector = x / math.sqrt(math.fsum((x * x).tolist()))
    return out


def _classes() -> NDArray[np.int64]:
    out = np.full(256, 5, np.int64)
    for number, members in enumerate((range(97, 123), range(65, 91), range(48, 58), (95,), (9, 10, 13, 32))):
        out[list(members)] = number
    out[[*(c for c in range(32) if c not in {9, 10, 13}), 127]] = 6
    out[128:] = 7
    return out


_CLASS_OF: Final = _classes()
