"""A second reader of values, slow and plain, written from rules E1 to E8 of ``specs/01-encoding.md`` alone.

Where it and `soma_core.codec.decode` differ over one input, one of them breaks the rules.
"""

from typing import Any, Final

MOST_BYTES: Final = 1 << 20
MOST_AROUND: Final = 16
MOST_INTEGER_KEYS: Final = 256


class NoValueError(Exception):
    """These bytes are no value."""


def read(data: bytes) -> Any:
    """The value that `data` is."""
    if len(data) > MOST_BYTES:
        raise NoValueError("E8")
    value, place = _item(data, 0, 0)
    if place != len(data):
        raise NoValueError("E1: trailing bytes")
    return value


def _item(data: bytes, place: int, around: int) -> tuple[Any, int]:
    if around > MOST_AROUND:
        raise NoValueError("E7")
    first = _take(data, place, 1)[0]
    if first in (0xF4, 0xF5, 0xF6):
        return {0xF4: False, 0xF5: True, 0xF6: None}[first], place + 1
    major = first >> 5
    if major > 5:
        raise NoValueError("E3")
    argument, place = _argument(data, place + 1, first & 31)
    match major:
        case 0:
            return argument, place
        case 1:
            return -1 - argument, place
        case 2:
            return _take(data, place, argument), place + argument
        case 3:
            return _text(_take(data, place, argument)), place + argument
        case 4:
            return _array(data, place, around, argument)
        case _:
            return _map(data, place, around, argument)


def _argument(data: bytes, place: int, short: int) -> tuple[int, int]:
    if short < 24:
        return short, place
    if short > 27:
        raise NoValueError("E1 or E5: reserved, or indefinite")
    width = 1 << (short - 24)
    argument = int.from_bytes(_take(data, place, width), "big")
    if argument < {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[width]:
        raise NoValueError("E4")
    return argument, place + width


def _take(data: bytes, place: int, size: int) -> bytes:
    if size > len(data) - place:
        raise NoValueError("E1: it ends early")
    return data[place : place + size]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoValueError("E2") from error


def _array(data: bytes, place: int, around: int, count: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, place = _item(data, place, around + 1)
        items.append(item)
    return items, place


def _map(data: bytes, place: int, around: int, count: int) -> tuple[dict[Any, Any], int]:
    value: dict[Any, Any] = {}
    kinds = set()
    before = b""
    for number in range(count):
        key, end = _item(data, place, around + 1)
        kinds.add(type(key))
        encoded = data[place:end]
        if kinds not in ({str}, {int}) or (type(key) is int and key < 0) or (number and encoded <= before):
            raise NoValueError("E6")
        if kinds == {int} and number == MOST_INTEGER_KEYS:
            raise NoValueError("E6: too many integer keys")
        before = encoded
        value[key], place = _item(data, end, around + 1)
    return value, place
