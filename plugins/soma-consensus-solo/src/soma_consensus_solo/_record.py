"""A commit as it is kept on disk and hashed."""

from typing import Final

from soma_core.api import Commit
from soma_core.api.encoding import decode, digest, encode
from soma_core.errors import CorruptionError, DecodeError

RECORD_MOST: Final = 4 << 20
"""Bytes of a kept commit: payload that was pulled, system bytes, and what the encoding adds, with room to spare."""

_PREFIX: Final = b"\x01"


def key_of(index: int) -> bytes:
    """Where the commit of `index` is kept; below 0x80, so that it comes back at the start."""
    return _PREFIX + index.to_bytes(8, "big")


def make(index: int, time: int, round_: int, leader: int, items: tuple[bytes, ...], system: bytes) -> Commit:
    """The commit of these, with its digest: domain ``soma/commit`` over the encoding of its content."""
    ordered = tuple((leader, item) for item in items)
    content = encode([index, time, round_, leader, [list(pair) for pair in ordered], system])
    return Commit(index, digest("soma/commit", content), time, round_, leader, ordered, system)


def pack(commit: Commit) -> bytes:
    """`commit` as a record. Its digest follows from the rest and is not kept."""
    items = [payload for _author, payload in commit.items]
    return encode([commit.index, commit.time, commit.round, commit.leader, items, commit.leader_system])


def unpack(key: bytes, record: bytes) -> Commit:
    """The commit kept under `key`. Raises `CorruptionError` if these are not bytes that `pack` gave for it."""
    try:
        value = decode(record, max_size=RECORD_MOST)
    except DecodeError:
        value = None
    match value:
        case [int(index), int(time), int(round_), int(leader), list(items), bytes(system)] if all(
            type(n) is int and n >= 0 for n in (index, time, round_, leader)
        ) and key == key_of(index):
            payload = tuple(item for item in items if isinstance(item, bytes))
            commit = make(index, time, round_, leader, payload, system)
            if record == pack(commit):
                return commit
    raise CorruptionError(
        f"consensus-solo: the record under {key.hex()} is not a commit",
        "restore the consensus database from a backup, or delete it: the chain keeps what it has applied",
    )
