"""Many items in few calls of a model: every chunk once, and chunks of like length together. Rules M37 to M39.

What an engine computes of a chunk depends on nothing else, so it may be computed in any order and any company.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.api import Evaluation

from ._contract import FIRST_BYTE_BITS, MAX_LOSS, chunks

CPU_TOKENS: Final = 512
"""Positions computed at once, if nobody says how many: what passes between layers stays in the cache of a core."""
GPU_TOKENS: Final = 16_384
"""As many as keep a GPU busy."""


@frozen(eq=False)
class Work:
    """`pieces`: the chunks to compute, each once. `counts`: per item, how often each stands in it, by number.

    `sizes`: per item, its bytes that are encoded.
    """

    pieces: tuple[bytes, ...]
    counts: tuple[dict[int, int], ...]
    sizes: tuple[int, ...]

    def join(self, sums: NDArray[np.float64], nats: NDArray[np.float64]) -> Evaluation:
        """Vectors and losses of the items, from those of the pieces: sums of vectors [P, dim], and nats [P]."""
        bits = nats / np.log(2) + FIRST_BYTE_BITS
        vectors = np.empty((len(self.sizes), sums.shape[1]), np.float32)
        losses = np.empty(len(self.sizes))
        for place, (counts, size) in enumerate(zip(self.counts, self.sizes, strict=True)):
            numbers, times = np.array(list(counts)), np.array(list(counts.values()), np.float64)
            vectors[place] = times @ sums[numbers] / size
            losses[place] = min(times @ bits[numbers] / size, MAX_LOSS)
        return Evaluation(vectors, losses)

    def shares(self) -> NDArray[np.float64]:
        """By what the nats of each piece [P] count in the sum of the items' bits per byte."""
        out = np.zeros(len(self.pieces))
        for counts, size in zip(self.counts, self.sizes, strict=True):
            for number, times in counts.items():
                out[number] += times / size / np.log(2)
        return out


def cut(batch: Sequence[bytes], seq: int) -> Work:
    """The work that `batch` is. Raises `ValueError` that names the position of an empty or too large item."""
    numbers: dict[bytes, int] = {}
    counts, sizes = [], []
    for place, data in enumerate(batch):
        try:
            pieces = chunks(data, seq)
        except ValueError as error:
            raise ValueError(f"item {place}: {error}") from error
        own: dict[int, int] = {}
        for piece in pieces:
            number = numbers.setdefault(piece, len(numbers))
            own[number] = own.get(number, 0) + 1
        counts.append(own)
        sizes.append(sum(map(len, pieces)))
    return Work(tuple(numbers), tuple(counts), tuple(sizes))


def token_budget(asked: int, *, gpu: bool) -> int:
    """Positions computed at once: as many as the operator asked for, or, of 0, as many as are best there."""
    return asked or (GPU_TOKENS if gpu else CPU_TOKENS)


def groups(pieces: Sequence[bytes], tokens: int) -> Iterator[list[int]]:
    """The numbers of the pieces that are computed together, the longest first.

    As many as give at most `tokens` positions when all are as long as the longest of them, and at least one.
    """
    order = sorted(range(len(pieces)), key=lambda number: -len(pieces[number]))
    start = 0
    while start < len(order):
        count = max(1, tokens // len(pieces[order[start]]))
        yield order[start : start + count]
        start += count
