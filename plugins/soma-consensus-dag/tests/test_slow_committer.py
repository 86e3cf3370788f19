"""The slow reference gives what the case files say: without that it could not be a judge of the fast one."""

import json
from pathlib import Path
from typing import Any

import pytest
import slow_committer as slow

VECTORS = Path(__file__).resolve().parents[3] / "specs" / "vectors"
FILES = [json.loads((VECTORS / name).read_text("utf-8")) for name in ("consensus_cases.json", "dag_cases.json")]
CASES = [pytest.param(case, id=case["id"]) for file in FILES for case in file["committer_cases"]]
TABLES = {
    name: [row for file in FILES for row in file["auxiliary"].get(name, [])]
    for name in FILES[0]["auxiliary"]
    if name != "block_validity"
}
BLOCKS = [(part, case) for file in FILES if (part := file["auxiliary"].get("block_validity")) for case in part["cases"]]


@pytest.mark.parametrize("case", CASES)
def test_a_case_comes_out_as_the_file_says(case: Any) -> None:
    assert slow.expectation(case) == case["expect"]


@pytest.mark.parametrize("case", CASES)
def test_the_other_ways_to_blame_come_out_as_the_file_says(case: Any) -> None:
    for blame in ("slot", "author"):
        wanted = (case["variant_decisions"] or {}).get(blame, case["expect"]["decisions"])
        assert slow.expectation(case, blame)["decisions"] == wanted, blame


@pytest.mark.parametrize("case", CASES)
def test_a_case_states_its_thresholds(case: Any) -> None:
    committee = case["committee"]
    found = slow.thresholds(sum(committee["stakes"]))
    assert committee["size"] == len(committee["stakes"])
    assert committee["total"] == sum(committee["stakes"])
    assert (committee["fault"], committee["quorum"]) == (found["fault"], found["quorum"])


def test_thresholds() -> None:
    for row in TABLES["thresholds"]:
        found = slow.thresholds(row["total"])
        assert found == {name: row[name] for name in found}


def test_two_round_thresholds() -> None:
    for row in TABLES["two_round_thresholds"]:
        assert slow.two_round_thresholds(row["total"], row["malicious"], row["crash"]) == row["expect"]


def test_threshold_clock() -> None:
    for row in TABLES["threshold_clock"]:
        assert slow.clock_after_each(row["stakes"], row["start"], row["blocks"]) == row["clock_after_each"]


def test_quorum_commit_index() -> None:
    for row in TABLES["quorum_commit_index"]:
        assert slow.quorum_commit_index(row["stakes"], row["highest_voted"]) == row["expect"]


def test_commit_timestamp() -> None:
    for row in TABLES["commit_timestamp"]:
        assert (
            slow.commit_timestamp([(time, stake) for time, stake in row["parents"]], row["previous"]) == row["expect"]
        )


def test_gc_round() -> None:
    for row in TABLES["gc_round"]:
        assert slow.gc_round(row["last_commit_leader_round"], row["gc_depth"]) == row["expect"]


@pytest.mark.parametrize(("part", "case"), [pytest.param(part, case, id=case["id"]) for part, case in BLOCKS])
def test_block_validity(part: Any, case: Any) -> None:
    block = {**part["block"], "ancestors": case["ancestors"], **case.get("override", {})}
    found = slow.validity(part["committee"]["stakes"], part["block"]["epoch"], block, case.get("limits", {}))
    assert found == case["expect"]
