"""Under which keys an engine keeps what. What lies below 0x80 comes back at the start. Rule D56."""

from typing import Final

from ._dag import Ref

TIP: Final = b"\x01"
"""Where the order stands."""
DRAFT: Final = b"\x02"
"""Our latest block as it was before it was signed."""
GROUND: Final = b"\x03"
"""Where we began anew: the round of genesis blocks, and the first commit."""


def block_key(ref: Ref) -> bytes:
    """Of a block: in order of rounds."""
    round_, author, name = ref
    return from_round(round_) + author.to_bytes(2, "big") + name


def from_round(round_: int) -> bytes:
    """The first key of a round's blocks."""
    return b"\x80" + round_.to_bytes(4, "big")


BLOCKS_END: Final = b"\x81"


def record_key(index: int) -> bytes:
    """Of a commit record."""
    return b"\x81" + index.to_bytes(8, "big")


def proof_key(index: int) -> bytes:
    """Of the blocks, without payload, that vote for a commit."""
    return b"\x82" + index.to_bytes(8, "big")
