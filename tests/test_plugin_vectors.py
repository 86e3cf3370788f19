"""`specs/vectors/plugins.json`: names, choice, and how text becomes a value."""

from typing import Any

import pytest
from vectors import load

from soma_core.config._sources import section_names, toml_or_text
from soma_core.errors import PluginError
from soma_core.plugins import Plugin, Plugins, complete

VECTORS: dict[str, Any] = load("plugins.json")


def plugin(name: str) -> Plugin:
    return Plugin(name, name.replace("-", "_"), f"soma-{name}", "1", "soma-core")


@pytest.mark.parametrize("case", VECTORS["names"]["valid"], ids=lambda case: case["name"])
def test_names(case: dict[str, str]) -> None:
    found = plugin(case["name"])
    assert (found.kind, found.short) == (case["kind"], case["short"])
    assert list(section_names([case["name"]])) == [case["section"]]


@pytest.mark.parametrize("name", VECTORS["names"]["invalid"], ids=repr)
def test_names_that_are_none(name: str) -> None:
    assert (plugin(name).kind, plugin(name).short) == ("", "")


@pytest.mark.parametrize("case", VECTORS["chosen"], ids=lambda case: "+".join(case["named"]))
def test_choice(case: dict[str, list[str]]) -> None:
    assert list(complete(case["named"])) == case["chosen"]


@pytest.mark.parametrize("case", VECTORS["exclusive"], ids=lambda case: "+".join(case["named"]))
def test_exclusive_kinds(case: dict[str, Any]) -> None:
    plugins = Plugins([plugin(name) for name in (*case["named"], "transport-libp2p", "ledger-sqlite")][::-1])
    unique = Plugins(dict.fromkeys(plugins.installed))
    with pytest.raises(PluginError) as caught:
        unique.select(case["named"])
    assert str(caught.value) == case["error"]


@pytest.mark.parametrize("case", VECTORS["values"], ids=lambda case: repr(case["text"]))
def test_text_becomes_a_value(case: dict[str, Any]) -> None:
    value = toml_or_text(case["text"])
    assert value == case["value"]
    assert type(value) is type(case["value"])
