"""The one encoding of every signed, hashed or stored value: deterministic CBOR (RFC 8949 section 4.2.1), strictly.

A value has exactly one encoding. `decode` refuses every other: it caps size and depth, decodes, encodes again and
compares. Allowed are integers within -2^64..2^64-1, byte strings, text (UTF-8), arrays, maps whose keys are all text or
all unsigned integers, booleans and null. Floats, tags, indefinite lengths, duplicate or unsorted keys, longer than
shortest integers, large maps of integers and trailing bytes are refused. Rules E1 to E9 of ``specs/01-encoding.md``.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import cbor2

from .errors import DecodeError

Value = None | bool | int | str | bytes | list["Value"] | dict[str, "Value"] | dict[int, "Value"]
"""What `decode` returns. `encode` also takes tuples, as arrays."""

MAX_SIZE: Final = 1 << 20
"""Bytes. No message, transaction or record is larger; bulk payloads travel raw, in chunks."""
MAX_DEPTH: Final = 16
"""Arrays and maps an item may stand inside. Deeper input is refused before it can exhaust a stack."""
MAX_INTEGER_KEYS: Final = 256
"""Integer keys of one map. A table's hash of an integer is no secret: of more, so many could be chosen to collide that
half a megabyte takes ten seconds."""
INT_MIN: Final = -(1 << 64)
INT_MAX: Final = (1 << 64) - 1


def encode(value: object) -> bytes:
    """The one encoding of `value`. Raises `DecodeError` for a value that has none (a float, a tag, a mixed map)."""
    return cbor2.dumps(value, canonical=not _check(value, 0))


def decode(data: bytes, *, max_size: int = MAX_SIZE) -> Value:
    """The value whose encoding is `data`.

    Raises `DecodeError` if `data` is longer than `max_size` bytes, is not CBOR, or is not the deterministic encoding of
    an allowed value. Time and memory are linear in `len(data)`.
    """
    if len(data) > max_size:
        _refuse(f"{len(data)} bytes are more than the {max_size} allowed here")
    try:
        value = _load(data)
        again = cbor2.dumps(value, canonical=not _check(value, 0))
    except DecodeError:
        raise
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, EOFError) as error:
        if isinstance(error.__cause__, DecodeError):
            raise error.__cause__ from error
        _refuse(f"not CBOR: {error}")
    if again != data:
        _refuse("not the deterministic encoding (order, length of integers, or trailing bytes)")
    return value  # type: ignore[no-any-return]  # _check proved that it is a Value


def _load(data: bytes) -> Any:
    try:
        return _read(data, text_keys=True)
    except cbor2.CBORError:  # for its integer keys, or for what it will be refused for again
        _refuse_large_integer_maps(data)
        return _read(data, text_keys=False)


def _read(data: bytes, *, text_keys: bool) -> Any:
    return cbor2.loads(
        data,
        max_depth=MAX_DEPTH + 1,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        semantic_decoders=_NO_TAGS,
        strict_hashable_types=text_keys,
    )


def _refuse_large_integer_maps(data: bytes) -> None:
    """Look at the heads in `data`, building nothing, up to where it ends or cannot be a value: `_read` stops there."""
    around: list[tuple[int, bool]] = []  # of each array or map: items still to come, and whether it is a large map
    place = 0
    while place < len(data) and len(around) <= MAX_DEPTH + 1:
        major, argument = divmod(data[place], 32)
        place += 1
        if argument > 27 or major == 6:
            return
        if argument > 23:
            width = 1 << argument - 24
            argument = int.from_bytes(data[place : place + width], "big")
            place += width
        if around:
            left, large = around.pop()
            if large and left % 2 == 0 and major != 3:
                _refuse(f"a map of more than {MAX_INTEGER_KEYS} keys that are not all text")
            around.append((left - 1, large))
        if major in (2, 3):
            place += argument
        elif major in (4, 5):
            around.append((argument << major - 4, major == 5 and argument > MAX_INTEGER_KEYS))
        while around and around[-1][0] == 0:
            around.pop()
        if not around:
            return


class _Refuse(dict[int, Any]):
    """A table of semantic decoders in which looking up any tag is a refusal, so that no tag ever builds an object."""

    def __missing__(self, tag: int) -> NoReturn:
        _refuse(f"tag {tag} is not allowed")


def _refuse(what: str) -> NoReturn:
    raise DecodeError(what, "send the deterministic encoding of specs/01-encoding.md")


def _check(value: object, depth: int) -> bool:
    """Refuse what has no encoding. Returns whether all maps are in order: then they need not be sorted once more."""
    if depth > MAX_DEPTH:
        _refuse(f"nested more than {MAX_DEPTH} deep")
    kind = type(value)
    if kind is int:
        if not INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
            _refuse("an integer outside -2^64..2^64-1; such numbers travel as byte strings")
    elif kind is str:
        if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):  # type: ignore[attr-defined]
            _refuse("text with a lone surrogate")
    elif kind is list or kind is tuple:
        return _check_items(value, depth + 1)  # type: ignore[arg-type]
    elif kind is dict:
        return _check_map(value, depth + 1)  # type: ignore[arg-type]
    elif value is not None and kind is not bool and kind is not bytes:
        _refuse(f"a {kind.__name__} has no place in an encoding")
    return True


def _check_items(items: Iterable[object], depth: int) -> bool:
    ordered = True
    for item in items:
        if type(item) is not bytes or depth > MAX_DEPTH:  # most of what arrays hold needs no look
            ordered &= _check(item, depth)
    return ordered


def _check_map(value: Mapping[object, object], depth: int) -> bool:
    kinds = set(map(type, value))
    if kinds - {str} and (kinds != {int} or min(value) < 0):  # type: ignore[type-var, operator]
        _refuse("a map whose keys are neither all text nor all unsigned integers")
    if kinds == {int} and len(value) > MAX_INTEGER_KEYS:
        _refuse(f"a map of {len(value)} integer keys, more than {MAX_INTEGER_KEYS}")
    ordered, before = True, ""
    for key, item in value.items():
        if type(key) is str and key.isascii() and depth <= MAX_DEPTH:  # nor do most names and what they name
            # Encoded keys are in the order of their bytes, which begin with the length.
            ordered &= len(before) < len(key) or (len(before) == len(key) and before <= key)
            before = key
        else:
            _check(key, depth)
            ordered = False
        kind = type(item)
        plain = kind is bytes or (kind is int and INT_MIN <= item <= INT_MAX)  # type: ignore[operator]
        if not plain or depth > MAX_DEPTH:
            ordered &= _check(item, depth)
    return ordered


_NO_TAGS = _Refuse()
