"""The older methods, over the tokens of a stream: runs, patterns, frequencies. Rules CZ9 to CZ15."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ._grammar import Grammar, infer
from ._numbers import read_numbers, write_numbers
from ._reader import Reader
from ._slots import Integers
from ._vocabulary import read_tokens, split, write_tokens

Cut = Callable[[bytes], Integers]
"""Block → where its tokens begin, and its end: int64 [n + 1]."""


class Form(Protocol):
    """How a sequence of places is written down."""

    def write(self, places: Integers, count: int, /) -> bytes:
        """`places` [n], each below `count`."""
        ...

    def read(self, reader: Reader, count: int, lengths: list[int], size: int) -> list[int]:
        """The places again; tokens have `lengths`, the block `size` bytes. Raises `ValueError` beyond that."""
        ...


class Tokenwise:
    """A stream's tokens, each kept once, and the places of all in turn, in some `form`.

    Only packing asks how a block is cut: a packed block holds its tokens.
    """

    def __init__(self, form: Form, cut: Cut) -> None:
        self._form, self._cut = form, cut

    def pack(self, block: bytes, /) -> bytes:
        text = split(block, self._cut(block))
        return write_tokens(text.tokens) + self._form.write(text.places, len(text.tokens))

    def unpack(self, payload: bytes, size: int, /) -> bytes:
        reader = Reader(payload)
        tokens = read_tokens(reader, size)
        places = self._form.read(reader, len(tokens), [len(token) for token in tokens], size)
        reader.end()
        return b"".join([tokens[place] for place in places])


def _fits(places: list[int], lengths: list[int], size: int) -> list[int]:
    if sum(lengths[place] for place in places) != size:
        raise ValueError(f"packed bytes: tokens that do not fill a block of {size} bytes")
    return places


class Frequency:
    """Places as they are: frequent tokens have low ones, which take few bits."""

    def write(self, places: Integers, _count: int, /) -> bytes:
        return write_numbers(places)

    def read(self, reader: Reader, count: int, lengths: list[int], size: int) -> list[int]:
        return _fits(read_numbers(reader, size, count), lengths, size)


class Runs:
    """Of equal tokens in a row the place, and how many more there are."""

    def write(self, places: Integers, _count: int, /) -> bytes:
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        return write_numbers(places[starts]) + write_numbers(np.diff(starts, append=len(places)) - 1)

    def read(self, reader: Reader, count: int, lengths: list[int], size: int) -> list[int]:
        places, more = read_numbers(reader, size, count), read_numbers(reader, size, size)
        if len(places) != len(more):
            raise ValueError("packed bytes: runs without lengths")
        if sum((n + 1) * lengths[place] for place, n in zip(places, more, strict=True)) != size:
            raise ValueError(f"packed bytes: runs that do not fill a block of {size} bytes")
        return np.repeat(places, np.array(more) + 1).tolist()


class Patterns:
    """A grammar that makes the places, whose every rule joins two symbols."""

    def write(self, places: Integers, count: int, /) -> bytes:
        grammar = infer(places, count)
        return write_numbers(grammar.left) + write_numbers(grammar.right) + write_numbers(grammar.axiom)

    def read(self, reader: Reader, count: int, lengths: list[int], size: int) -> list[int]:
        left = read_numbers(reader, size, count + size)
        right = read_numbers(reader, size, count + size)
        axiom = read_numbers(reader, size, count + len(left))
        return Grammar(count, np.array(left), np.array(right), np.array(axiom)).expand(lengths, size)
