"""A socket as py-libp2p's layers want it: whole reads, a cap on what they may ask for, one way to end it."""

from contextlib import suppress
from typing import Final

import trio
from libp2p.io.exceptions import ConnectionClosedError

from soma_core.api import Share

PIECE: Final = 1 << 17
"""Bytes asked of the system at a time: Noise reads two bytes, then a record, and would ask for exactly those."""
MOST: Final = 1 << 16
"""No Noise record and no honest negotiation line is longer. Negotiation takes any length a stranger writes."""


class Wire:
    """What Noise reads from and writes to. Reading is buffered; a read gives exactly what was asked for, or raises.

    What is held for this peer, here and in the layers above, is counted in `share`.
    """

    def __init__(self, stream: trio.SocketStream, share: Share, *, is_initiator: bool) -> None:
        self.is_initiator = is_initiator
        self.share = share
        self._stream = stream
        self._buffer = bytearray()

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes, at most `MOST`. Raises `ConnectionClosedError` at the end."""
        if n is None or n > MOST:
            raise ConnectionClosedError(f"{n} bytes were announced; {MOST} is the most")
        buffer = self._buffer
        while len(buffer) < n:
            try:
                piece = await self._stream.receive_some(PIECE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("the socket is closed") from error
            if not piece:
                raise ConnectionClosedError("the other end closed the socket")
            self.share.add(len(piece))
            buffer += piece
        data = bytes(memoryview(buffer)[:n])
        del buffer[:n]
        self.share.add(-n)
        return data

    async def write(self, data: bytes) -> None:
        """All of `data`. Raises `ConnectionClosedError`."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("the socket is closed") from error

    async def close(self) -> None:
        """As `cut`."""
        self.cut()

    def cut(self) -> None:
        """Close the socket, now: a frozen peer cannot delay it, and whoever reads or writes is woken."""
        with suppress(OSError):
            self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """Nobody asks."""
        return None
