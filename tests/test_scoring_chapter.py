"""The chapter of the shard rule, its vectors and the plugin say the same."""

import attrs
import pytest
from constants import SPECS, constants
from vectors import DIRECTORY, load

from soma_scoring import Params, conformance_vectors
from soma_scoring.balanced import Params as BalancedParams


def test_constants_are_those_of_the_plugin() -> None:
    """Those of the shard rule stand in its chapter, those of targets in theirs; both rules share the first."""
    written = constants("30-shard-rule.md") | constants("31-target-rules.md")
    both = [set(attrs.fields_dict(params)) for params in (Params, BalancedParams)]
    for params in (Params(), BalancedParams()):
        defaults = {name: getattr(params, name) for name in attrs.fields_dict(type(params))}
        assert defaults == {name: written[name] for name in defaults}
    assert written.keys() == both[0] | both[1]
    assert constants("30-shard-rule.md").keys() == both[0] & both[1] - {"bond_byte"} | {"outlier_fine"}


@pytest.mark.parametrize(("name", "jobs"), [("shard_rule.json", 12), ("shard_edge.json", 41)])
def test_vectors_hold(name: str, jobs: int) -> None:
    assert len(load(name)["cases"]) == jobs
    assert [case for case in conformance_vectors(DIRECTORY / name) if not case.ok] == []


@pytest.mark.parametrize(
    ("chapter", "letter", "count"),
    [
        ("03-quantiser.md", "Q", 15),
        ("04-beacon.md", "B", 9),
        ("30-shard-rule.md", "R", 25),
        ("31-target-rules.md", "TR", 20),
    ],
)
def test_rules_are_numbered_without_gaps(chapter: str, letter: str, count: int) -> None:
    text = (SPECS / chapter).read_text("utf-8")
    found = [line.split("**")[1] for line in text.splitlines() if line.startswith(f"**{letter}")]
    assert found == [f"{letter}{number}." for number in range(1, count + 1)]
