"""From vectors of tokens to the tables of a weights file: half bytes, weights, prints."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.model import Symbols, SymbolsConfig, signs, symbols, token_places

from ._vocabulary import Vocabulary

RARITY: Final = 3e-4
"""a of a token's weight a / (a + its share of all tokens): what is rare says more."""
COMMON: Final = 3
"""Directions that all items have in common, which are taken out of every vector."""
COMMON_ITEMS: Final = 20_000
COMMON_SIZE: Final = 1024
"""Items that these are found on, at most, and their bytes."""
GRAM_SHARE: Final = 0.02
"""Weight of a gram, beside that of the rarest token: a word has many."""
OWN_SHARE: Final = 0.5
"""How much of a gram's vector is its own, drawn at random, beside the mean of the tokens that have it."""
LARGEST: Final = 7
"""Of a half byte, less 8: −8 is not used."""
TOP: Final = 65535

Matrix = NDArray[np.float32]


@frozen(eq=False)
class Learned:
    """Tokens with their vectors [V, dim], each of length 1 or 0, and weights [V]."""

    vocabulary: Vocabulary
    vectors: Matrix
    weights: NDArray[np.float64]


def learned(vocabulary: Vocabulary, vectors: Matrix, items: Iterator[bytes]) -> Learned:
    """`vectors` without what all items have in common."""
    weights = RARITY / (RARITY + vocabulary.counts / max(1, vocabulary.total))
    plain = _unit(vectors)
    common = _common(vocabulary, plain, weights, items)
    return Learned(vocabulary, _unit(np.asarray(plain - (plain @ common.T) @ common, np.float32)), weights)


def tables(found: Learned, config: SymbolsConfig, spellings: "Spellings") -> dict[str, NDArray[np.generic]]:
    """The tensors of the two tables of vectors."""
    rows = _placed(found.vocabulary.ids, config.tokens)
    stands = rows >= 0
    vectors = np.zeros((config.tokens, config.dim), np.float32)
    vectors[rows[stands]] = found.vectors[stands]
    weights = np.zeros(config.tokens)
    weights[rows[stands]] = found.weights[stands]
    prints = np.zeros(config.tokens, np.uint16)
    prints[rows[stands]] = token_places(found.vocabulary.ids[stands], config.tokens)[1]
    grams = spellings.vectors(found, config)
    gram_weights = np.full(config.grams, GRAM_SHARE * (weights.max() if stands.any() else 1.0))
    most = max(_scales(vectors, weights).max(initial=0), _scales(grams, gram_weights).max(initial=0), 1e-9)
    packed = {}
    for name, table, by in (("tokens", vectors, weights), ("grams", grams, gram_weights)):
        packed[f"{name}.vectors"] = _packed(table)
        packed[f"{name}.weights"] = np.rint(_scales(table, by) * (TOP / most)).astype(np.uint16)
    return {**packed, "tokens.prints": prints}


class Spellings:
    """Which grams the tokens of a vocabulary have, by place: gathered while data is read."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._seen = np.zeros(len(vocabulary.ids) + 1, bool)  # the last stands for those that are not known
        self._tokens: list[NDArray[np.int64]] = []
        self._grams: list[NDArray[np.uint64]] = []

    def add(self, found: Symbols) -> None:
        """Note those of tokens that were not seen before."""
        places = self._vocabulary.places(found.tokens)
        fresh = np.flatnonzero((places >= 0) & ~self._seen[places])
        first = fresh[np.unique(places[fresh], return_index=True)[1]]
        first = first[np.isin(first, found.owners)]
        chosen = np.isin(found.owners, first)
        self._tokens.append(places[found.owners[chosen]])
        self._grams.append(found.grams[chosen])
        self._seen[places[first]] = True

    def vectors(self, learned: Learned, config: SymbolsConfig) -> Matrix:
        """A vector of length 1 for each row of the table of grams, [grams, dim]."""
        out = np.zeros((config.grams, config.dim), np.float32)
        tokens = np.concatenate([np.empty(0, np.int64), *self._tokens])
        rows = (np.concatenate([np.empty(0, np.uint64), *self._grams]) & np.uint64(config.grams - 1)).astype(np.int64)
        np.add.at(out, rows, learned.vectors[tokens])
        own = signs(np.arange(config.grams, dtype=np.uint64), config.dim).astype(np.float32)
        return _unit(_unit(out) + OWN_SHARE * _unit(own))


def read(found: Learned, piece: bytes) -> NDArray[np.float64]:
    """The vector of an item by its known tokens, before anything is rounded, [dim]."""
    return _sum(found.vocabulary, found.vectors, found.weights, piece)


def _sum(vocabulary: Vocabulary, vectors: Matrix, weights: NDArray[np.float64], piece: bytes) -> NDArray[np.float64]:
    places = vocabulary.places(symbols(piece).tokens)
    known, often = np.unique(places[places >= 0], return_counts=True)
    out: NDArray[np.float64] = (np.sqrt(often) * weights[known]) @ vectors[known].astype(np.float64)
    return out


def _common(vocabulary: Vocabulary, vectors: Matrix, weights: NDArray[np.float64], items: Iterator[bytes]) -> Matrix:
    """Directions [COMMON, dim] along which most of all items lies."""
    dim = vectors.shape[1]
    spread, count = np.zeros((dim, dim)), 0
    for item in items:
        row = _sum(vocabulary, vectors, weights, item)
        if row.any():
            row /= np.linalg.norm(row)
            spread += np.outer(row, row)
            count += 1
        if count == COMMON_ITEMS:
            break
    if count < dim:
        return np.zeros((0, dim), np.float32)
    return np.asarray(np.linalg.eigh(spread)[1][:, ::-1][:, :COMMON].T, np.float32)


def _placed(ids: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """The row of each token, the first ones first, or −1 where both its groups are full or its print stands there."""
    places, prints = token_places(ids, size)
    taken = np.zeros(size, np.uint16)
    rows = np.full(len(ids), -1)
    for number, (own, mark) in enumerate(zip(places.tolist(), prints.tolist(), strict=True)):
        if any(taken[row] == mark for row in own):
            continue  # it would be taken for the other
        half = len(own) // 2
        free = [[row for row in group if not taken[row]] for group in (own[:half], own[half:])]
        better = max(free, key=len)
        if better:
            rows[number] = better[0]
            taken[better[0]] = mark
    return rows


def _scales(vectors: Matrix, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a row's half bytes are multiplied by to give weight times vector."""
    out: NDArray[np.float64] = np.abs(vectors).max(1).astype(np.float64) / LARGEST * weights
    return out


def _packed(vectors: Matrix) -> NDArray[np.uint8]:
    """Each row on its own scale, two numbers a byte, the first in the lower half."""
    most = np.abs(vectors).max(1, keepdims=True)
    halves = np.rint(vectors * (LARGEST / np.where(most == 0, 1, most))).astype(np.int64) + 8
    return (halves[:, 0::2] | halves[:, 1::2] << 4).astype(np.uint8)


def _unit(x: Matrix) -> Matrix:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length == 0, 1, length), np.float32)
