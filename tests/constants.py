"""The tables of constants in the chapters of the specification."""

import re
from pathlib import Path
from typing import Final

SPECS: Final = Path(__file__).resolve().parents[1] / "specs"
_ROW: Final = re.compile(r"^\| `(\w+)` \| (-?\d+) \|", re.MULTILINE)


def constants(chapter: str) -> dict[str, int]:
    """Name → value of each row ``| `NAME` | VALUE | …`` of a chapter, such as ``03-quantiser.md``."""
    return {name: int(value) for name, value in _ROW.findall((SPECS / chapter).read_text("utf-8"))}
