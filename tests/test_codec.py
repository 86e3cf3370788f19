"""Rules E: one encoding a value, and nothing else is read (``specs/01-encoding.md``)."""

import enum
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectors import load

from soma_core import codec
from soma_core.errors import DecodeError

CASES = load("encoding.json")

integers = st.integers(codec.INT_MIN, codec.INT_MAX)
scalars = st.one_of(st.none(), st.booleans(), integers, st.binary(max_size=40), st.text(max_size=20))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.text(max_size=8), inner, max_size=5),
        st.dictionaries(st.integers(0, codec.INT_MAX), inner, max_size=5),
    ),
    max_leaves=20,
)


def from_notation(value: Any) -> Any:
    """A value from the notation of the vector files: scalars that JSON lacks are objects with one key."""
    match value:
        case {"int": digits}:
            return int(digits)
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"text": text}:
            return text
        case {"array": items}:
            return [from_notation(item) for item in items]
        case {"map": pairs}:
            return {from_notation(k): from_notation(v) for k, v in pairs}
        case _:
            return value


def head(major: int, argument: int, *, longer: int = 0) -> bytes:
    """The first bytes of an item, written from RFC 8949 and not from a library; `longer`: steps above the shortest."""
    sizes = [(24, 0), (1 << 8, 1), (1 << 16, 2), (1 << 32, 4), (1 << 64, 8)]
    place = next(i for i, (limit, _) in enumerate(sizes) if argument < limit)
    width = sizes[min(place + longer, 4)][1]
    if width == 0:
        return bytes([major << 5 | argument])
    return bytes([major << 5 | 23 + width.bit_length()]) + argument.to_bytes(width, "big")


