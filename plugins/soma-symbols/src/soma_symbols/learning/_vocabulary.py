"""Which tokens there are and how often: counted in one pass, in bounded memory, keyed by content."""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.model import symbols

from ._counts import added, fewer

ENTRIES_MOST: Final = 1 << 21
"""Distinct tokens that are counted at a time."""
SUBSAMPLED: Final = 1e-4
"""Share of all tokens from which on a token is passed over at times, as word2vec does."""

Ids = NDArray[np.uint64]


def _unlettered() -> Ids:
    """Bytes that are in no word: they stand everywhere and say nothing of their neighbours."""
    lone = [byte for byte in range(128) if not (bytes([byte]).isalnum() or byte == ord("_"))]
    return np.sort(np.concatenate([symbols(bytes([byte])).tokens for byte in lone]))


_MARKS: Final = _unlettered()


class Tally:
    """Counts by content id. Where there are more than `most`, those with the smallest counts are forgotten.

    `short`: by how much a count may be too low, at most.
    """

    def __init__(self, most: int = ENTRIES_MOST) -> None:
        self._most = most
        self._ids, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._waiting: list[Ids] = []
        self._held = 0
        self.short = 0
        self.total = 0

    def add(self, ids: Ids) -> None:
        """Count some."""
        self._waiting.append(ids)
        self._held += len(ids)
        self.total += len(ids)
        if self._held >= self._most:
            self._merge()

    def counts(self) -> tuple[Ids, NDArray[np.int64]]:
        """Ids, the most frequent first, of equal ones the smallest; and their counts."""
        self._merge()
        order = np.lexsort((self._ids, -self._counts))
        return self._ids[order], self._counts[order]

    def _merge(self) -> None:
        fresh, often = np.unique(np.concatenate([np.empty(0, np.uint64), *self._waiting]), return_counts=True)
        self._waiting, self._held = [], 0
        self._ids, self._counts = added(self._ids, self._counts, fresh, often)
        self._ids, self._counts, least = fewer(self._ids, self._counts, self._most)
        self.short += least


@frozen(eq=False)
class Vocabulary:
    """The most frequent tokens. `ids`: by count, falling. `counts`: of each. `total`: of all tokens that were read."""

    ids: Ids
    counts: NDArray[np.int64]
    total: int
    _sorted: Ids
    _order: NDArray[np.int64]

    @classmethod
    def of(cls, tally: Tally, most: int, least: int) -> "Vocabulary":
        """`most` tokens that were seen `least` times and more."""
        ids, counts = tally.counts()
        chosen = counts >= least
        ids, counts = ids[chosen][:most], counts[chosen][:most]
        order = np.argsort(ids, kind="stable")
        return cls(ids, counts, tally.total, ids[order], order)

    def places(self, tokens: Ids) -> NDArray[np.int64]:
        """The place of each token, −1 for others."""
        if not len(self.ids):
            return np.full(len(tokens), -1)
        at = np.minimum(np.searchsorted(self._sorted, tokens), len(self._sorted) - 1)
        return np.where(self._sorted[at] == tokens, self._order[at], -1)

    def sequence(self, piece: bytes, rng: np.random.Generator) -> NDArray[np.int64]:
        """The known tokens of a piece in their order, frequent ones passed over at times."""
        places = self.places(symbols(piece).tokens)
        places = places[places >= 0]
        share = self.counts[places] / self.total
        kept = rng.random(len(places)) < np.sqrt(SUBSAMPLED / share) + SUBSAMPLED / share
        return places[kept]


def tokens_of(piece: bytes) -> Ids:
    """The tokens of a piece that are counted: words and their parts."""
    found = symbols(piece).tokens
    out: Ids = found[_MARKS[np.minimum(np.searchsorted(_MARKS, found), len(_MARKS) - 1)] != found]
    return out
