"""What members say to each other: one byte that tells what it is, then its content. Rules D40 to D46.

Every message may be lost; whoever needs an answer asks again.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from soma_core.errors import DecodeError

from ._block import pack_refs, whole_refs
from ._dag import Ref

MESSAGE_MOST: Final = 960 << 10
"""Bytes of a message that we send; what is longer is split, or sent when it is asked for again."""
WANT_MOST: Final = 256
"""Blocks that one message asks for."""
_LENGTH: Final = struct.Struct(">I")
_NUMBER: Final = struct.Struct(">Q")


@frozen
class Blocks:
    """Blocks: a new one of the sender's, or what was asked for."""

    wires: tuple[bytes, ...]


@frozen
class Want:
    """Asks for the blocks of these names."""

    refs: tuple[Ref, ...]


@frozen
class Since:
    """Asks for the blocks that the receiver made after this round."""

    round: int


@frozen
class AskLast:
    """Asks for the latest block of the sender's own that the receiver has. `number` comes back with the answer."""

    number: int


@frozen
class Last:
    """Answers `AskLast`: that block, or no bytes."""

    number: int
    wire: bytes


@frozen
class AskCommits:
    """Asks for commit records from this index on."""

    first: int


@frozen
class Commits:
    """Consecutive commit records, and blocks without payload whose authors vote for the last one."""

    records: tuple[bytes, ...]
    stubs: tuple[bytes, ...]


Message = Blocks | Want | Since | AskLast | Last | AskCommits | Commits


def pack(message: Message) -> bytes:
    """A message as bytes."""
    match message:
        case Blocks(wires):
            return b"\x01" + _join(wires)
        case Want(refs):
            return b"\x02" + pack_refs(refs)
        case Since(round_):
            return b"\x03" + _NUMBER.pack(round_)
        case AskLast(number):
            return b"\x04" + _NUMBER.pack(number)
        case Last(number, wire):
            return b"\x05" + _NUMBER.pack(number) + wire
        case AskCommits(first):
            return b"\x06" + _NUMBER.pack(first)
        case Commits(records, stubs):
            return b"\x07" + _join((_join(records), _join(stubs)))


def unpack(data: bytes) -> Message:
    """A message from bytes. Raises `DecodeError`."""
    kind, rest = data[:1], data[1:]
    match kind:
        case b"\x01":
            return Blocks(_split(rest))
        case b"\x02":
            return Want(whole_refs(rest, WANT_MOST))
        case b"\x03":
            return Since(_number(rest))
        case b"\x04":
            return AskLast(_number(rest))
        case b"\x05":
            return Last(_number(rest[: _NUMBER.size]), rest[_NUMBER.size :])
        case b"\x06":
            return AskCommits(_number(rest))
        case b"\x07":
            parts = _split(rest)
            if len(parts) == 2:
                return Commits(_split(parts[0]), _split(parts[1]))
    raise DecodeError("not a message of consensus-dag", "see rule D40 of specs/70-consensus-dag.md")


def in_messages(wires: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks as messages, as many in each as fit."""
    waiting: list[bytes] = []
    size = 0
    for wire in wires:
        if waiting and size + len(wire) > MESSAGE_MOST:
            yield pack(Blocks(tuple(waiting)))
            waiting, size = [], 0
        waiting.append(wire)
        size += _LENGTH.size + len(wire)
    if waiting:
        yield pack(Blocks(tuple(waiting)))


def _number(data: bytes) -> int:
    if len(data) != _NUMBER.size:
        raise DecodeError("a number has 8 bytes", "see rule D40 of specs/70-consensus-dag.md")
    return int.from_bytes(data, "big")


def _join(parts: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _split(data: bytes) -> tuple[bytes, ...]:
    parts = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise DecodeError("a message ends early", "see rule D40 of specs/70-consensus-dag.md")
        parts.append(data[start:at])
    return tuple(parts)
