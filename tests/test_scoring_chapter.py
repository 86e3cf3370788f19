"""The chapter of the shard rule, its vectors and the plugin say the same."""

import attrs
import pytest
from constants import SPECS, constants
from vectors import DIRECTORY, load

from soma_scoring import Params, conformance_vectors


def test_constants_are_those_of_the_plugin() -> None:
    params = Params()
    fields = [attribute.name for attribute in attrs.fields(Params)]
    assert constants("30-shard-rule.md") == {name: getattr(params, name) for name in fields}


@pytest.mark.parametrize(("name", "jobs"), [("shard_rule.json", 12), ("shard_edge.json", 41)])
def test_vectors_hold(name: str, jobs: int) -> None:
    assert len(load(name)["cases"]) == jobs
    assert [case for case in conformance_vectors(DIRECTORY / name) if not case.ok] == []


@pytest.mark.parametrize(
    ("chapter", "letter", "count"),
    [("03-quantiser.md", "Q", 15), ("04-beacon.md", "B", 9), ("30-shard-rule.md", "R", 24)],
)
def test_rules_are_numbered_without_gaps(chapter: str, letter: str, count: int) -> None:
    text = (SPECS / chapter).read_text("utf-8")
    found = [line.split("**")[1] for line in text.splitlines() if line.startswith(f"**{letter}")]
    assert found == [f"{letter}{number}." for number in range(1, count + 1)]
