"""What members say to each other: one byte that tells what it is, then its content. Rules D40 to D46.

Every message may be lost; whoever needs an answer asks again.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from soma_core.errors import DecodeError

from ._dag import REF_SIZE, Ref, pack_refs, unpack_refs

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
_KINDS: Final[tuple[type[Message] | None, ...]] = (None, Blocks, Want, Since, AskLast, Last, AskCommits, Commits)
_SEE: Final = "see rule D40 of specs/70-consensus-dag.md"


def pack(message: Message) -> bytes:
    """A message as bytes."""
    match message:
        case Blocks(wires):
            content = _join(wires)
        case Want(refs):
            content = pack_refs(refs)
        case Since(number) | AskLast(number) | AskCommits(number):
            content = _NUMBER.pack(number)
        case Last(number, wire):
            content = _NUMBER.pack(number) + wire
        case Commits(records, stubs):
            content = _join((_join(records), _join(stubs)))
    return bytes([_KINDS.index(type(message))]) + content


def unpack(data: bytes) -> Message:
    """A message from bytes. Raises `DecodeError`."""
    kind = _KINDS[data[0]] if data and data[0] < len(_KINDS) else None
    content = data[1:]
    if kind is Blocks:
        message: Message = Blocks(_split(content))
    elif kind is Want:
        message = Want(_few(content))
    elif kind is Last:
        message = Last(_number(content[: _NUMBER.size]), content[_NUMBER.size :])
    elif kind is Commits:
        message = Commits(*_pair(_split(content)))
    elif kind is Since or kind is AskLast or kind is AskCommits:
        message = kind(_number(content))
    else:
        raise DecodeError("not a message of consensus-dag", _SEE)
    return message


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
        raise DecodeError("a number has 8 bytes", _SEE)
    return int.from_bytes(data, "big")


def _few(data: bytes) -> tuple[Ref, ...]:
    if len(data) > WANT_MOST * REF_SIZE:
        raise DecodeError(f"more than {WANT_MOST} blocks are asked for", _SEE)
    return unpack_refs(data)


def _pair(parts: Sequence[bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    if len(parts) != 2:
        raise DecodeError("an answer with commits has two parts", _SEE)
    return _split(parts[0]), _split(parts[1])


def _join(parts: Sequence[bytes]) -> bytes:
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def _split(data: bytes) -> tuple[bytes, ...]:
    parts = []
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or at > len(data):
            raise DecodeError("a message ends early", _SEE)
        parts.append(data[start:at])
    return tuple(parts)
