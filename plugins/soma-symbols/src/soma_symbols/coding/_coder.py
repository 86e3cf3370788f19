"""The coder: a method makes a payload, the shorter of payload and block goes into an envelope. Rules CZ1 to CZ4."""

from collections.abc import Mapping
from typing import Final, Protocol

from soma_core.api import MAX_BLOCK

from ._envelope import confirm, seal, unseal

STORED: Final = 0
"""The number of the block itself as payload."""


class Method(Protocol):
    """One way to pack."""

    def pack(self, block: bytes, /) -> bytes:
        """The payload of a block that is not empty."""
        ...

    def unpack(self, payload: bytes, size: int, /) -> bytes:
        """The block of `size` bytes, more than none. Raises `ValueError`, and holds no more than some times `size`."""
        ...


class SymbolsCoder:
    """Packs by the method numbered `chosen` of `methods`, unpacks what any of them packed."""

    def __init__(self, methods: Mapping[int, Method], chosen: int) -> None:
        self._methods, self._chosen = methods, chosen

    def compress(self, block: bytes, /) -> bytes:
        """`block` packed, at most 17 bytes longer. Raises `ValueError` above `MAX_BLOCK` bytes."""
        if len(block) > MAX_BLOCK:
            raise ValueError(f"a block of {len(block)} bytes; at most {MAX_BLOCK}: cut it")
        block = bytes(block)
        if block:
            payload = self._methods[self._chosen].pack(block)
            if len(payload) < len(block):
                return seal(self._chosen, block, payload)
        return seal(STORED, block, block)

    def decompress(self, packed: bytes, /) -> bytes:
        """The block again, whatever method packed it. Raises `ValueError` for anything that is not a packed block."""
        envelope = unseal(bytes(packed))
        if envelope.method == STORED:
            return confirm(envelope, envelope.payload)
        if envelope.method not in self._methods:
            raise ValueError(f"packed bytes: method {envelope.method} is not known here; a newer version may know it")
        if not envelope.size:
            raise ValueError("packed bytes: an empty block is stored, not packed")
        return confirm(envelope, self._methods[envelope.method].unpack(envelope.payload, envelope.size))
