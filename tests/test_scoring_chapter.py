"""The chapter of the shard rule, its vectors and the plugin say the same."""

import json
from pathlib import Path

import attrs
import pytest
from constants import SPECS, constants
from vectors import DIRECTORY, load

from soma_core.errors import DecodeError
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
    assert constants("30-shard-rule.md").keys() == both[0] & both[1] - {"bond_byte", "hit_loss"} | {"outlier_fine"}


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
        ("31-target-rules.md", "TR", 21),
    ],
)
def test_rules_are_numbered_without_gaps(chapter: str, letter: str, count: int) -> None:
    text = (SPECS / chapter).read_text("utf-8")
    found = [line.split("**")[1] for line in text.splitlines() if line.startswith(f"**{letter}")]
    assert found == [f"{letter}{number}." for number in range(1, count + 1)]


def test_cases_of_the_chain_hold_and_a_wrong_one_is_found(tmp_path: Path) -> None:
    file = load("chain_cases.json")
    found = list(conformance_vectors(DIRECTORY / "chain_cases.json"))
    assert [case for case in found if not case.ok] == []
    sections = {name: cases for name, cases in file.items() if name != "format"}
    assert len(found) == sum(map(len, sections.values()))
    assert set(sections) == {"assignment", "points", "difficulty", "voting_power", "splits"}
    path = tmp_path / "changed.json"
    for name, (first, *_) in sections.items():
        path.write_text(json.dumps({"format": file["format"], name: [{**first, "out": 0}], "weather": []}))
        assert [case.ok for case in conformance_vectors(path)] == [False, False]
        path.write_text(json.dumps({"format": file["format"], name: [{"in": {}, "out": 0}]}))
        with pytest.raises(DecodeError, match=name):
            list(conformance_vectors(path))
