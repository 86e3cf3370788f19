"""Transports: authenticated connections that carry messages on named channels. Async, on trio.

Queues, heartbeats, requests, reconnecting and newest-wins are not a transport's: `soma_core.net` has them, once.
"""

from collections.abc import Sequence
from typing import Final, Literal, NewType, Protocol

PeerId = NewType("PeerId", bytes)
"""The 32-byte public key that a peer proved to hold."""

Channel = Literal["consensus", "sync", "blobs", "hints"]
CHANNELS: Final[tuple[Channel, ...]] = ("consensus", "sync", "blobs", "hints")
MAX_MESSAGE: Final = 1 << 20
"""Bytes. A longer message is refused before a buffer is made for it."""


class PeerGone(Exception):  # noqa: N818  # a fact about a peer, not a fault of ours
    """The connection is over, or never was. The only exception of `Connection.send`, `receive` and `Transport.dial`."""


class Identity(Protocol):
    """Who this node is. Signing happens in the signer process."""

    peer: PeerId

    async def sign(self, challenge: bytes, /) -> bytes:
        """Sign up to 256 bytes under the domain ``soma/hello``."""
        ...

    def verify(self, peer: PeerId, challenge: bytes, signature: bytes, /) -> bool:
        """Whether `peer` signed `challenge` so."""
        ...


class Connection(Protocol):
    """One peer that has proved its key. One task a channel receives; one task a channel sends.

    What it holds, both ways, is counted in `TransportContext.budget`; when that cuts it, it ends as by `aclose`.
    """

    peer: PeerId

    async def send(self, channel: Channel, messages: Sequence[bytes], /) -> None:
        """Send in order, in one write if possible. Cancelled only together with `aclose`. Raises `PeerGone`."""
        ...

    async def receive(self, channel: Channel, /) -> bytes:
        """The next message, at most `MAX_MESSAGE` bytes. Raises `PeerGone`."""
        ...

    async def aclose(self) -> None:
        """End the connection at once. Never raises."""
        ...


class Transport(Protocol):
    """`addresses` are what peers dial, once the transport is open."""

    addresses: tuple[str, ...]

    async def dial(self, address: str, peer: PeerId, /) -> Connection:
        """A connection to `peer` at `address`. Raises `PeerGone` if nobody or somebody else answers."""
        ...

    async def accept(self) -> Connection:
        """The next connection a peer has opened and proved itself on."""
        ...
