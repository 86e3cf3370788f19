"""Frozen attrs classes as encodings and back, strictly: the shape of every transaction, state record and message.

A record is a CBOR map from field name to value; `unpack` refuses missing and unknown fields, wrong types and values
out of bounds, and names the field. Integers are unsigned below 2^63 unless a field says otherwise. Rules E10 to E14 of
``specs/01-encoding.md``.
"""

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Final, NoReturn, TypeVar, get_args

import attrs
import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn_from_attrs

from . import codec
from .errors import DecodeError

T = TypeVar("T")

UINT_MAX: Final = (1 << 63) - 1
"""The largest integer a record holds where nothing else is said: it fits every database and language."""


def uint(*, most: int = UINT_MAX, least: int = 0, default: Any = attrs.NOTHING) -> Any:
    """A field for an integer within `least`..`most`."""

    def check(_self: object, attribute: "attrs.Attribute[int]", value: int) -> None:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{attribute.name}: {value!r} is outside {least}..{most}")

    return attrs.field(validator=check, default=default)


def octets(size: int | None = None, *, most: int = codec.MAX_SIZE, default: Any = attrs.NOTHING) -> Any:
    """A field for a byte string of exactly `size`, or of at most `most` bytes."""

    def check(_self: object, attribute: "attrs.Attribute[bytes]", value: bytes) -> None:
        if type(value) is not bytes or len(value) > most or (size is not None and len(value) != size):
            wanted = f"{size}" if size is not None else f"at most {most}"
            raise ValueError(f"{attribute.name}: {wanted} bytes are needed")

    return attrs.field(validator=check, default=default)


def text(*, most: int = 64, default: Any = attrs.NOTHING) -> Any:
    """A field for text of at most `most` characters."""

    def check(_self: object, attribute: "attrs.Attribute[str]", value: str) -> None:
        if type(value) is not str or len(value) > most:
            raise ValueError(f"{attribute.name}: text of at most {most} characters is needed")

    return attrs.field(validator=check, default=default)


def pack(record: object) -> bytes:
    """The encoding of an attrs instance."""
    return codec.encode(_packer.unstructure(record))


def unpack(cls: type[T], data: bytes, *, max_size: int = codec.MAX_SIZE) -> T:
    """The `cls` whose encoding is `data`. Raises `DecodeError` naming the field that does not fit."""
    return structure(cls, codec.decode(data, max_size=max_size))


def to_value(record: object) -> Any:
    """`record` as maps, arrays and scalars, ready for `codec.encode`."""
    return _converter.unstructure(record)


def structure(cls: type[T], value: object) -> T:
    """A decoded value as `cls`. Raises `DecodeError` naming the field that does not fit."""
    try:
        return _converter.structure(value, cls)
    except Exception as error:  # cattrs raises whatever the hooks and validators raised: any of it is bad input
        raise DecodeError(f"not a {cls.__name__}: {error}", "see specs/01-encoding.md") from error


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _type: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{value!r:.60} is not a {kind.__name__}")
        return value

    return hook


def _integer(value: Any, _type: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r:.60} is not an integer")
    return value


def _array(value: Any, cls: Any) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r:.60} is not an array")
    item, *rest = get_args(cls)
    if rest == [...]:
        return tuple(_converter.structure(x, item) for x in value)
    if len(value) != 1 + len(rest):
        raise ValueError(f"an array of {len(value)} where {1 + len(rest)} belong")
    return tuple(_converter.structure(x, t) for x, t in zip(value, (item, *rest), strict=True))


def _optional(value: Any, cls: Any) -> Any:
    if value is None:
        return None
    (inner,) = (t for t in get_args(cls) if t is not type(None))
    return _converter.structure(value, inner)


def _record(cls: type[Any]) -> Callable[[Any, Any], Any]:
    build = make_dict_structure_fn(cls, _converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=False)
    wanted = {a.name for a in attrs.fields(cls)}

    def hook(value: Any, kind: Any) -> Any:
        if type(value) is not dict and not isinstance(value, Mapping):  # asking an abstract class takes its time
            raise ValueError(f"{value!r:.60} is not a map")
        if value.keys() != wanted:
            _refuse_names(wanted, set(value))
        return build(value, kind)

    return hook


def _refuse_names(wanted: set[str], given: set[Any]) -> NoReturn:
    if missing := wanted - given:  # a default in the class is for authors, never for the wire
        raise ValueError(f"{min(missing)} is missing")
    name = min(map(str, given - wanted))
    raise ValueError(f"{name if name.isidentifier() else repr(name):.60} is not a field")


def _is_optional(cls: Any) -> bool:
    arguments = get_args(cls)
    return isinstance(cls, UnionType) and len(arguments) == 2 and type(None) in arguments


def _in_order(cls: type[Any]) -> Callable[[Any], dict[str, Any]]:
    """Fields in the order of their encoded names, which nobody has to sort for each record then."""
    fields = sorted(attrs.fields(cls), key=lambda field: (len(field.name), field.name))
    return make_dict_unstructure_fn_from_attrs(fields, cls, _packer)


_converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)
for _kind in (bytes, str, bool):
    _converter.register_structure_hook(_kind, _exactly(_kind))
_converter.register_structure_hook(int, _integer)
_converter.register_unstructure_hook(bytes, lambda value: value)
_converter.register_structure_hook_factory(attrs.has, _record)
_converter.register_structure_hook_func(lambda cls: getattr(cls, "__origin__", None) is tuple, _array)
_converter.register_structure_hook_func(_is_optional, _optional)

_packer = cattrs.Converter()
_packer.register_unstructure_hook(bytes, lambda value: value)
_packer.register_unstructure_hook_factory(attrs.has, _in_order)
