"""Documents cut block by block: what is held is bounded, and where the pieces of a document end changes nothing.

A block begins where a token begins, and a token needs nothing that stands before it. Blocks are as long as they are
whatever the pieces were.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ._breaks import HOLD, Classes, Mask, Places

BLOCK: Final = 1 << 16
"""Bytes of a block: few enough for the processor's caches."""
PIECE: Final = 1 << 20
"""A longer piece is taken in so many bytes at a time."""

Points = NDArray[np.uint32]


@frozen(eq=False)
class Block:
    """Bytes from the begin of a token on. `final`: nothing follows them.

    `points`: the code points, uint32 [n], or uint8 [n] where each is a byte. A byte that is no UTF-8 is a code point
    of its own, 0xDC00 and its value. `at`: where in `data` each begins, and the end, int64 [n + 1]; None where point i
    is byte i.
    """

    data: bytes
    points: "Points | Classes"
    at: Places | None
    final: bool

    def offsets(self, places: Places) -> Places:
        """The bytes at which the code points of `places` begin."""
        return places if self.at is None else self.at[places]

    def place(self, offset: int) -> int:
        """The last code point that begins at byte `offset` or before."""
        return offset if self.at is None else int(np.searchsorted(self.at, offset, "right")) - 1


def read_text(data: bytes, final: bool) -> Block:  # noqa: FBT001  # as the field
    """`data` as code points, without the begin of one at the end if it may go on."""
    if data.isascii():
        return Block(data, np.frombuffer(data, np.uint8), None, final)
    if not final:
        data = data[: len(data) - _unfinished(data)]
    text = data.decode("utf-8", "surrogateescape")
    points = np.array([text]).view(np.uint32) if text else np.empty(0, np.uint32)
    widths = (points >= 0x80).view(np.uint8) + (points >= 0x800) + (points >= 0x10000)
    widths[(points >= 0xDC80) & (points < 0xDD00)] = 0
    at = np.zeros(len(points) + 1, np.int64)
    np.cumsum(widths, out=at[1:])
    at += np.arange(len(at))
    return Block(data, points, at, final)


def read_bytes(data: bytes, final: bool) -> Block:  # noqa: FBT001  # as the field
    """`data` with a code point for each byte."""
    return Block(data, np.frombuffer(data, np.uint8), None, final)


def _unfinished(data: bytes) -> int:
    """How many bytes at the end may be the begin of a code point."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            width = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return back if back < width else 0
        if byte < 0x80:
            break
    return 0


@frozen
class Cutter:
    """One way to cut. `names`: of the kinds of token. `longest`: bytes of a token, at most.

    `starts`: where tokens begin in a block, bool [n]; the first is true, and what stands `HOLD` code points on changes
    none. `kinds`: of the tokens that begin at places, uint8. `parts`: cuts tokens whose ends are known further: from
    their bounds in code points, int64 [m + 1], and their kinds, to bounds in bytes and kinds.
    """

    names: tuple[str, ...]
    starts: Callable[[Block], Mask]
    kinds: Callable[[Block, Places], Classes]
    longest: int
    parts: Callable[[Block, Places, Classes], tuple[Places, Classes]] | None = None
    read: Callable[[bytes, bool], Block] = read_text


@frozen(eq=False)
class Cut:
    """Tokens of a block that begins at byte `begun` of the document; `bounds` count from there, int64 [n + 1]."""

    data: bytes
    begun: int
    bounds: Places
    kinds: Classes


def cut(cutter: Cutter, pieces: Iterable[bytes], size: int = BLOCK) -> Iterator[Cut]:
    """A document's tokens, some at a time and never none. `size`: bytes of a block, which changes no token."""
    held = bytearray()
    taken = _parts(pieces)
    begun, wanted, ended = 0, size, False
    while True:
        while len(held) < wanted and not ended:
            piece = next(taken, None)
            if piece is None:
                ended = True
            else:
                held += piece
        if not held:
            return
        block = cutter.read(bytes(held[:wanted]), ended and len(held) <= wanted)
        bounds, was_long = _bounds(cutter, block)
        if len(bounds) < 2:
            wanted *= 2
            continue
        kinds = cutter.kinds(block, bounds[:-1])
        if cutter.parts is None:
            bounds = block.offsets(bounds)
        else:
            bounds, kinds = cutter.parts(block, bounds, kinds)
        yield Cut(block.data, begun, bounds, kinds)
        end = int(bounds[-1])
        del held[:end]
        begun += end
        # After a token that was too long, the rest of it is likely to be so too, and a whole block would be in vain.
        wanted = min(size, 2 * cutter.longest + 4 * HOLD) if was_long else size


def _parts(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for first in range(0, len(view), PIECE):
            yield view[first : first + PIECE]


def _bounds(cutter: Cutter, block: Block) -> tuple[Places, bool]:
    """Code points at which the tokens begin that are decided, and where the last ends; whether that was too long."""
    places = np.flatnonzero(cutter.starts(block))
    known = len(block.points)
    if block.final:
        places = np.append(places, known)
    else:
        known -= HOLD
        places = places[: np.searchsorted(places, known, "right")]
    if not len(places):
        return places, False
    ends = block.offsets(np.append(places[1:], max(known, int(places[-1]))))
    begins = block.offsets(places)
    too_long = np.flatnonzero(ends - begins > cutter.longest)
    if not len(too_long):
        return places, False
    first = int(too_long[0])
    end = block.place(int(begins[first]) + cutter.longest)
    return np.append(places[: first + 1], end), True
