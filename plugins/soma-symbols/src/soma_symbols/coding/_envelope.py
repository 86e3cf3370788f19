"""What a packed block begins with: that nothing changed, how it was packed, what it must become. Rules CZ5 to CZ8."""

import hashlib
from typing import Final

from attrs import frozen

from soma_core.api import MAX_BLOCK

from ._reader import Reader, varint

_CHECK: Final = 4
_DIGEST: Final = 8
_PERSON: Final = b"soma/packed"


@frozen
class Envelope:
    """A packed block, opened. `size` and `digest` are those of the block, `payload` what its method wrote."""

    method: int
    size: int
    digest: bytes
    payload: bytes


def seal(method: int, block: bytes, payload: bytes) -> bytes:
    """`payload`, which `method` made of `block`, in an envelope of at most 17 bytes."""
    body = bytes([method]) + varint(len(block)) + _digest(block, _DIGEST) + payload
    return _digest(body, _CHECK) + body


def unseal(packed: bytes) -> Envelope:
    """The envelope of `packed`. Raises `ValueError` if it is none, changed or cut short, or of too large a block."""
    reader = Reader(packed)
    check = reader.take(_CHECK)
    if _digest(packed[_CHECK:], _CHECK) != check:
        raise ValueError("packed bytes: changed or cut short: their check does not hold")
    return Envelope(reader.byte(), reader.varint(MAX_BLOCK), reader.take(_DIGEST), reader.rest())


def confirm(envelope: Envelope, block: bytes) -> bytes:
    """`block`, if it is the one that was packed. Raises `ValueError`."""
    if len(block) != envelope.size or _digest(block, _DIGEST) != envelope.digest:
        raise ValueError("packed bytes: they unpack to something else than was packed")
    return block


def _digest(data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size, person=_PERSON).digest()
