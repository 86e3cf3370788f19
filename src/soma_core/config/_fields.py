"""Values given by name, against a frozen attrs class: field by field, every problem at once.

attrs' own ``__init__`` stops at the first validator; each is asked by itself here.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_type_hints

import attrs

from soma_core.api.spec import Bounds

HIDDEN: Final = "(hidden)"
DEFAULT: Final = "default"


class Given(NamedTuple):
    """A value and where it came from."""

    value: Any
    origin: str


class Row(NamedTuple):
    """A setting as ``soma config show`` prints it. A secret's value is `HIDDEN`."""

    section: str
    key: str
    value: Any
    origin: str
    help: str


class Structured(NamedTuple):
    """What became of a section: an instance, or problems; and its rows either way."""

    instance: Any
    problems: tuple[str, ...]
    rows: tuple[Row, ...]


def structure(
    cls: type[Any],
    given: Mapping[str, Given],
    section: str,
    *,
    where: str,
    elsewhere: Mapping[str, str] | None = None,
) -> Structured:
    """`given` as an instance of the attrs class `cls`.

    `where` is the origin shown for a required setting nobody gave. `elsewhere` names settings that are not settings of
    this class and says what they are.
    """
    fields = {field.alias or field.name: field for field in attrs.fields(cls) if field.init}
    types = get_type_hints(cls)
    problems: list[str] = []
    values: dict[str, Any] = {}
    rows: list[Row] = []
    for key in given:
        if key not in fields:
            remedy = (elsewhere or {}).get(key) or _did_you_mean(key, fields)
            problems.append(f"{given[key].origin}: {section}.{key}: no such setting; {remedy}")
    for key, field in fields.items():
        bounds: Bounds = field.metadata.get("soma", Bounds("", None, None, secret=False))
        own = given.get(key)
        value: Any = own.value if own else attrs.NOTHING
        origin = own.origin if own else DEFAULT
        if value is attrs.NOTHING:
            if field.default is attrs.NOTHING:
                problems.append(f"{where}: {section}.{key}: required; {bounds.help or 'give it a value'}")
                continue
            value = _default(field)
        else:
            try:
                value = _converted(field, types[field.name], value, bounds)
            except ValueError as error:
                problems.append(f"{origin}: {section}.{key}: {error}")
                continue
        values[key] = value
        rows.append(Row(section, key, HIDDEN if bounds.secret and value else value, origin, bounds.help))
    problems += _validated(cls, fields, values, given, section)
    if problems:
        return Structured(None, tuple(problems), tuple(rows))
    try:
        return Structured(cls(**values), (), tuple(rows))
    except (ValueError, TypeError) as error:  # an author's own check of the whole
        return Structured(None, (f"{where}: {section}: {error}",), tuple(rows))


def secrets_of(cls: type[Any]) -> frozenset[str]:
    """Names of the settings of `cls` that are never shown."""
    return frozenset(
        field.alias or field.name
        for field in attrs.fields(cls)
        if field.metadata.get("soma", Bounds("", None, None, secret=False)).secret
    )


def plain(value: Any) -> Any:
    """`value` as JSON and TOML can show it."""
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in (sorted(value, key=str) if isinstance(value, frozenset) else value)]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _did_you_mean(key: str, fields: Mapping[str, object]) -> str:
    close = get_close_matches(key, list(fields), 1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(fields)}" if fields else "this section has none"


def _default(field: "attrs.Attribute[Any]") -> Any:
    default = field.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type,union-attr]  # attrs types Factory as a function


def _converted(field: "attrs.Attribute[Any]", kind: Any, value: Any, bounds: Bounds) -> Any:
    if field.converter is not None:  # the annotation is what the author's converter makes of it
        return value
    from ._convert import convert, with_article  # cattrs: not for who only lists

    try:
        converted = convert(value, kind)
        _check_bounds(converted, bounds)
    except Exception as error:
        if bounds.secret:
            raise ValueError(f"does not fit; it has to be {with_article(kind)}") from None
        if isinstance(error, ValueError):
            raise
        raise ValueError(f"{value!r:.60} is not {with_article(kind)}") from error
    return converted


def _check_bounds(value: Any, bounds: Bounds) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return
    low, high = bounds.min, bounds.max
    if low is not None and high is not None and not low <= value <= high:
        raise ValueError(f"{value} is outside {low}..{high}")
    if low is not None and not value >= low:
        raise ValueError(f"{value} is below {low}")
    if high is not None and not value <= high:
        raise ValueError(f"{value} is above {high}")


def _validated(
    cls: type[Any],
    fields: "Mapping[str, attrs.Attribute[Any]]",
    values: Mapping[str, Any],
    given: Mapping[str, Given],
    section: str,
) -> list[str]:
    """The problems that attrs validators of single fields find, each asked by itself."""
    problems = []
    whole: Any = object.__new__(cls)
    for key, value in values.items():
        object.__setattr__(whole, fields[key].name, value)
    for key, value in values.items():
        validator, own = fields[key].validator, given.get(key)
        if validator is not None and own is not None and fields[key].converter is None:
            try:
                validator(whole, fields[key], value)
            except Exception as error:  # noqa: BLE001  # validators raise what they like: all of it is bad input
                said = str(error.args[0]) if error.args else type(error).__name__
                secret = fields[key].metadata.get("soma", Bounds("", None, None, secret=False)).secret
                problems.append(f"{own.origin}: {section}.{key}: {'does not fit' if secret else said}")
    return problems
