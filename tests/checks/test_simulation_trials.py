"""Seeds by the hundred, or as many as ``SOMA_SIMULATIONS`` says: what ``nox -s simulate`` runs.

More than the default number is a long run, a part of ``specs/results/simulate.json``: ``SOMA_FIRST_SIMULATION`` says
where it begins, and it takes the place of an earlier part that began there.
"""

import json
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import results

from soma_core.testing.simulation import Report, draw, plugin_engines, simulate

DEFAULT = 200
COUNT = int(os.environ.get("SOMA_SIMULATIONS") or DEFAULT)
FIRST = int(os.environ.get("SOMA_FIRST_SIMULATION") or 1_000)
"""The tests of every day have the seeds below a thousand."""
TOGETHER = 10


def run(seed: int) -> Report:
    scenario = draw(seed)
    return simulate(scenario, plugin_engines("consensus-dag", params=scenario.params))


def test_no_seed_finds_anything(capsys: pytest.CaptureFixture[str]) -> None:
    reports: list[Report] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for report in pool.map(run, range(FIRST, FIRST + COUNT), chunksize=TOGETHER):
            reports.append(report)
            if report.found or len(reports) % 500 == 0:
                with capsys.disabled():
                    sys.stdout.write(
                        f"{len(reports)} of {COUNT}; seed {report.scenario.seed}: {report.found or 'held'}\n"
                    )
    if COUNT > DEFAULT:
        write(figures(reports))
    assert [report.scenario.seed for report in reports if report.found] == []


def write(part: dict[str, Any]) -> None:
    """Add a part to the results."""
    before = results.DIRECTORY / "simulate.json"
    parts = json.loads(before.read_text("utf-8"))["parts"] if before.exists() else []
    parts = [one for one in parts if one["seed"] != FIRST] + [results.about(FIRST) | part]
    results.write(
        "simulate",
        "networks simulated from one seed each: real engines, real chains, faults; no fork, loss or doubling",
        min(one["seed"] for one in parts),
        seeds=sum(one["seeds"] for one in parts),
        found={seed: found for one in parts for seed, found in one["found"].items()},
        parts=sorted(parts, key=lambda one: one["seed"]),
    )


def figures(reports: list[Report]) -> dict[str, Any]:
    recoveries = sorted(report.recovery for report in reports if not report.found)
    seconds = sum(report.scenario.nodes * report.at for report in reports) // 1000
    cpu = sum(report.cpu_ms for report in reports) // 1000
    return {
        "seeds": len(reports),
        "found": {str(r.scenario.seed): r.found.splitlines()[0] for r in reports if r.found},
        "members": _counted(r.scenario.nodes for r in reports),
        "schedules": _counted(r.scenario.schedule for r in reports),
        "faults": _counted(fault for r in reports for fault in r.scenario.faults),
        "byzantine": _counted(lie for r in reports for lie in r.scenario.liars.values()),
        "disks that forget": _counted(loss for r in reports for loss in r.scenario.losers.values()),
        "commits": sum(r.commits for r in reports),
        "epochs": sum(r.epochs + 1 for r in reports),
        "transactions": sum(r.transactions for r in reports),
        "messages": sum(r.messages for r in reports),
        "deaths": sum(r.deaths for r in reports),
        "member-seconds": seconds,
        "cpu-seconds": cpu,
        "member-seconds per cpu-second": seconds // max(1, cpu),
        "ms until every member orders again, after all is well": {
            "median": recoveries[len(recoveries) // 2],
            "99 in 100": recoveries[len(recoveries) * 99 // 100],
            "longest": recoveries[-1],
        },
    }


def _counted(what: Any) -> dict[str, int]:
    return {str(key): count for key, count in sorted(Counter(what).items())}
