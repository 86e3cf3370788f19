"""The vectors of the specification, by both implementations, and files that are no vectors."""

import json
from pathlib import Path
from typing import Any

import plain_rule
import pytest
from attrs import evolve

from soma_core.api import Payment, Settlement
from soma_core.errors import DecodeError
from soma_scoring import _vectors, conformance_vectors
from soma_scoring._soma import SomaRule

VECTORS = Path(__file__).resolve().parents[3] / "specs" / "vectors"
FILES = ("shard_rule.json", "shard_edge.json")


def content(name: str) -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def plain(value: Any) -> Any:
    return {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", FILES)
def test_every_case_of_the_specification_holds(name: str) -> None:
    cases = list(conformance_vectors(VECTORS / name))
    assert [case for case in cases if not case.ok] == []
    assert {case["name"] for case in content(name)["cases"]} <= {case.name for case in cases}


def test_a_rule_that_splits_a_pot_wrongly_fails_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    class Short(SomaRule):
        def settle(self, pot: int, *rest: Any) -> Settlement:
            settled = super().settle(pot, *rest)
            return evolve(settled, payments=(*settled.payments, Payment("submitter", 1, "refund")))

    monkeypatch.setattr(_vectors, "SomaRule", Short)
    jobs = {case["name"] for case in content("shard_rule.json")["cases"]}
    failed = {case.name for case in conformance_vectors(VECTORS / "shard_rule.json") if "to the pot of" in case.detail}
    assert failed == jobs


def test_every_function_value_is_a_case_of_its_own() -> None:
    rows = content("shard_rule.json")["functions"]
    assert len(list(conformance_vectors(VECTORS / "shard_rule.json"))) == 12 + 1 + sum(
        len(values) for values in rows.values() if not isinstance(values, str)
    )


@pytest.mark.parametrize("name", FILES)
def test_the_second_implementation_agrees_with_the_vectors(name: str) -> None:
    file = content(name)
    for case in file["cases"]:
        found = plain_rule.settle(case["members"], case["settled"], case["pot"], file["dimension"])
        wanted = {key: value for key, value in case["result"].items() if key in found}
        assert {key: plain(found[key]) for key in wanted} == wanted, case["name"]


def test_the_second_implementation_agrees_with_the_function_values() -> None:
    rows = content("shard_rule.json")["functions"]
    for name in ("exp2neg", "log2q", "half_even"):
        for *arguments, wanted in rows[name]:
            assert getattr(plain_rule, name)(*arguments) == wanted
    for given, wanted in rows["quantise"]:
        assert plain_rule.quant(given) == wanted
    for given, wanted in rows["geometric_median"]:
        assert plain_rule.geometric_median(given) == wanted
    for key, wanted in rows["table"].items():
        assert plain_rule.entry(int(key)) == wanted


def test_any_changed_value_is_found(tmp_path: Path) -> None:
    """Each value a result may hold, made wrong, fails its case and names itself."""
    file = content("shard_edge.json")
    case = next(case for case in file["cases"] if case["name"].startswith("five groups"))
    path = tmp_path / "changed.json"
    for key in case["result"]:
        wrong = {**case, "result": {**case["result"], key: "something else"}}
        path.write_text(json.dumps({"cases": [wrong]}), "utf-8")
        (found,) = conformance_vectors(path)
        assert not found.ok, key
        assert found.detail.startswith(f"{key}: found"), found.detail


def test_cases_of_the_chain_are_run_by_the_rule(tmp_path: Path) -> None:
    assert [case for case in conformance_vectors(VECTORS / "chain_cases.json") if not case.ok] == []
    file = content("chain_cases.json")
    file["assignment"][0]["out"].reverse()
    path = tmp_path / "turned.json"
    path.write_text(json.dumps(file), "utf-8")
    assert [case.name for case in conformance_vectors(path) if not case.ok] == ["assignment[0]"]


def test_the_order_of_sets_and_fines_of_nothing_do_not_matter(tmp_path: Path) -> None:
    file = content("shard_edge.json")
    case = next(case for case in file["cases"] if len(case["result"]["flagged"]) == 2)
    case["result"]["flagged"].reverse()
    case["result"]["valid"].reverse()
    case["result"]["fine"]["0"] = 0
    path = tmp_path / "turned.json"
    path.write_text(json.dumps({"cases": [case]}), "utf-8")
    assert [found.ok for found in conformance_vectors(path)] == [True]


@pytest.mark.parametrize(
    ("functions", "detail"),
    [
        ({"log2q": [[8, 196609]]}, "found 196608, not 196609"),
        ({"log2q": [[0, 0]]}, "there is a logarithm only from 1 on, not 0"),
        ({"half_even": [[1, 0, 0]]}, "division"),
        ({"quantise": [[[0, 0], [0, 0]]]}, "a vector of zeros has no direction"),
        ({"table": {"1": 5}}, "found 4292061009, not 5"),
        ({"table_blake2b_256": "00"}, "not 00"),
        ({"geometric_median": [[[[1, 2]], [1, 3]]]}, "found [1, 2], not [1, 3]"),
        ({"sinq": [[0, 0]]}, "a function that this version of the rule does not know"),
    ],
)
def test_a_wrong_function_value_is_a_failing_case(tmp_path: Path, functions: Any, detail: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"functions": functions}), "utf-8")
    (case,) = conformance_vectors(path)
    assert not case.ok
    assert detail in case.detail


