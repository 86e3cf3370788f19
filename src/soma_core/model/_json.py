"""JSON that somebody else wrote, strictly: UTF-8, no name twice in an object, no NaN, nothing deep."""

import json
from typing import Any, Final

MAX_NESTED: Final = 4
"""Objects and arrays that a value may stand inside: a weights file's header needs 3."""


def read_json(text: str | bytes) -> Any:
    """The value that `text` is. Raises `ValueError` for anything else; whatever it returns can be shown."""
    try:
        value = json.loads(
            text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    _bound(value, MAX_NESTED)
    return value


def _bound(value: object, levels: int) -> None:
    if isinstance(value, (dict, list)):
        if levels == 0:
            raise ValueError(f"nested more than {MAX_NESTED} deep")
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            _bound(item, levels - 1)
    elif isinstance(value, str):
        value.encode("utf-8")  # an escaped half of a character has no UTF-8


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name stands twice")
    return out


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")
