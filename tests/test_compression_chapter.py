"""``specs/82-compression.md`` and the code have the same numbers."""

from typing import Any

from constants import constants

from soma_core.api import MAX_BLOCK
from soma_core.cli import _container
from soma_symbols.coding import _contexts, _engine, _engine_tables, _grammar, _logistic, _matches, _mixing, _numbers

HOMES: tuple[Any, ...] = (
    _container,
    _contexts,
    _engine,
    _engine_tables,
    _grammar,
    _logistic,
    _matches,
    _mixing,
    _numbers,
)


def test_constants_are_those_of_the_code() -> None:
    written = constants("82-compression.md")
    assert written.pop("MAX_BLOCK") == MAX_BLOCK
    for name, value in written.items():
        assert {getattr(home, name) for home in HOMES if hasattr(home, name)} == {value}, name
