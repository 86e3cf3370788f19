"""``specs/vectors/dag_cases.json`` is what its drawings make, and no case is there twice."""

import json

import make_dag_cases
from dag_drawings import CASES


def test_the_file_is_made_of_the_drawings() -> None:
    assert make_dag_cases.FILE.read_text("utf-8") == make_dag_cases.content()


def test_names_are_used_once_over_both_files() -> None:
    published = json.loads((make_dag_cases.FILE.parent / "consensus_cases.json").read_text("utf-8"))
    names = [case.id for case in CASES] + [case["id"] for case in published["committer_cases"]]
    assert len(names) == len(set(names))
