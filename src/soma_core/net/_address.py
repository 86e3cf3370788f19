"""Where a peer is dialled: its key and a transport's address, written ``HEXKEY@ADDRESS``."""

import re
from typing import Final

from attrs import frozen

from soma_core.api import PeerId
from soma_core.errors import DecodeError

MAX_ADDRESS: Final = 256
"""Characters of a transport's address."""
_FORM: Final = re.compile(r"([0-9a-f]{64})@([\x21-\x7e]+)")


@frozen
class Address:
    """A peer and one place where it listens. What the place means, the transport knows."""

    peer: PeerId
    address: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address written as `text`, such as ``<64 hex digits>@/ip4/127.0.0.1/tcp/4001``. Raises `DecodeError`."""
        match = _FORM.fullmatch(text)
        if match is None or len(match[2]) > MAX_ADDRESS:
            raise DecodeError(
                f"{text[:100]!r} is no peer address",
                "write the peer's key (64 lowercase hex digits), an @ and its address, as `soma keys` and `soma status`"
                " print them",
            )
        return cls(PeerId(bytes.fromhex(match[1])), match[2])

    def __str__(self) -> str:
        return f"{self.peer.hex()}@{self.address}"
