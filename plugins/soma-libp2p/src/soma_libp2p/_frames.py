"""Messages in a byte stream: four bytes of length, big-endian, then the message."""

from collections.abc import Iterator
from typing import Final

from soma_core.api import MAX_MESSAGE

HEADER: Final = 4


class FrameError(Exception):
    """A peer announced a message that is too long. Nothing was allocated for it; the connection ends."""


def frame(message: bytes) -> bytes:
    """`message` behind its length."""
    return len(message).to_bytes(HEADER, "big") + message


class Frames:
    """Cuts what arrives into messages. Holds less than one message and one piece at a time."""

    def __init__(self, most: int = MAX_MESSAGE) -> None:
        self._most = most
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes. Raises `FrameError` as soon as a length above `most` is seen."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= HEADER:
            size = int.from_bytes(buffer[:HEADER], "big")
            if size > self._most:
                raise FrameError(f"a frame of {size} bytes; {self._most} is the most")
            end = HEADER + size
            if len(buffer) < end:
                break
            message = bytes(memoryview(buffer)[HEADER:end])
            del buffer[:end]  # at the front, which moves nothing; before the message is given, which may take time
            yield message
