"""One value as one type, exactly: cattrs by itself turns ``"64"`` into 64, 3.9 into 3 and ``"no"`` into True."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import cattrs


def convert(value: Any, kind: Any) -> Any:
    """`value` as a `kind`. Raises `ValueError` that shows value and type, or an error of cattrs' own."""
    return _converter.structure(value, kind)


def with_article(kind: Any) -> str:
    """How a message names a type: ``an int``."""
    name = str(kind) if get_origin(kind) else getattr(kind, "__name__", str(kind))
    name = name.replace("typing.", "")
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _base(kind: Any) -> Any:
    return get_origin(kind) or kind


def _exactly(wanted: type[Any]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _type: Any) -> Any:
        if type(value) is not wanted:
            quoted = f'; write it in quotes: "{value}"' if wanted is str and isinstance(value, (int, float)) else ""
            raise ValueError(f"{value!r:.60} is not {with_article(wanted)}{quoted}")
        return value

    return hook


def _float(value: Any, _type: Any) -> float:
    if type(value) not in (int, float) or math.isnan(value):
        raise ValueError(f"{value!r:.60} is not a float")
    return float(value)


def _path(value: Any, _type: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise ValueError(f"{value!r:.60} is not a path")
    return Path(value).expanduser()


def _literal(value: Any, kind: Any) -> Any:
    for choice in get_args(kind):
        if type(choice) is type(value) and choice == value:
            return choice
    choices = ", ".join(repr(choice) for choice in get_args(kind))
    close = get_close_matches(str(value), [str(choice) for choice in get_args(kind)], 1)
    raise ValueError(f"{value!r:.60} is not one of {choices}" + (f"; did you mean {close[0]}?" if close else ""))


def _array(value: Any, kind: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r:.60} is not an array")
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments[-1:] != (...,):
        if len(value) != len(arguments):
            raise ValueError(f"{value!r:.60} does not have {len(arguments)} items")
        return tuple(_converter.structure(item, one) for item, one in zip(value, arguments, strict=True))
    inner = arguments[0] if arguments else Any
    return (get_origin(kind) or kind)(_converter.structure(item, inner) for item in value)


def _optional(value: Any, kind: Any) -> Any:
    """`value` as the first member of the union that takes it as it is."""
    if value is None and NoneType in get_args(kind):
        return None
    members = [member for member in get_args(kind) if member is not NoneType]
    first: ValueError | None = None
    for member in members:
        try:
            return _converter.structure(value, member)
        except ValueError as error:
            first = first or error
    if len(members) == 1 and first is not None:
        raise first
    raise ValueError(f"{value!r:.60} is none of {', '.join(with_article(member) for member in members)}")


_converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=False)
for _kind in (bool, int, str):
    _converter.register_structure_hook(_kind, _exactly(_kind))
_converter.register_structure_hook(float, _float)
_converter.register_structure_hook(Path, _path)
_converter.register_structure_hook_func(lambda kind: _base(kind) is Literal, _literal)
_converter.register_structure_hook_func(lambda kind: _base(kind) in (tuple, list, frozenset), _array)
_converter.register_structure_hook_func(lambda kind: _base(kind) in (Union, UnionType), _optional)
