"""The vectors of `specs/vectors`, and the record of which of them a test run has read.

A vector file that no test reads is a rule that nobody checks: `conftest.py` fails a whole run for it.
"""

import json
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).resolve().parents[1] / "specs" / "vectors"
_READ: Final[set[str]] = set()


def load(name: str) -> Any:
    """The parsed vector file `name`, marked as read."""
    _READ.add(name)
    return json.loads((DIRECTORY / name).read_text("utf-8"))


def unread() -> list[str]:
    """Names of vector files nobody has loaded in this process."""
    return sorted(path.name for path in DIRECTORY.glob("*.json") if path.name not in _READ)
