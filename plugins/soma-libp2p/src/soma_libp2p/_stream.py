"""One yamux stream: negotiated, read in large pieces, written as far as the peer's window goes."""

from collections.abc import Mapping
from typing import Final

from libp2p.io.exceptions import ConnectionClosedError
from libp2p.protocol_muxer.multiselect import Multiselect
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

from soma_core.api import CHANNELS, Channel

from ._upgrade import LINE
from ._yamux import BODY, GuardedStream

PIECE: Final = 1 << 18
"""Bytes read at a time: every read costs a window update."""

PROTOCOLS: Final[Mapping[Channel, str]] = {channel: f"/soma/{channel}/1" for channel in CHANNELS}
_CHANNELS: Final[Mapping[str, Channel]] = {protocol: channel for channel, protocol in PROTOCOLS.items()}


class Stream:
    """One task reads, one task writes.

    Either is cancelled only when the connection is dropped: a write or a read that is cut short leaves half a frame on
    the wire, after which nothing can be decrypted.
    """

    def __init__(self, raw: GuardedStream) -> None:
        self._raw = raw
        self._buffer = bytearray()

    async def propose(self, channel: Channel) -> None:
        """Ask for the protocol of `channel`. Raises if the other end does not speak it."""
        await MultiselectClient().select_one_of([PROTOCOLS[channel]], MultiselectCommunicator(self))

    async def answer(self) -> Channel:
        """Which channel the other end asks for; anything else is answered with a refusal until it gives up."""
        protocol, _ = await Multiselect(dict.fromkeys(_CHANNELS)).negotiate(MultiselectCommunicator(self))
        return _CHANNELS[str(protocol)]

    async def refuse(self) -> None:
        """Answer whatever is asked for with a refusal until the other end gives up."""
        await Multiselect({"": None}).negotiate(MultiselectCommunicator(self))

    async def read(self, n: int | None = None) -> bytes:
        """Exactly `n` bytes, at most `LINE`: for negotiation and hello."""
        if n is None or n > LINE:
            raise ConnectionClosedError(f"{n} bytes were announced; {LINE} is the most")
        while len(self._buffer) < n:
            self._buffer += await self._raw.read(LINE)
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def read_some(self) -> bytes:
        """What there is, at most `PIECE` bytes; at least one."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            return data
        piece: bytes = await self._raw.read(PIECE)
        return piece

    async def write(self, data: bytes) -> None:
        """All of `data`, waiting as long as the peer's window is closed (py-libp2p gives up after five seconds)."""
        rest = memoryview(data)
        while rest:
            while self._raw.send_window <= 0:
                await self._raw.window_grew.wait()
            part = bytes(rest[: min(self._raw.send_window, BODY)])  # what is on its way exists twice: little of it
            await self._raw.write(part)
            rest = rest[len(part) :]

    async def reset(self) -> None:
        """Tell the peer that this stream is over."""
        await self._raw.reset()
