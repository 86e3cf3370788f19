"""Coders: bytes made shorter without loss. Pure: no I/O once it is open, no state between calls."""

from typing import Final, Protocol

MAX_BLOCK: Final = 1 << 24
"""Bytes of a block, at most: who codes more cuts it."""
LONGER: Final = 64
"""Bytes by which a packed block may be longer than the block."""


class Coder(Protocol):
    """What one version packs on one machine, every machine unpacks, or says in one line why not."""

    def compress(self, block: bytes, /) -> bytes:
        """`block`, at most `MAX_BLOCK` bytes, packed; at most `LONGER` bytes longer than it, whatever it is."""
        ...

    def decompress(self, packed: bytes, /) -> bytes:
        """The block again, at most `MAX_BLOCK` bytes, bit for bit.

        Raises `ValueError`, and nothing else, for anything that `compress` did not make, cut short or changed.
        """
        ...
