"""Blocks as numbers of distinct tokens, and the tokens themselves. Rules CZ12 and CZ13."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from attrs import frozen

from ._numbers import read_numbers, write_numbers
from ._reader import Reader
from ._slots import Integers


@frozen(eq=False)
class Text:
    """Distinct `tokens`, the most frequent first, of equally frequent the one that came first.

    `places` [n]: each token of the text in turn, as its place among them.
    """

    tokens: list[bytes]
    places: Integers


def split(block: bytes, bounds: Integers) -> Text:
    """`block` in tokens that begin at `bounds` [n + 1], the last of which is the block's end."""
    ends = bounds.tolist()
    seen: dict[bytes, int] = {}
    numbers = np.array([seen.setdefault(block[a:b], len(seen)) for a, b in pairwise(ends)], np.int64)
    order = np.argsort(-np.bincount(numbers, minlength=len(seen)), kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    tokens = list(seen)
    return Text([tokens[place] for place in order.tolist()], ranks[numbers])


def write_tokens(tokens: Sequence[bytes]) -> bytes:
    """Lengths, then the bytes that occur, the most frequent first, then all bytes as places among these."""
    data = np.frombuffer(b"".join(tokens), np.uint8)
    counts = np.bincount(data, minlength=256)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    ranks = np.zeros(256, np.int64)
    ranks[order] = np.arange(len(order))
    lengths = np.array([len(token) - 1 for token in tokens], np.int64)
    return b"".join(
        (write_numbers(lengths), bytes([len(order) - 1]), order.astype(np.uint8).tobytes(), write_numbers(ranks[data]))
    )


def read_tokens(reader: Reader, size: int) -> list[bytes]:
    """Distinct tokens of a block of `size` bytes, none empty, together no longer than it. Raises `ValueError`."""
    lengths = [length + 1 for length in read_numbers(reader, size, size)]
    alphabet = reader.take(reader.byte() + 1)
    data = bytes([alphabet[place] for place in read_numbers(reader, size, len(alphabet))])
    if not lengths or sum(lengths) != len(data):
        raise ValueError("packed bytes: tokens that do not fill what they are cut from")
    ends = np.cumsum(lengths).tolist()
    return [data[end - length : end] for length, end in zip(lengths, ends, strict=True)]
