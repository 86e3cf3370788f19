"""The one form of messages: the vectors, and whatever else comes from outside."""

import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from vectors import load

from soma_core import codec
from soma_core.api import MAX_MESSAGE
from soma_core.crypto import digest
from soma_core.errors import DecodeError, RefusedError
from soma_core.net import Hello
from soma_core.net._hello import Fault
from soma_core.net._message import MAX_HEADER, MAX_PAYLOAD, Message, decode_message, encode_message
from soma_core.net._text import shown
from soma_core.records import structure

VECTORS = load("net.json")


def value(notation: Any) -> Any:
    """A value from the notation of the vector files (``specs/README.md``)."""
    if notation is None or isinstance(notation, bool):
        return notation
    ((kind, written),) = notation.items()
    match kind:
        case "int":
            return int(written)
        case "bytes":
            return bytes.fromhex(written)
        case "text":
            return written
        case "array":
            return [value(item) for item in written]
    return {value(k): value(v) for k, v in written}


def ids(case: dict[str, Any]) -> str:
    return str(case["name"])


@pytest.mark.parametrize("case", VECTORS["messages"], ids=ids)
def test_valid_messages(case: dict[str, Any]) -> None:
    message = Message(case["kind"], case["id"], case["op"], value(case["body"]), bytes.fromhex(case["payload"]))
    assert encode_message(message).hex() == case["bytes"]
    assert decode_message(bytes.fromhex(case["bytes"])) == message
    if message.kind == "hello":
        structure(Hello, message.body)
    if message.kind == "error":
        structure(Fault, message.body)


@pytest.mark.parametrize("case", VECTORS["invalid_messages"], ids=ids)
def test_invalid_messages(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode_message(bytes.fromhex(case["bytes"]))


@pytest.mark.parametrize("case", VECTORS["invalid_hellos"], ids=ids)
def test_invalid_hellos(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        structure(Hello, value(case["body"]))


scalars = (
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=40)
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=8), v, max_size=4))
bodies = st.dictionaries(st.text(max_size=12), values, max_size=5)
operations = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){1,2}", fullmatch=True)
numbers = st.integers(1, (1 << 63) - 1)
payloads = st.binary(max_size=2000)
messages = st.one_of(
    st.builds(Message, st.just("request"), numbers, operations, bodies, payloads),
    st.builds(Message, st.just("reply"), numbers, st.just(""), bodies, payloads),
    st.builds(Message, st.just("note"), st.just(0), operations, bodies, payloads),
    st.builds(Message, st.just("error"), st.integers(0, 9), st.just(""), bodies),
    st.builds(Message, st.just("hello"), st.just(0), st.just(""), bodies),
    st.builds(Message, st.sampled_from(["ping", "pong"]), numbers),
)


@given(messages)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda b: len(b).to_bytes(4, "big") + b))
@example(b"\0\0\0\1\xa0")
@example(b"\0\0\0\5\x9b\xff\xff\xff\xff")
def test_whatever_bytes_come_are_a_message_or_a_decode_error(data: bytes) -> None:
    try:
        message = decode_message(data)
    except DecodeError:
        return
    assert encode_message(message) == data


hostile = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["hello", "request", "reply", "error", "note", "ping", "pong"]) | scalars,
        "id": st.integers(0, 3) | scalars,
        "op": st.sampled_from(["", "a.b"]) | scalars,
        "body": values,
        "size": st.integers(0, 5) | scalars,
        "digest": st.just(digest("soma/payload", b"")) | scalars,
        "more": values,
    },
)


@settings(max_examples=400)
@given(hostile, st.binary(max_size=6), st.integers(-2, 2))
def test_hostile_headers_are_a_message_or_a_decode_error(header: dict[str, Any], payload: bytes, off: int) -> None:
    raw = codec.encode(header)
    data = max(0, len(raw) + off).to_bytes(4, "big") + raw + payload
    try:
        message = decode_message(data)
    except DecodeError:
        return
    assert encode_message(message) == data, "what is accepted has one form"


@settings(max_examples=150)
@given(messages, st.data())
def test_one_changed_byte_gives_another_message_or_none(message: Message, draw: st.DataObject) -> None:
    data = bytearray(encode_message(message))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        other = decode_message(bytes(data))
    except DecodeError:
        return
    assert other != message
    assert encode_message(other) == bytes(data)


def test_the_largest_message_and_one_byte_more() -> None:
    message = Message("request", 1, "a.b", {}, b"x" * MAX_PAYLOAD)
    data = encode_message(message)
    assert len(data) <= MAX_MESSAGE
    assert decode_message(data) == message
    with pytest.raises(RefusedError, match="send it in parts, or as a blob"):
        encode_message(Message("request", 1, "a.b", {}, b"x" * (MAX_PAYLOAD + 1)))
    with pytest.raises(RefusedError, match="put the data into the payload"):
        encode_message(Message("request", 1, "a.b", {"x": b"x" * MAX_HEADER}))
    with pytest.raises(DecodeError, match="are no message"):
        decode_message(data + b"x" * MAX_MESSAGE)


def spent(data: bytes) -> float:
    best = 9.0
    for _ in range(3):
        began = time.perf_counter()
        with pytest.raises(DecodeError):
            decode_message(data)
        best = min(best, time.perf_counter() - began)
    return best


@pytest.mark.parametrize(
    "fill",
    [
        lambda n: b"\x81" * n,  # arrays in arrays
        lambda n: b"\x9a" + (n // 2).to_bytes(4, "big") + b"\0" * (n // 2),
        lambda n: b"\xa1\x61a" * (n // 3),  # maps in maps
        lambda n: codec.encode({"body": {f"{i:06}": i % 20 for i in range(n // 9)}})[:n],
        lambda n: codec.encode({"body": {"x": "é" * (n // 2)}})[:n],
        lambda n: b"\xa0" * n,
    ],
    ids=["arrays", "zeros", "maps", "keys", "text", "trailing"],
)
def test_hostile_headers_cost_time_in_proportion(fill: Any) -> None:
    small, large = (len(b).to_bytes(4, "big") + b for b in (fill(MAX_HEADER // 16), fill(MAX_HEADER)))
    assert spent(large) < 0.1
    assert spent(large) < 16 * 8 * spent(small) + 0.005


def test_a_length_is_checked_before_anything_is_read() -> None:
    for length in (MAX_HEADER + 1, 1 << 31, (1 << 32) - 1):
        with pytest.raises(DecodeError, match=f"a header of {length} bytes"):
            decode_message(length.to_bytes(4, "big") + b"\xa0" * 100)


@given(st.text())
def test_what_peers_write_is_shown_on_one_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text, 10)) <= 10
