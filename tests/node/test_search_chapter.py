"""``specs/84-search.md`` and the code say the same."""

from types import ModuleType

import attrs
import pytest
from constants import SPECS, constants

from soma_core.api import index, searching
from soma_core.node import indexing
from soma_core.node import searching as answering

TEXT = (SPECS / "84-search.md").read_text("utf-8")


def test_every_constant_stands_in_the_table() -> None:
    def named(module: ModuleType) -> dict[str, int]:
        return {name: value for name, value in vars(module).items() if name.isupper() and type(value) is int}

    modules = (indexing, answering, searching)
    in_code = {name: value for module in modules for name, value in named(module).items()}
    assert constants("84-search.md") == {name: value for name, value in in_code.items() if name != "MAX_COMMIT"}


def test_an_index_takes_what_a_search_may_ask() -> None:
    assert answering.ASKED_MOST <= index.MAX_FOUND
    assert searching.VECTOR_MOST == 4 * index.MAX_DIM


@pytest.mark.parametrize(
    "record", [searching.Search, searching.Wanted, searching.Near, searching.Found, indexing.Looked]
)
def test_every_field_stands_in_the_chapter(record: type) -> None:
    assert [a.name for a in attrs.fields(record) if f"`{a.name}`" not in TEXT] == []


def test_every_label_stands_in_the_chapter() -> None:
    assert [name for name in searching.LABELS if f"`{name}`" not in TEXT] == []
