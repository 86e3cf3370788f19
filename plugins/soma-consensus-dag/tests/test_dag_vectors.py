"""Vector files: all of the specification's hold, whatever is changed in one is found, and what is none is refused."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from soma_consensus_dag import conformance_vectors
from soma_core.errors import DecodeError

VECTORS = Path(__file__).resolve().parents[3] / "specs" / "vectors"
FILES = ("consensus_cases.json", "dag_cases.json")


def content(name: str = "dag_cases.json") -> Any:
    return json.loads((VECTORS / name).read_text("utf-8"))


def case_named(name: str) -> Any:
    return next(case for file in FILES for case in content(file)["committer_cases"] if case["id"] == name)


def run(path: Path, **sections: Any) -> list[Any]:
    path = path / "some.json"
    path.write_text(json.dumps({"format": "soma-consensus-cases/1", **sections}), "utf-8")
    return list(conformance_vectors(path))


@pytest.mark.parametrize("name", FILES)
def test_every_case_of_the_specification_holds(name: str) -> None:
    cases = list(conformance_vectors(VECTORS / name))
    assert [case for case in cases if not case.ok or case.detail] == []
    file = content(name)
    blocks = file["auxiliary"].pop("block_validity")["cases"]
    rows = sum(map(len, file["auxiliary"].values()))
    assert len(cases) == len(file["committer_cases"]) + len(blocks) + rows
    assert {case["id"] for case in file["committer_cases"]} <= {case.name for case in cases}


# What is changed is found. --------------------------------------------------------------------------------------------


def other(value: Any) -> Any:
    """Something of the same kind that is not `value`."""
    if isinstance(value, bool) or value is None:
        return "something else"
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value + "'"
    return [*value, "A1"]


def test_any_changed_decision_is_found(tmp_path: Path) -> None:
    case = case_named("anchor-decided-indirectly")
    places = [
        (part, at, key)
        for part in ("decisions", "sequence")
        for at, row in enumerate(case["expect"][part])
        for key in row
    ]
    assert len(places) == 7 * 5 + 7 * 3
    for part, at, key in places:
        changed = deepcopy(case)
        row = changed["expect"][part][at]
        row[key] = other(row[key])
        (found,) = run(tmp_path, committer_cases=[changed])
        assert not found.ok, (part, at, key)
        assert found.detail.startswith(f"order 0: {part}")


@pytest.mark.parametrize("part", ["decisions", "sequence", "sub_dags"])
def test_a_list_that_is_too_long_or_too_short_is_found(tmp_path: Path, part: str) -> None:
    for change in (lambda rows: rows[:-1], lambda rows: [*rows, rows[-1]]):
        changed = deepcopy(case_named("anchor-decided-indirectly"))
        changed["expect"][part] = change(changed["expect"][part])
        (found,) = run(tmp_path, committer_cases=[changed])
        assert not found.ok


def test_another_order_in_a_sub_dag_is_found(tmp_path: Path) -> None:
    changed = deepcopy(case_named("twins-in-one-sub-dag"))
    changed["expect"]["sub_dags"][-1][:2] = ["D1'", "D1"]
    (found,) = run(tmp_path, committer_cases=[changed])
    assert "sub-DAGs[2]: found ['D1', \"D1'\"" in found.detail


def test_a_changed_variant_is_found(tmp_path: Path) -> None:
    changed = deepcopy(case_named("weak-link-is-blame"))
    changed["variant_decisions"]["author"] = changed["expect"]["decisions"]
    (found,) = run(tmp_path, committer_cases=[changed])
    assert found.detail.startswith("order 0: decisions by author[2]")


@pytest.mark.parametrize("key", ["size", "total", "fault", "quorum"])
def test_a_changed_committee_is_found(tmp_path: Path, key: str) -> None:
    changed = deepcopy(case_named("gc-cut"))
    changed["committee"][key] += 1
    (found,) = run(tmp_path, committer_cases=[changed])
    assert found.detail.startswith(f"{key}: found")


def test_more_lies_than_the_committee_bears_are_a_failure_in_words(tmp_path: Path) -> None:
    """Everybody makes twins, so that two blocks of the leader have a certificate. (Each is blamed by all as well.)"""
    case = deepcopy(case_named("p1-direct-commit"))
    case["rule"]["blame"] = "slot"
    case["blocks"] = [block for block in case["blocks"] if block["round"] < 1]
    for round_, twin in ((1, ""), (1, "'"), (2, ""), (2, "'"), (3, ""), (3, "'")):
        for author, letter in enumerate("ABCD"):
            parents = [f"{one}{round_ - 1}{twin if round_ > 1 else ''}" for one in letter + "ABCD".replace(letter, "")]
            case["blocks"].append(
                {"id": f"{letter}{round_}{twin}", "author": author, "round": round_, "parents": parents}
            )
    (found,) = run(tmp_path, committer_cases=[case])
    assert "two blocks of slot (1, 0) have a certificate" in found.detail


def test_any_changed_result_in_a_table_is_found(tmp_path: Path) -> None:
    results = {"fault", "quorum", "validity", "expect", "clock_after_each"}
    for table, rows in content("consensus_cases.json")["auxiliary"].items():
        for row in () if table == "block_validity" else rows:
            for key in results & set(row):
                value = row[key]
                wrong = {**value, "f": -1} if isinstance(value, dict) else other(value)
                (found,) = run(tmp_path, auxiliary={table: [{**row, key: wrong}]})
                assert found.name == f"{table}[0]"
                assert not found.ok


def validity(case: Any) -> dict[str, Any]:
    return {"block_validity": {**content()["auxiliary"]["block_validity"], "cases": [{"id": "this", **case}]}}


def test_a_wrong_label_is_found_and_one_of_their_own_is_held_to_refusal(tmp_path: Path) -> None:
    good, bad = ["C9", "A9", "D9"], ["C9", "B9", "D9"]
    for ancestors, label, ok in (
        (good, "ok", True),
        (good, "bad_author", False),
        (good, "not_nice", False),
        (bad, "ok", False),
        (bad, "bad_author", False),
        (bad, "not_nice", True),
    ):
        (found,) = run(tmp_path, auxiliary=validity({"ancestors": ancestors, "expect": label}))
        assert found.ok is ok
    assert found.detail == "refused as no_parent_quorum"


@pytest.mark.parametrize(
    ("case", "label"),
    [
        ({"override": {"epoch": 1}}, "bad_epoch"),
        ({"override": {"tx_bytes": [1] * 513}}, "too_many_txs"),
        ({"override": {"tx_bytes": [1] * 3}, "limits": {"max_count": 2}}, "too_many_txs"),
        ({"override": {"tx_bytes": [3]}, "limits": {"max_tx": 2}}, "tx_too_large"),
        ({"override": {"tx_bytes": [2, 2]}, "limits": {"max_total": 3}}, "block_too_large"),
        ({"ancestors": ["C9", "A9", "B9", "D9", "D8"]}, "too_many_ancestors"),
        ({"ancestors": ["C9", "A9", "B9", "B8"]}, "duplicate_ancestor"),
        ({"ancestors": ["C9", "A9", "B9", "D0'"]}, "bad_genesis"),
        ({"ancestors": ["C9", "A9", "B9", [9, 1 << 40]]}, "bad_author"),
        ({"ancestors": ["C9", "A9", "B9", "D0"]}, "ok"),
        ({"override": {"tx_bytes": [256 << 10, 256 << 10]}}, "ok"),
    ],
)
def test_what_a_block_is_refused_for(tmp_path: Path, case: Any, label: str) -> None:
    (found,) = run(tmp_path, auxiliary=validity({"ancestors": ["C9", "A9", "B9", "D9"], **case, "expect": label}))
    assert (found.ok, found.detail) == (True, "")


@pytest.mark.parametrize(
    ("sections", "name", "what"),
    [
        ({"three_round_cases": []}, "three_round_cases", "section"),
        ({"auxiliary": {"moons": []}}, "moons", "table"),
        (
            {"auxiliary": validity({"ancestors": ["C9"], "override": {"mood": 1}, "expect": "ok"})},
            "this",
            "field (mood)",
        ),
        ({"auxiliary": validity({"ancestors": ["C9"], "limits": {"max_mood": 1}, "expect": "ok"})}, "this", "max_mood"),
        ({"auxiliary": validity({"ancestors": ["?"], "expect": "ok"})}, "this", "way to write a reference"),
        ({"auxiliary": validity({"ancestors": [{}], "expect": "ok"})}, "this", "way to write a reference"),
    ],
)
def test_what_this_version_does_not_know_fails(tmp_path: Path, sections: Any, name: str, what: str) -> None:
    (found,) = run(tmp_path, **sections)
    assert name in found.name
    assert not found.ok
    assert what in found.detail
    assert "does not know" in found.detail


def test_unknown_schedules_and_ways_to_blame_fail(tmp_path: Path) -> None:
    for change in (
        {"leader_schedule": {"kind": "dice"}},
        {"blame": "mood"},
    ):
        changed = case_named("gc-cut")
        changed["rule"] |= change
        (found,) = run(tmp_path, committer_cases=[changed])
        assert found.name == "gc-cut"
        assert "does not know" in found.detail


def test_a_schedule_may_be_a_list_by_round(tmp_path: Path) -> None:
    case = case_named("ranks-by-the-schedule")
    slots = case["rule"]["leader_schedule"]["slots"]
    case["rule"]["leader_schedule"]["slots"] = [None, *(slots[str(round_)] for round_ in range(1, 6))]
    (found,) = run(tmp_path, committer_cases=[case])
    assert found.ok


def test_two_round_cases_and_notes_are_left_out(tmp_path: Path) -> None:
    two_round = content("consensus_cases.json")["two_round_cases"]
    assert run(tmp_path, two_round_cases=two_round, how_to_read={}, title="some", mutation_table=[]) == []


# What is no vector file is refused. -----------------------------------------------------------------------------------


def changed_case(change: Any) -> Any:
    case = case_named("gc-cut")
    change(case)
    return {"committer_cases": [case]}


@pytest.mark.parametrize(
    "sections",
    [
        {"committer_cases": {}},
        {"committer_cases": [5]},
        {"committer_cases": [{}]},
        {"auxiliary": []},
        {"auxiliary": {"thresholds": 5}},
        {"auxiliary": {"thresholds": [{"total": 0, "fault": 0, "quorum": 0, "validity": 0}]}},
        {"auxiliary": {"thresholds": [{"total": True, "fault": 0, "quorum": 0, "validity": 0}]}},
        {"auxiliary": {"gc_round": [{"last_commit_leader_round": "1", "gc_depth": 1, "expect": 0}]}},
        {"auxiliary": {"threshold_clock": [{"stakes": [], "start": 0, "blocks": [], "clock_after_each": []}]}},
        {"auxiliary": {"threshold_clock": [{"stakes": [1], "start": 0, "blocks": [[0, 1]], "clock_after_each": [0]}]}},
        {"auxiliary": {"threshold_clock": [{"stakes": [0], "start": 0, "blocks": [], "clock_after_each": []}]}},
        {"auxiliary": {"threshold_clock": [{"stakes": [1] * 1001, "start": 0, "blocks": [], "clock_after_each": []}]}},
        {"auxiliary": {"block_validity": {"cases": []}}},
        {"auxiliary": validity({"ancestors": [[9, -1]], "expect": "ok"})},
        {"auxiliary": validity({"ancestors": [[9, 1.5]], "expect": "ok"})},
        changed_case(lambda case: case["rule"].update(wave_length=2)),
        changed_case(lambda case: case["rule"].update(wave_length=10**9)),
        changed_case(lambda case: case["rule"].update(pipelined=1)),
        changed_case(lambda case: case["rule"].update(leaders_per_round=5)),
        changed_case(lambda case: case["rule"].update(gc_depth=-1)),
        changed_case(lambda case: case["rule"].update(leader_schedule={"kind": "explicit", "slots": {"1": [0, 0]}})),
        changed_case(lambda case: case["rule"].update(leader_schedule={"kind": "explicit", "slots": {"1": [4]}})),
        changed_case(lambda case: case["rule"].update(leader_schedule={"kind": "explicit", "slots": {"one": [0]}})),
        changed_case(lambda case: case.update(last_decided=[3, 0])),
        changed_case(lambda case: case.update(last_decided="D3")),
        changed_case(lambda case: case["blocks"].append(case["blocks"][-1])),
        changed_case(lambda case: case["blocks"][-1].update(round=10**12)),
        changed_case(lambda case: case["blocks"][-1].update(author=4)),
        changed_case(lambda case: case["blocks"][-1].update(author=-1)),
        changed_case(lambda case: case["blocks"][-1].update(parents=["Z9"])),
        changed_case(lambda case: case["blocks"][-1].update(parents=[["A9"]])),
        changed_case(lambda case: case["blocks"][-1].update(parents=["A10"])),
        changed_case(lambda case: case["blocks"][-1].update(parents="A9")),
        changed_case(lambda case: case["blocks"][-1].update(id="")),
        changed_case(lambda case: case["blocks"][-1].update(id="Z" * 33)),
        changed_case(lambda case: case["blocks"][-1].update(id="\0")),
        changed_case(lambda case: case["blocks"][-1].update(id=5)),
        changed_case(lambda case: case["committee"].update(stakes=[1, 1, 1, 1 << 200])),
        changed_case(lambda case: case["expect"].pop("sequence")),
        changed_case(lambda case: case["expect"].update(decisions={})),
        changed_case(lambda case: case["committee"].pop("quorum")),
    ],
)
def test_a_malformed_file_is_refused_by_name_before_anything_runs(tmp_path: Path, sections: Any) -> None:
    with pytest.raises(DecodeError, match=r"some\.json: .*see specs/70-consensus-dag\.md"):
        run(tmp_path, **sections)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "soma-consensus-cases/2"}', "[" * 100_000, "\ud800"])
def test_what_is_no_such_file_at_all_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "none.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DecodeError, match=r"none\.json: not"):
        list(conformance_vectors(path))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(conformance_vectors(tmp_path / "nowhere.json"))
