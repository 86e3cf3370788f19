"""What long runs found is told as it was found: complete, and without a loss."""

import re

import make_results
import pytest


@pytest.mark.parametrize(("name", "result"), make_results.files().items(), ids=make_results.files().keys())
def test_a_result_says_what_was_run_on_what(name: str, result: dict[str, object]) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", str(result["commit"]))
    assert isinstance(result["seed"], int)
    assert {"what", "machine", "python"} <= result.keys()
    assert name in make_results._SESSIONS


def test_the_page_is_made_of_the_files() -> None:
    assert make_results.README.read_text("utf-8") == make_results.page(), "run python tests/make_results.py"


def test_nothing_was_lost_doubled_or_ended_by_a_fault() -> None:
    rows = list(make_results.faults(make_results.files()))
    assert sum(tried for _, tried, *_ in rows) > 10_000
    assert [row for row in rows if any(row[2:])] == []