def test_what_a_later_version_may_add_fails_without_hiding_the_rest(tmp_path: Path) -> None:
    case = content("shard_edge.json")["cases"][0]
    later = {**case, "weather": "fine"}
    unknown = {**case, "result": {**case["result"], "mood": 1}}
    path = tmp_path / "later.json"
    path.write_text(json.dumps({"title": "t", "audits": [], "cases": [case, later, unknown]}), "utf-8")
    found = list(conformance_vectors(path))
    assert [case.ok for case in found] == [False, True, False, False]
    assert found[0].name == "audits"
    assert "weather" in found[2].detail
    assert found[3].detail == "mood: the rule finds no such value"


MEMBER = {"l": 0, "z": None, "reg": 0, "G": 0, "opaque": False, "own": True, "stake": 0, "verdict": None}
CASE = {"name": "n", "pot": 0, "members": [MEMBER], "settled": [], "result": {}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        "\u0000",
        '{"functions": []}',
        '{"cases": {}}',
        '{"functions": {"log2q": [[1]]}}',
        '{"functions": {"log2q": [1]}}',
        '{"functions": {"log2q": [[1.5, 2]]}}',
        '{"functions": {"cosq": [[1, 2, 3]]}}',
        '{"functions": {"table": {"1024": 1}}}',
        '{"functions": {"table": {"-1": 1}}}',
        '{"functions": {"table": [1]}}',
        '{"functions": {"quantise": [[[1, 2]]]}}',
        '{"functions": {"geometric_median": [[[[1, 2], [3]], [1, 2]]]}}',
        '{"functions": {"geometric_median": [[[], []]]}}',
        '{"functions": {"geometric_median": [[[[99999]], [1]]]}}',
        '{"cases": [1]}',
        '{"cases": [{}]}',
        "[" * 100_000,
        json.dumps({"cases": [{**CASE, "pot": "1"}]}),
        json.dumps({"cases": [{**CASE, "result": []}]}),
        json.dumps({"cases": [{**CASE, "settled": [[40000]]}]}),
        json.dumps({"cases": [{**CASE, "members": [{**MEMBER, "z": [0.5]}]}]}),
        json.dumps({"cases": [{**CASE, "members": [{**MEMBER, "z": [1 << 70]}]}]}),
        json.dumps({"cases": [{**CASE, "members": [{**MEMBER, "opaque": 1}]}]}),
        json.dumps({"cases": [{**CASE, "members": [{**MEMBER, "verdict": "guilty"}]}]}),
        json.dumps({"cases": [{**CASE, "members": [{**MEMBER, "verdict": []}]}]}),
        json.dumps({"cases": [{**CASE, "members": [{key: MEMBER[key] for key in MEMBER if key != "own"}]}]}),
    ],
)
def test_a_malformed_file_is_refused_by_name_before_anything_runs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "malformed.json"
    path.write_text(text, "utf-8")
    with pytest.raises(DecodeError, match=r"malformed\.json: .*see specs/30-shard-rule\.md"):
        list(conformance_vectors(path))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bytes.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DecodeError, match=r"bytes\.json: not JSON"):
        list(conformance_vectors(path))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(conformance_vectors(tmp_path / "nowhere.json"))
