"""How benchmarks measure: that candidates take turns, and what is made of their times."""

import subprocess
import sys

import make_results
import pytest
from benchmarks import latency
from benchmarks.__main__ import table
from benchmarks.harness import Row, Taken, interleaved, spread
from benchmarks.idle import spent


def row(ratio: float, least: float | None) -> Row:
    return Row(what="a", measured="ours", against="bare", ratio=ratio, low=ratio, high=ratio, repeats=3, least=least)


def test_candidates_take_turns_and_warm_ones_do_not_count() -> None:
    order: list[str] = []

    def candidate(name: str) -> float:
        order.append(name)
        return float(len(order))

    taken = interleaved({"a": lambda: candidate("a"), "b": lambda: candidate("b")}, 3)
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert taken.values == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}
    assert taken.median("a") == 6.0


def test_a_ratio_is_that_of_the_pairs_and_not_of_the_medians() -> None:
    # The machine was three times as slow in the second turn: both candidates saw it.
    taken = Taken({"ours": [2.0, 6.0, 2.0], "bare": [1.0, 3.0, 1.0]})
    assert taken.ratio("ours", "bare") == (2.0, 2.0, 2.0)


def test_quartiles_enclose_the_median() -> None:
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 2.0, 4.0)


@pytest.mark.parametrize(("ratio", "least", "missed"), [(1.14, 1.15, True), (1.15, 1.15, False), (0.1, None, False)])
def test_what_is_required_may_be_missed(ratio: float, least: float | None, *, missed: bool) -> None:
    assert row(ratio, least).missed is missed


def test_the_table_has_a_line_a_row() -> None:
    lines = table([row(1.5, 1.15), row(0.25, None)]).splitlines()
    assert [line.split()[:2] for line in lines] == [["what", "ratio"], ["a", "1.50"], ["a", "0.25"]]
    assert "≥ 1.15" in lines[1]


def test_a_tree_is_charged_what_its_children_took_when_they_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.05: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], check=True); print(flush=True)"
    with subprocess.Popen([sys.executable, "-c", f"{child}; input()"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        took = spent(process.pid)
        process.kill()
    assert took >= 0.05


def test_where_the_time_of_embeddings_goes_is_told_by_stage() -> None:
    jobs = [{"uploading": 0.5, "drawing": float(n)} for n in range(101)]
    found = latency.figures(jobs)
    assert found["jobs"] == 101
    assert found["whole"] == {"p50": 50.5, "p95": 95.5, "mean": 50.5}
    assert found["stages"]["drawing"].items() >= {"p50": 50.0, "p95": 95.0, "mean": 50.0}.items()
    assert found["stages"]["closing"]["p95"] == 0.0
    assert len(latency.table(found).splitlines()) == 2 + len(latency.STAGES)
    assert "| whole | 50.50 | 95.50 | 50.50 |" in make_results._latency(found)


def test_an_unknown_benchmark_is_refused_with_those_there_are() -> None:
    asked = [sys.executable, "-m", "benchmarks", "jbos"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=__file__.rpartition("/")[0])
    assert done.returncode == 2
    assert (
        "there is no benchmark jbos; there are jobs, transport, ledger, encoder, startup, idle, engine, consensus"
        in done.stderr
    )
