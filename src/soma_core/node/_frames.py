"""Frames between the node and its children: 4 bytes of length, big endian, then that many bytes of strict CBOR.

The length is checked before a buffer grows. Children import this module, so it knows neither trio nor numpy.
"""

import os
from typing import TYPE_CHECKING, Final

from soma_core.codec import Value, decode, encode
from soma_core.errors import DecodeError

if TYPE_CHECKING:
    import trio

FRAME_MAX: Final = 1 << 16
"""Bytes of CBOR in one frame. Bulk (items, vectors) travels raw behind a frame that gives its lengths."""
PREFIX: Final = 4


def frame(value: object) -> bytes:
    """`value` as it travels. Raises `DecodeError` if it has no encoding of at most `FRAME_MAX` bytes."""
    data = encode(value)
    return _length(len(data)).to_bytes(PREFIX, "big") + data


def frame_length(prefix: bytes) -> int:
    """The length that the 4 bytes `prefix` announce. Raises `DecodeError` if no frame has it."""
    return _length(int.from_bytes(prefix, "big"))


class Splitter:
    """Cuts a stream of bytes into the values of its frames; keeps at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Value]:
        """The values of the frames that `data` completes. Raises `DecodeError`: after it the stream is lost."""
        rest, values = self._rest, []
        rest += data
        start = 0
        while len(rest) - start >= PREFIX:
            end = start + PREFIX + frame_length(bytes(rest[start : start + PREFIX]))
            if len(rest) < end:
                break
            values.append(decode(bytes(rest[start + PREFIX : end]), max_size=FRAME_MAX))
            start = end
        del rest[:start]
        return values


class FrameReader:
    """Frames, and the raw bytes behind them, from a trio stream. One task reads."""

    def __init__(self, stream: "trio.abc.ReceiveStream") -> None:
        self._stream = stream
        self._rest = bytearray()

    async def value(self) -> Value:
        """The next frame's value. Raises `EOFError` at the end of the stream, `DecodeError` for what is no frame."""
        return decode(await self.raw(frame_length(await self.raw(PREFIX))), max_size=FRAME_MAX)

    async def raw(self, size: int) -> bytes:
        """The next `size` bytes, which the caller has bounded. Raises `EOFError` if the stream ends before."""
        rest = self._rest
        while len(rest) < size:
            data = await self._stream.receive_some()
            if not data:
                raise EOFError
            rest += data
        taken = bytes(rest[:size])
        del rest[:size]
        return taken


def write_all(descriptor: int, data: "bytes | memoryview") -> None:
    """Write all of `data`, blocking. Raises `OSError` when nobody reads any more."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _length(length: int) -> int:
    if not 0 < length <= FRAME_MAX:
        raise DecodeError(f"a frame of {length} bytes, not 1 to {FRAME_MAX}", "speak the frames of specs/05")
    return length