def plain(value: Any) -> bytes:
    """The encoding by rules E2 to E6, a second time."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(plain, value))
    pairs = sorted((plain(k), plain(v)) for k, v in value.items())
    return head(5, len(value)) + b"".join(k + v for k, v in pairs)


def spoilt(value: Any) -> Iterator[tuple[str, bytes]]:
    """Every way of writing `value` that other CBOR readers would take, one fault at a time."""
    if isinstance(value, bool) or value is None:
        return
    yield "tag", head(6, 55799) + plain(value)
    if isinstance(value, int):
        major, argument = (0, value) if value >= 0 else (1, -1 - value)
        if argument < 1 << 32:
            yield "longer", head(major, argument, longer=1)
        yield "bignum", head(6, 2 + major) + plain(argument.to_bytes(9, "big"))
    elif isinstance(value, (bytes, str)):
        data = value if isinstance(value, bytes) else value.encode()
        major = 2 if isinstance(value, bytes) else 3
        yield "longer", head(major, len(data), longer=1) + data
        yield "indefinite", bytes([major << 5 | 31]) + plain(value) + b"\xff"
    elif isinstance(value, list):
        body = [plain(item) for item in value]
        yield "longer", head(4, len(value), longer=1) + b"".join(body)
        yield "indefinite", b"\x9f" + b"".join(body) + b"\xff"
        for place, item in enumerate(value):
            for fault, data in spoilt(item):
                yield fault, head(4, len(value)) + b"".join([*body[:place], data, *body[place + 1 :]])
    else:
        pairs = sorted((plain(k), plain(v)) for k, v in value.items())
        body = [k + v for k, v in pairs]
        yield "longer", head(5, len(pairs), longer=1) + b"".join(body)
        yield "indefinite", b"\xbf" + b"".join(body) + b"\xff"
        if len(body) > 1:
            yield "unsorted", head(5, len(pairs)) + b"".join(reversed(body))
        if body:
            yield "duplicate", head(5, len(pairs) + 1) + b"".join([body[0], *body])


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case: dict[str, Any]) -> None:
    value, data = from_notation(case["value"]), bytes.fromhex(case["bytes"])
    assert codec.encode(value) == data == plain(value)
    decoded = codec.decode(data)
    assert decoded == value
    assert repr(decoded) == repr(value)  # 1 is not True, and a map keeps the order of its encoding


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"]) * case.get("times", 1)
    with pytest.raises(DecodeError, match="specs/01-encoding"):
        codec.decode(data)


@pytest.mark.parametrize("case", CASES["without_encoding"], ids=lambda case: case["name"])
def test_values_without_an_encoding(case: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        codec.encode(from_notation(case["value"]))


@given(values)
def test_every_value_comes_back_from_its_one_encoding(value: Any) -> None:
    data = codec.encode(value)
    assert data == plain(value)
    assert codec.decode(data) == value


@given(values)
def test_every_other_way_of_writing_a_value_is_refused(value: Any) -> None:
    for fault, data in spoilt(value):
        with pytest.raises(DecodeError):
            codec.decode(data)
            pytest.fail(f"{fault}: {data.hex()}")
    for trailing in (b"\x00", b"\xf6", b"\xff"):
        with pytest.raises(DecodeError):
            codec.decode(codec.encode(value) + trailing)


@given(values, st.data())
def test_a_flipped_bit_is_refused_or_is_another_value(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(codec.encode(value))
    bit = data.draw(st.integers(0, 8 * len(encoded) - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    try:
        other = codec.decode(bytes(encoded))
    except DecodeError:
        return
    assert repr(other) != repr(value)
    assert plain(other) == encoded


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    try:
        value = codec.decode(data)
    except DecodeError:
        return
    assert plain(value) == data


@pytest.mark.parametrize("length", range(1, 9))
def test_a_truncated_value_is_refused(length: int) -> None:
    whole = codec.encode([1 << 40, "x"])
    with pytest.raises(DecodeError):
        codec.decode(whole[: len(whole) - length])


def test_depth() -> None:
    deepest: Any = 0
    for _ in range(codec.MAX_DEPTH):
        deepest = [deepest]
    assert codec.decode(codec.encode(deepest)) == deepest
    with pytest.raises(DecodeError, match="deep"):
        codec.encode([deepest])
    with pytest.raises(DecodeError, match="deep"):
        codec.decode(b"\x81" + codec.encode(deepest))
    with pytest.raises(DecodeError):
        codec.decode(b"\xa1\x00" * 100_000 + b"\x00")


def test_size() -> None:
    largest = codec.encode(bytes(codec.MAX_SIZE - 5))
    assert len(largest) == codec.MAX_SIZE
    assert len(codec.decode(largest)) == codec.MAX_SIZE - 5  # type: ignore[arg-type]
    with pytest.raises(DecodeError, match="1048577 bytes"):
        codec.decode(codec.encode(bytes(codec.MAX_SIZE - 4)))
    with pytest.raises(DecodeError, match="2 bytes are more than the 1"):
        codec.decode(b"\x18\x18", max_size=1)


@pytest.mark.parametrize("first", ["5a7fffffff", "7a7fffffff", "9a7fffffff", "ba7fffffff", "5b7fffffffffffffff"])
def test_a_length_that_lies_costs_no_memory(first: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            codec.decode(bytes.fromhex(first) + bytes(100))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\udfff": 1},
        1.0,
        {1},
        bytearray(b"x"),
        pytest.param(object(), id="object()"),
        Colour.RED,
        {True: 1},
        {b"k": 1},
        {None: 1},
        {(): 1},
        {1: 1, "a": 1},
        {-1: 0},
    ],
    ids=repr,
)
def test_what_has_no_encoding_is_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        codec.encode(value)
    with pytest.raises(DecodeError):
        codec.encode([value])


def test_a_tuple_is_encoded_as_an_array() -> None:
    assert codec.encode((1, ())) == codec.encode([1, []])


@pytest.mark.parametrize("tag", [0, 2, 3, 4, 5, 23, 28, 29, 30, 35, 37, 100, 256, 258, 260, 55799, 1 << 63])
def test_no_tag_builds_anything(tag: int) -> None:
    with pytest.raises(DecodeError, match=f"tag {tag} is not allowed"):
        codec.decode(head(6, tag) + b"\x00")
