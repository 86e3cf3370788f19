"""Packed files: blocks behind one another, each checked, with a mark at the end. Rules CZ41 to CZ46."""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from soma_core.api import LONGER, MAX_BLOCK, Coder
from soma_core.crypto import DIGEST_SIZE, digest
from soma_core.errors import DecodeError

MAGIC: Final = b"SOMA-Z1\n"
MAX_NAME: Final = 64

_BLOCK: Final = b"B"
_END: Final = b"E"

Read = Callable[[int], bytes]
"""Like ``read`` of a file: at most so many bytes, none at the end, fewer only if there are no more at once."""
Step = Callable[[int, int], None]
"""Called after each block: bytes unpacked and packed so far."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object:
        """All of `data`."""
        ...


def pack(read: Read, sink: Sink, coder: Coder, name: str, size: int, step: Step) -> tuple[int, int]:
    """Pack all that `read` gives, in blocks of `size` bytes, by the plugin called `name`. Returns bytes read, written.

    Raises `ValueError` as the coder does.
    """
    title = name.encode("ascii")
    head = MAGIC + bytes([len(title)]) + title
    sink.write(head)
    total, packed = 0, len(head)
    while block := _exactly(read, size):
        body = coder.compress(block)
        frame = b"".join((_BLOCK, len(body).to_bytes(4, "big"), _digest_of(total, block), body))
        sink.write(frame)
        total += len(block)
        packed += len(frame)
        step(total, packed)
    end = _END + total.to_bytes(8, "big")
    sink.write(end)
    return total, packed + len(end)


def read_name(read: Read) -> str:
    """The name of the plugin that packed. Raises `DecodeError` if this is no packed file."""
    if _exactly(read, len(MAGIC)) != MAGIC:
        raise DecodeError("this is no packed file", "give one that `soma compress` wrote")
    title = _need(read, _need(read, 1)[0])
    if not title.isascii() or not title.decode("ascii").isprintable() or not 0 < len(title) <= MAX_NAME:
        raise DecodeError("this packed file names no plugin", "it was changed: fetch it again")
    return title.decode("ascii")


def unpack(read: Read, coder: Coder) -> Iterator[tuple[bytes, int]]:
    """Each block behind the name, checked, and the bytes its frame takes. Raises `DecodeError` if not all is whole."""
    total = 0
    while (kind := _need(read, 1)) == _BLOCK:
        size = int.from_bytes(_need(read, 4), "big")
        if not 0 < size <= MAX_BLOCK + LONGER:
            raise DecodeError(f"a block of {size} packed bytes; at most {MAX_BLOCK + LONGER}", _AGAIN)
        check = _need(read, DIGEST_SIZE)
        try:
            block = coder.decompress(_need(read, size))
        except ValueError as error:
            raise DecodeError(f"the block at byte {total}: {error}", _AGAIN) from error
        if not block or _digest_of(total, block) != check:
            raise DecodeError(f"the block at byte {total} is not the one that was packed there", _AGAIN)
        total += len(block)
        yield block, 5 + DIGEST_SIZE + size
    if kind != _END or int.from_bytes(_need(read, 8), "big") != total or read(1):
        raise DecodeError(f"behind byte {total} this packed file does not end as it should", _AGAIN)


_AGAIN: Final = "it was changed or cut short, or its model is not here: fetch it again, or name the model"


def _digest_of(place: int, block: bytes) -> bytes:
    return digest("soma/packed", place.to_bytes(8, "big"), block)


def _need(read: Read, size: int) -> bytes:
    data = _exactly(read, size)
    if len(data) < size:
        raise DecodeError("this packed file is cut short", "fetch it again")
    return data


def _exactly(read: Read, size: int) -> bytes:
    """`size` bytes, or all that is left."""
    parts: list[bytes] = []
    while size and (part := read(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
