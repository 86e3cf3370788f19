"""Rules E10 to E14: records are maps of exactly their fields (``specs/01-encoding.md``)."""

from typing import Any, Literal

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from vectors import load

from soma_core import codec
from soma_core.chain import CommitRecord, RegisterEncoder, System, Transfer
from soma_core.errors import DecodeError
from soma_core.records import UINT_MAX, octets, pack, structure, text, to_value, uint, unpack

CASES = load("encoding.json")["records"]
CLASSES = {cls.__name__: cls for cls in (Transfer, RegisterEncoder, System, CommitRecord)}


@frozen
class Inner:
    size: int = uint(least=2, most=5)


@frozen(kw_only=True)
class Whole:
    count: int = uint()
    any_integer: int
    digest: bytes = octets(4)
    blob: bytes = octets(most=8)
    name: str = text(most=3)
    flag: bool
    maybe: bytes | None
    side: Literal["left", "right"]
    inner: Inner
    many: tuple[Inner, ...]
    pair: tuple[int, bytes]
    pairs: tuple[tuple[int, str], ...]
    table: dict[str, int]
    free: Any
    default: int = uint(default=7)


GOOD: dict[str, Any] = {
    "count": 1,
    "any_integer": -5,
    "digest": b"abcd",
    "blob": b"",
    "name": "äöü",
    "flag": True,
    "maybe": None,
    "side": "left",
    "inner": {"size": 2},
    "many": [{"size": 3}, {"size": 5}],
    "pair": [9, b"x"],
    "pairs": [[1, "a"], [2, "b"]],
    "table": {"a": 1, "b": -2},
    "free": {"x": [1, None]},
    "default": 8,
}


@pytest.mark.parametrize("case", CASES["valid"], ids=lambda case: case["name"])
def test_valid_vectors(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    record = unpack(CLASSES[case["record"]], data)
    assert pack(record) == data


@pytest.mark.parametrize("case", CASES["invalid"], ids=lambda case: case["name"])
def test_invalid_vectors(case: dict[str, Any]) -> None:
    codec.decode(bytes.fromhex(case["bytes"]))  # the encoding is not at fault
    with pytest.raises(DecodeError, match=case["names"]):
        unpack(CLASSES[case["record"]], bytes.fromhex(case["bytes"]))


def test_a_record_is_the_map_of_its_fields() -> None:
    record = structure(Whole, GOOD)
    assert codec.encode(to_value(record)) == codec.encode(GOOD)
    assert pack(record) == codec.encode(GOOD)
    assert unpack(Whole, codec.encode(GOOD)) == record


@pytest.mark.parametrize("field", GOOD)
def test_every_field_must_be_there_even_one_with_a_default(field: str) -> None:
    lacking = {k: v for k, v in GOOD.items() if k != field}
    with pytest.raises(DecodeError, match=f"not a Whole: {field} is missing"):
        structure(Whole, lacking)


def test_a_field_that_is_not_one_is_refused() -> None:
    with pytest.raises(DecodeError, match="extra is not a field"):
        structure(Whole, {**GOOD, "extra": 1})
    with pytest.raises(DecodeError, match="extra is not a field"):
        structure(Whole, {**GOOD, "inner": {"size": 2, "extra": 1}})


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("count", -1),
        ("count", UINT_MAX + 1),
        ("count", True),
        ("count", "1"),
        ("count", None),
        ("any_integer", False),
        ("any_integer", b"\x01"),
        ("digest", b"abc"),
        ("digest", b"abcde"),
        ("digest", "abcd"),
        ("digest", None),
        ("blob", bytes(9)),
        ("blob", []),
        ("name", "four"),
        ("name", b"abc"),
        ("flag", 1),
        ("flag", None),
        ("maybe", "text"),
        ("maybe", 0),
        ("side", "up"),
        ("side", 1),
        ("side", []),
        ("inner", {"size": 1}),
        ("inner", {"size": 6}),
        ("inner", {}),
        ("inner", []),
        ("inner", None),
        ("many", {"size": 3}),
        ("many", [{"size": 3}, {"size": 9}]),
        ("many", b"abc"),
        ("many", "abc"),
        ("pair", [9]),
        ("pair", [9, b"x", b"y"]),
        ("pair", [b"x", 9]),
        ("pairs", [[1, "a"], [2]]),
        ("table", {"a": "b"}),
        ("table", {1: 1}),
        ("table", []),
        ("default", -1),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, wrong: object) -> None:
    with pytest.raises(DecodeError, match=r"^not a Whole: .+; see specs/01-encoding.md$"):
        structure(Whole, {**GOOD, field: wrong})


@pytest.mark.parametrize("value", [None, 1, [], "Whole", b"", {1: 2}])
def test_only_a_map_of_texts_is_a_record(value: object) -> None:
    with pytest.raises(DecodeError, match="not a Whole"):
        structure(Whole, value)


def test_an_author_of_a_record_is_held_to_the_same_bounds() -> None:
    with pytest.raises(ValueError, match=r"size: 9 is outside 2\.\.5"):
        Inner(9)
    with pytest.raises(ValueError, match="to: 32 bytes are needed"):
        Transfer(b"", 1)
    with pytest.raises(ValueError, match="name: text of at most 32 characters"):
        RegisterEncoder(name="x" * 33, stake=0, weights=b"", frame=b"", architecture="")
    with pytest.raises(ValueError, match="weights: at most 32 bytes"):
        RegisterEncoder(name="x", stake=0, weights=bytes(33), frame=b"", architecture="")


def test_a_record_is_decoded_within_the_size_that_is_said() -> None:
    data = pack(Transfer(bytes(32), 1))
    assert unpack(Transfer, data, max_size=len(data)) == Transfer(bytes(32), 1)
    with pytest.raises(DecodeError, match="more than"):
        unpack(Transfer, data, max_size=len(data) - 1)


@given(st.binary(min_size=32, max_size=32), st.integers(1, 1 << 62))
def test_transfers_come_back(to: bytes, amount: int) -> None:
    transfer = Transfer(to, amount)
    assert unpack(Transfer, pack(transfer)) == transfer


@given(
    st.one_of(st.none(), st.binary(max_size=40)),
    st.lists(st.tuples(st.integers(0, 1 << 63), st.binary(max_size=40)), max_size=3),
    st.lists(st.tuples(st.integers(0, UINT_MAX), st.binary(min_size=64, max_size=64)), max_size=3),
)
def test_system_items_come_back(
    link: bytes | None, anchors: list[tuple[int, bytes]], signatures: list[tuple[int, bytes]]
) -> None:
    value = {
        "link": link,
        "anchors": [list(pair) for pair in anchors],
        "signatures": [{"index": index, "signature": signature} for index, signature in signatures],
    }
    item = structure(System, value)
    assert pack(item) == codec.encode(value)
    assert unpack(System, codec.encode(value)) == item


@given(st.recursive(st.one_of(st.none(), st.integers(-5, 5), st.binary(max_size=3), st.text(max_size=3)), st.lists))
def test_nothing_but_a_decode_error_comes_of_a_wrong_value(value: Any) -> None:
    for field in GOOD:
        try:
            record = structure(Whole, {**GOOD, field: value})
        except DecodeError:
            continue
        assert pack(record) == codec.encode({**GOOD, field: value})
