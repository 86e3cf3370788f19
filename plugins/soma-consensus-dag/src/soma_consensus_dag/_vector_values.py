"""Values of vector files: each function gives its value back, or raises ValueError if it is not what belongs there."""

from typing import Any, Final

from ._committee import Committee

MOST_STAKE: Final = 1 << 128
"""Of one member."""
_MOST_MEMBERS: Final = 1_000


def integer(value: Any) -> int:
    """A whole number."""
    if type(value) is not int:
        raise ValueError(f"{value!r:.40} is not an integer")
    return value


def between(least: int, value: Any, most: int) -> int:
    """A whole number within bounds."""
    if not least <= integer(value) <= most:
        raise ValueError(f"{value} is not from {least} to {most}")
    return int(value)


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise ValueError(f"{value!r:.40} is not true or false")
    return value


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is not text")
    return value


def list_of(value: Any) -> Any:
    """A list."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.40} is not a list")
    return value


def committee_of(stakes: Any) -> Committee:
    """A committee of members with these stakes."""
    if not 1 <= len(list_of(stakes)) <= _MOST_MEMBERS:
        raise ValueError(f"a committee has 1 to {_MOST_MEMBERS} members")
    return Committee([between(1, stake, MOST_STAKE) for stake in stakes])
