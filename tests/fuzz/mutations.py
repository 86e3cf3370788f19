"""What is changed of an input to get the next one: bytes, and, where it is a value, its tree.

All choices come from the `Random` that is given, so that a run can be made again.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from strict_reader import NoValueError, read

from soma_core import codec
from soma_core.errors import DecodeError

NUMBERS = (
    0,
    1,
    2,
    23,
    24,
    127,
    128,
    255,
    256,
    65535,
    65536,
    2**31,
    2**32 - 1,
    2**48,
    2**60,
    2**63 - 1,
    2**63,
    2**64 - 1,
)
"""Where encodings, fields and machines have their edges."""
WORDS = (b"", b"\x00", b"\xff", b"\x80", b"\x1b", b"\x9f", b"\xc2", b"\xf6", b"\xf9\x7e\x00", b"\xed\xa0\x80", b"[" * 9)


def mutate(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one thing changed."""
    if random.random() < 0.6:
        changed = _changed_value(data, random, others)
        if changed is not None:
            return changed
    changed_bytes = bytearray(data)
    random.choice(_CHANGES)(changed_bytes, random, others)
    return bytes(changed_bytes)


# Bytes ----------------------------------------------------------------------------------------------------------------


def _flip(data: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _overwrite(data: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    width = random.choice((1, 2, 4, 8))
    number = random.choice(NUMBERS) % (1 << 8 * width)
    place = random.randint(0, len(data))
    data[place : place + width] = number.to_bytes(width, random.choice(("big", "little")))


def _insert(data: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    place = random.randint(0, len(data))
    data[place:place] = random.choice((*WORDS, random.randbytes(random.randint(1, 8))))


def _delete(data: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    start, stop = _span(data, random)
    del data[start:stop]


def _repeat(data: bytearray, random: Random, _others: Sequence[bytes]) -> None:
    start, stop = _span(data, random)
    data[stop:stop] = bytes(data[start:stop]) * random.randint(1, 4)


def _cross(data: bytearray, random: Random, others: Sequence[bytes]) -> None:
    if others:
        other = random.choice(others)
        start, stop = _span(other, random)
        data[random.randint(0, len(data)) :] = other[start:stop]


_CHANGES: Sequence[Callable[[bytearray, Random, Sequence[bytes]], None]] = (
    _flip,
    _overwrite,
    _insert,
    _delete,
    _repeat,
    _cross,
)


def _span(data: bytes | bytearray, random: Random) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 16, 64, len(data))))


# Values ---------------------------------------------------------------------------------------------------------------


def _changed_value(data: bytes, random: Random, others: Sequence[bytes]) -> bytes | None:
    """`data` with the value in it changed, and what stands before it; None if there is no value at its usual places."""
    for start in (0, 1, 4, 5, 8, 9):
        value = _value(data[start:])
        if isinstance(value, (list, dict)):
            donors = [found for other in others if (found := _value(other[start:])) is not None]
            try:
                encoded = codec.encode(_elsewhere(value, random, donors))
            except DecodeError:
                return None
            head = bytearray(data[:start])
            if start >= 4 and random.random() < 0.8:  # a length before it goes on telling the truth
                head[start - 4 : start] = len(encoded).to_bytes(4, "big")
            return bytes(head) + encoded
    return None


def _value(data: bytes) -> Any:
    try:
        return read(data)
    except NoValueError:
        return None


def _elsewhere(value: Any, random: Random, donors: Sequence[Any]) -> Any:
    """`value` with one part changed, chosen from the top down."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        key = random.choice(list(value))
        return {**value, key: _elsewhere(value[key], random, donors)}
    if isinstance(value, list) and value and random.random() < 0.8:
        place = random.randrange(len(value))
        return [*value[:place], _elsewhere(value[place], random, donors), *value[place + 1 :]]
    return _another(value, random, donors)


def _another(value: Any, random: Random, donors: Sequence[Any]) -> Any:
    kind = random.randrange(9)
    if kind == 0:
        return random.choice((None, True, False, 0, -1, "", b"", [], {}))
    if kind == 1:
        return random.choice(NUMBERS) - random.choice((0, 0, 1, 2**64))
    if kind == 2:
        return random.choice(("", "a", "\x1b[2J", "é" * 70, "x" * 5000, "\u2028"))
    if kind == 3:
        return random.randbytes(random.choice((0, 1, 31, 32, 33, 64, 200)))
    if kind == 4 and donors:
        return _part(random.choice(donors), random)
    match value:
        case bool() | None:
            return not value
        case int():
            return min(max(value + random.choice((-1, 1, -(2**32), 2**32)), codec.INT_MIN), codec.INT_MAX)
        case str():
            return value[:-1] if kind & 1 else value + random.choice("a\0é")
        case bytes():
            changed = bytearray(value)
            random.choice(_CHANGES)(changed, random, ())
            return bytes(changed)
        case list():
            return value[:-1] if kind & 1 and value else [*value, *value[-1:]]
        case dict():
            rest = list(value.items())[kind & 1 :]
            return dict(rest) if kind & 2 else {**value, "x": 0}
    return value


def _part(value: Any, random: Random) -> Any:
    while isinstance(value, (list, dict)) and value and random.random() < 0.7:
        value = random.choice(value if isinstance(value, list) else list(value.values()))
    return value
