"""Ten thousand trials of each durable ledger and of the signer's record, each of four lives that a fault ends.

``nox -s power`` runs them and writes ``specs/results/power-loss.json``.
"""

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from power_world import try_slots
from results import write

from soma_core.plugins import Plugins
from soma_core.testing.component import component
from soma_core.testing.ledger_power import ledger_opener
from soma_core.testing.power import CASES, Case, Outcome, try_ledger
from soma_core.testing.sqlite_disk import sqlite_on

SEED = 20_261_121
TRIALS = 2_000
"""Of each case, of each component."""

DURABLE = [
    plugin.name
    for plugin in Plugins().installed
    if plugin.kind == "ledger" and "durable" in component(plugin.name).spec.features
]


def trials(tmp_path: Path) -> dict[str, Callable[[Case, int], Outcome]]:
    """What is tried → one trial of it."""
    found: dict[str, Callable[[Case, int], Outcome]] = {
        name: partial(try_ledger, ledger_opener(component(name), tmp_path), sqlite_on) for name in DURABLE
    }
    found["the signer's record"] = partial(try_slots, tmp_path / "signed.sqlite")
    return found


def test_nothing_acknowledged_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for name, trial in trials(tmp_path).items():
        for case in CASES:
            verdicts = Counter(trial(case, SEED + number).verdict for number in range(TRIALS))
            row = {"fault": f"{name}: {case}", "tried": TRIALS}
            rows.append(row | {verdict: verdicts[verdict] for verdict in ("lost", "double", "crash")})
            with capsys.disabled():
                sys.stdout.write(f"\n{rows[-1]}")
    write(
        "power-loss",
        "trials of four lives each on a model disk, which loses or tears what was not synced",
        SEED,
        faults=rows,
    )
    assert [row for row in rows if row["lost"] or row["double"] or row["crash"]] == []
