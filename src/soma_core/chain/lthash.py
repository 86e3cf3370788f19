"""The state digest: LtHash over all entries: it costs what changed (rules T5 to T7, ``specs/11-state.md``).

1024 lanes of 16 bits, added modulo 2^16. An entry's lanes are 32 BLAKE2b-512 digests of length-framed key and value,
with ``person`` ``soma/lthash`` and the block number as ``salt``. Equal states have equal sums, whatever their history.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.crypto import digest
from soma_core.errors import CorruptionError

LANES: Final = 1024
SIZE: Final = 2 * LANES
"""Bytes of a stored sum."""
EMPTY: Final = bytes(SIZE)

Lanes = NDArray[np.uint16]

_BLOCKS: Final = [
    hashlib.blake2b(digest_size=64, person=b"soma/lthash", salt=block.to_bytes(16, "little"))
    for block in range(SIZE // 64)
]
"""Each with its number and nothing more: a copy costs half of what a new one does."""


def entry_lanes(key: bytes, value: bytes) -> Lanes:
    """The lanes of one entry: uint16 [1024]."""
    framed = len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value
    blocks = []
    for begun in _BLOCKS:
        block = begun.copy()
        block.update(framed)
        blocks.append(block.digest())
    return np.frombuffer(b"".join(blocks), dtype="<u2").astype(np.uint16, copy=False)


_KNOWN: Final = 4_096
_known_lanes: Final = lru_cache(_KNOWN)(entry_lanes)
"""What was just put in is what is changed next. 8 MB."""


def updated(stored: bytes, changes: Mapping[bytes, tuple[bytes | None, bytes | None]]) -> bytes:
    """The sum `stored` (2048 bytes) after `changes` (key → value before, value now)."""
    lanes = _lanes(stored)
    lanes_of = _known_lanes if len(changes) < _KNOWN else entry_lanes  # of so many, none would be found again
    for key, (before, now) in changes.items():
        if before is not None:
            lanes -= lanes_of(key, before)
        if now is not None:
            lanes += lanes_of(key, now)
    return lanes.astype("<u2").tobytes()


def total(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The sum over all `entries`, from nothing: what a node computes from disk to check what it holds."""
    lanes = np.zeros(LANES, np.uint16)
    for key, value in entries:
        lanes += entry_lanes(key, value)
    return lanes.astype("<u2").tobytes()


def state_digest(stored: bytes) -> bytes:
    """The 32 bytes that stand in a commit record."""
    return digest("soma/state", stored)


def _lanes(stored: bytes) -> Lanes:
    if len(stored) != SIZE:
        raise CorruptionError(f"a state sum of {len(stored)} bytes", "restore a backup")
    return np.frombuffer(stored, dtype="<u2").astype(np.uint16)
