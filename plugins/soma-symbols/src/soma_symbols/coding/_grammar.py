"""A grammar that makes one sequence: the most frequent pairs become symbols, again and again. Rules CZ14 and CZ15."""

from typing import Final

import numpy as np
from attrs import frozen

from ._slots import Integers

LEAST: Final = 3
"""Occurrences that a pair must have: with two, its rule would be as long as what it saves."""


@frozen(eq=False)
class Grammar:
    """Symbols below `terminals` stand for themselves, `terminals` + i for `left[i]` and then `right[i]`, both lower.

    `axiom`: the symbols of the whole sequence.
    """

    terminals: int
    left: Integers
    right: Integers
    axiom: Integers

    def expand(self, lengths: list[int], size: int) -> list[int]:
        """The sequence, whose terminals have `lengths` that add up to `size`.

        Raises `ValueError` if they do not, or if a rule comes before what it is made of; both before anything grows.
        """
        if len(self.left) != len(self.right):
            raise ValueError("packed bytes: half a rule")
        rules = list(zip(self.left.tolist(), self.right.tolist(), strict=True))
        sizes = list(lengths)
        for first, second in rules:
            if first >= len(sizes) or second >= len(sizes) or sizes[first] + sizes[second] > size:
                raise ValueError("packed bytes: a rule of rules that come later, or of too much")
            sizes.append(sizes[first] + sizes[second])
        waiting = self.axiom.tolist()
        if sum(sizes[symbol] for symbol in waiting) != size:
            raise ValueError(f"packed bytes: a grammar that does not make {size} bytes")
        made: list[int] = []
        waiting.reverse()
        while waiting:
            symbol = waiting.pop()
            if symbol < self.terminals:
                made.append(symbol)
            else:
                first, second = rules[symbol - self.terminals]
                waiting += (second, first)
        return made


def infer(sequence: Integers, terminals: int) -> Grammar:
    """A grammar of `sequence` [n], of symbols below `terminals`.

    Pairs are replaced in rounds: all that occur more than half as often as the most frequent. Where two of them
    overlap, the more frequent is replaced; of equally frequent ones that with the lower symbols; in a run of one
    symbol every other pair.
    """
    axiom, count = sequence, terminals
    left: list[Integers] = []
    right: list[Integers] = []
    while len(axiom) > 1:
        codes, inverse, counts = np.unique(axiom[:-1] * count + axiom[1:], return_inverse=True, return_counts=True)
        most = int(counts.max())
        if most < LEAST:
            break
        ranks = np.empty_like(counts)
        ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        wanted = counts > max(most // 2, LEAST - 1)
        places = np.flatnonzero(_kept(np.where(wanted[inverse], ranks[inverse], len(codes))) & wanted[inverse])
        taken = np.bincount(inverse[places], minlength=len(codes))
        chosen = np.flatnonzero(taken >= LEAST)
        if not len(chosen):
            break
        chosen = chosen[np.argsort(ranks[chosen])]
        symbols = np.full(len(codes), -1, np.int64)
        symbols[chosen] = count + np.arange(len(chosen))
        places = places[symbols[inverse[places]] >= 0]
        left.append(codes[chosen] // count)
        right.append(codes[chosen] % count)
        axiom = axiom.copy()
        axiom[places] = symbols[inverse[places]]
        axiom = np.delete(axiom, places + 1)
        count += len(chosen)
    empty = np.zeros(0, np.int64)
    return Grammar(terminals, np.concatenate((empty, *left)), np.concatenate((empty, *right)), axiom)


def _kept(ranks: Integers) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Of pairs that begin at every place, those that no better one overlaps; every other one of equal neighbours."""
    before = np.concatenate(([len(ranks) + 1], ranks[:-1]))
    after = np.concatenate((ranks[1:], [len(ranks) + 1]))
    start = np.maximum.accumulate(np.where(before != ranks, np.arange(len(ranks)), 0))
    even = (np.arange(len(ranks)) - start) % 2 == 0
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]] = (ranks <= before) & (ranks <= after) & even
    return kept
