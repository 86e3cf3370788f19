"""The one form of everything peers say: a length, a strict CBOR header, then the raw payload the header names.

    4 bytes          header length, big endian
    that many        header: {kind, id, op, body, size, digest}
    `size` bytes     payload, whose digest under ``soma/payload`` the header carries

Rules N1 to N8 of ``specs/50-network.md``. Anything else is a breach, for which the peer is dropped.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import attrs
from attrs import frozen

from soma_core import records
from soma_core.api import MAX_MESSAGE
from soma_core.crypto import digest
from soma_core.errors import DecodeError, RefusedError

Kind = Literal["hello", "request", "reply", "error", "note", "ping", "pong"]

MAX_HEADER: Final = 1 << 13
"""Bytes. Facts go into the header, data into the payload; a hostile one costs a few ms to decode."""
MAX_PAYLOAD: Final = MAX_MESSAGE - MAX_HEADER - 4
"""Bytes that fit beside any header."""


@frozen
class _Rule:
    """What a message of one kind may carry."""

    numbered: bool | None
    """Whether the id counts from 1; None: it may also be 0."""
    operation: bool
    body: bool
    payload: bool


_RULES: Final[Mapping[str, _Rule]] = {
    "hello": _Rule(numbered=False, operation=False, body=True, payload=False),
    "request": _Rule(numbered=True, operation=True, body=True, payload=True),
    "reply": _Rule(numbered=True, operation=False, body=True, payload=True),
    "error": _Rule(numbered=None, operation=False, body=True, payload=False),
    "note": _Rule(numbered=False, operation=True, body=True, payload=True),
    "ping": _Rule(numbered=True, operation=False, body=False, payload=False),
    "pong": _Rule(numbered=True, operation=False, body=False, payload=False),
}
_OPERATION: Final = re.compile(r"[a-z]+(\.[a-z]+)+")


@frozen
class _Header:
    """The map before the payload."""

    body: Any = attrs.field()
    kind: str = records.text(most=8)
    id: int = records.uint()
    op: str = records.text(most=32)
    size: int = records.uint(most=MAX_MESSAGE)
    digest: bytes = records.octets(32)

    @body.validator
    def _is_map(self, _attribute: object, value: object) -> None:
        if not isinstance(value, Mapping) or not all(type(key) is str for key in value):
            raise ValueError("body: a map with text keys is needed")


@frozen
class Message:
    """One message. `id` pairs a reply, error or pong with what it answers; 0 where nothing is answered."""

    kind: Kind
    id: int = 0
    op: str = ""
    body: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)
    payload: bytes = b""


def encode_message(message: Message) -> bytes:
    """The bytes of `message`. Raises `RefusedError` if they are more than a message may have."""
    payload = message.payload
    if len(payload) > MAX_PAYLOAD:
        raise RefusedError(
            f"a payload of {len(payload)} bytes is more than the {MAX_PAYLOAD} a message carries",
            "send it in parts, or as a blob",
        )
    header = records.pack(
        _Header(
            kind=message.kind,
            id=message.id,
            op=message.op,
            body=message.body,
            size=len(payload),
            digest=digest("soma/payload", payload),
        )
    )
    if len(header) > MAX_HEADER:
        raise RefusedError(
            f"a header of {len(header)} bytes is more than the {MAX_HEADER} allowed", "put the data into the payload"
        )
    return len(header).to_bytes(4, "big") + header + payload


def decode_message(data: bytes) -> Message:
    """The message in `data`. Raises `DecodeError` with the first thing wrong; no length in `data` is believed."""
    if not 4 < len(data) <= MAX_MESSAGE:
        raise _breach(f"{len(data)} bytes are no message")
    length = int.from_bytes(data[:4], "big")
    if not 0 < length <= min(MAX_HEADER, len(data) - 4):
        raise _breach(f"a header of {length} bytes in a message of {len(data)}")
    header = records.unpack(_Header, data[4 : 4 + length], max_size=MAX_HEADER)
    rule = _RULES.get(header.kind)
    if rule is None:
        raise _breach(f"no message is of kind {header.kind!r}")
    if rule.numbered is not None and rule.numbered != (header.id > 0):
        raise _breach(f"a {header.kind} with id {header.id}")
    if rule.operation != bool(header.op) or (header.op and not _OPERATION.fullmatch(header.op)):
        raise _breach(f"a {header.kind} with operation {header.op!r}")
    if header.body and not rule.body:
        raise _breach(f"a {header.kind} with a body")
    if header.size != len(data) - 4 - length:
        raise _breach(f"a header that names {header.size} bytes of payload before {len(data) - 4 - length}")
    if header.size > (MAX_PAYLOAD if rule.payload else 0):
        raise _breach(f"a {header.kind} with {header.size} bytes of payload")
    payload = data[4 + length :]
    if digest("soma/payload", payload) != header.digest:
        raise _breach("a payload that is not the one its header names")
    return Message(cast("Kind", header.kind), header.id, header.op, header.body, payload)


def _breach(what: str) -> DecodeError:
    return DecodeError(what, "see specs/50-network.md")
