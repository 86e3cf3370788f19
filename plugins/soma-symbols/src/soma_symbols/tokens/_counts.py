"""A unigram vocabulary: the parts of a word whose costs, learned from counts, add up to least."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._distinct import Words
from ._pairs import TOGETHER

WIDEST: Final = 8
"""Bytes of a piece, at most."""
_FAR: Final = np.int64(1 << 60)
_SIZES: Final = (8, 16, TOGETHER)


class CountEncoder:
    """Least cost over a vocabulary. `pieces`: 1 to 8 bytes each, every byte among them, all different.

    `costs`: int64 [n], above 0. Of two ways that cost the same, the one whose last parts are longer is taken.
    """

    def __init__(self, pieces: list[bytes], costs: NDArray[np.int64]) -> None:
        if len(set(pieces)) != len(pieces) or not {bytes([value]) for value in range(256)} <= set(pieces):
            raise ValueError("a vocabulary has each piece once, and every byte")
        if len(costs) != len(pieces) or int(costs.min()) <= 0 or max(map(len, pieces)) > WIDEST:
            raise ValueError(f"a piece has 1 to {WIDEST} bytes and a cost above 0")
        nodes: dict[bytes, int] = {b"": 0}
        for piece in pieces:
            for width in range(1, len(piece) + 1):
                nodes.setdefault(piece[:width], len(nodes))
        # Node 0 is the root, which nothing leads to: a step that there is not leads to the last node, and stays there.
        nowhere = len(nodes)
        self._next = np.full((nowhere + 1, 256), nowhere, np.int32)
        self._cost = np.full(nowhere + 1, _FAR, np.int64)
        for text, node in nodes.items():
            if text:
                self._next[nodes[text[:-1]], text[-1]] = node
        for piece, cost in zip(pieces, costs.tolist(), strict=True):
            self._cost[nodes[piece]] = cost

    def encode(self, words: list[bytes]) -> Words:
        """Where the parts of each word begin, a bit a byte; uint64 [n, 1]. A word has 1 to 64 bytes."""
        widths = np.array([len(word) for word in words])
        masks = np.empty((len(words), 1), np.uint64)
        least = 0
        for size in _SIZES:
            chosen = np.flatnonzero((widths > least) & (widths <= size))
            if len(chosen):
                rows = b"".join([words[place].ljust(size, b"\0") for place in chosen.tolist()])
                masks[chosen, 0] = self._part(np.frombuffer(rows, np.uint8).reshape(-1, size), widths[chosen])
            least = size
        return masks

    def _part(self, letters: NDArray[np.uint8], widths: NDArray[np.int64]) -> Words:
        count, size = letters.shape
        columns = np.ascontiguousarray(letters.T)
        costs = np.full((size + 1, count), _FAR, np.int64)
        costs[0] = 0
        last = np.zeros((size + 1, count), np.int64)  # bytes of the last part of the best way to each place
        for begin in range(size):
            nodes = np.zeros(count, np.int32)
            for width in range(1, min(WIDEST, size - begin) + 1):
                nodes = self._next[nodes, columns[begin + width - 1]]
                cost = costs[begin] + self._cost[nodes]
                better = cost < costs[begin + width]
                costs[begin + width][better] = cost[better]
                last[begin + width][better] = width
        masks = np.zeros(count, np.uint64)
        rows = np.arange(count)
        places = widths.copy()
        while len(rows):
            places -= last[places, rows]
            masks[rows] |= np.uint64(1) << places.astype(np.uint64)
            live = places > 0
            rows, places = rows[live], places[live]
        return masks
