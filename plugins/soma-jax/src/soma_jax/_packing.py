"""Chunks end to end in rows of one length: rule M39 of ``specs/20-model.md``.

JAX compiles for every shape it is given, for a second and more. So there is one shape, of which chunks of any length
leave little empty, instead of a shape for each length, filled up with padding.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.model import PAD

SHORTEST: Final = 8
"""A row is made for chunks of so many bytes on average, at least: it holds seq / SHORTEST of them, and at least one."""


@frozen(eq=False)
class Slab:
    """Rows that are computed at once, all int32 [R, T]. What is empty belongs to chunk `places`.

    `ids`, `targets`: as the contract has them, without EOS, which nothing depends on. `positions`: from the start of
    each chunk. `chunk`: which of its row's chunks a position belongs to. `rows`: the numbers of the chunks of each row
    that is not empty, in the order in which they lie.
    """

    ids: NDArray[np.int32]
    targets: NDArray[np.int32]
    positions: NDArray[np.int32]
    chunk: NDArray[np.int32]
    rows: list[list[int]]


def places(seq: int) -> int:
    """How many chunks a row holds at most."""
    return max(1, seq // SHORTEST)


def slabs(pieces: Sequence[bytes], seq: int, count: int) -> Iterator[Slab]:
    """All `pieces`, each 1 to `seq` bytes long, in slabs of `count` rows of `seq`."""
    rows = fitted([len(piece) for piece in pieces], seq)
    for start in range(0, len(rows), count):
        yield _slab(pieces, rows[start : start + count], seq, count)


def fitted(lengths: Sequence[int], seq: int) -> list[list[int]]:
    """The numbers of the pieces of each row: the longest first, each where it leaves least room."""
    most = places(seq)
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (positions left, row), the fullest first
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        place = bisect_left(room, (lengths[number], 0))
        left, row = room.pop(place) if place < len(room) else (seq, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(number)
        if left > lengths[number] and len(rows[row]) < most:
            insort(room, (left - lengths[number], row))
    return rows


def _slab(pieces: Sequence[bytes], rows: list[list[int]], seq: int, count: int) -> Slab:
    ids, targets = np.full((2, count, seq), PAD, np.int32)
    positions, chunk = np.zeros((count, seq), np.int32), np.full((count, seq), places(seq), np.int32)
    for row, numbers in enumerate(rows):
        start = 0
        for place, number in enumerate(numbers):
            stop = start + len(pieces[number])
            ids[row, start:stop] = np.frombuffer(pieces[number], np.uint8)
            targets[row, start : stop - 1] = ids[row, start + 1 : stop]
            positions[row, start:stop] = np.arange(stop - start)
            chunk[row, start:stop] = place
            start = stop
    return Slab(ids, targets, positions, chunk, rows)
