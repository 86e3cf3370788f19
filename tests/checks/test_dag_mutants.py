"""Mutants of `consensus-dag` against the plugin's own fast tests: nearly all must be found.

``nox -s dag`` runs it and writes ``specs/results/dag-mutants.json``.
"""

import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from dag_mutants import MUTANTS, PACKAGE, Mutant, copy
from results import write

PLUGIN = PACKAGE.parent.parent
LIMIT = 300
"""Seconds. A mutant that takes longer goes round in circles, and is found."""
FOUND_AT_LEAST = 95
"""In a hundred."""


def run_in(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python with the package that lies in `directory` before the one that is installed."""
    environment = {**os.environ, "PYTHONPATH": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=PLUGIN, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )


QUICK = (
    "dag_vectors",
    "small_parts",
    "block_manager",
    "when_to_propose",
    "amnesia",
    "engine_turns",
    "what_is_delivered",
    "held_for_the_chain",
)
"""Of the plugin's test files those that take least: they are run before all the others."""


def files() -> list[str]:
    """The plugin's test files, in the order in which they are run."""
    quick = [f"tests/test_{name}.py" for name in QUICK]
    return quick + sorted({f"tests/{path.name}" for path in PLUGIN.glob("tests/test_*.py")} - set(quick))


def outcome_of(directory: Path) -> tuple[bool, str]:
    """Whether the plugin's fast tests pass with that package, and the first that does not."""
    options = ("-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--no-header", "--tb=no")
    done = run_in(directory, "-m", "pytest", *options, *files())
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert done.returncode in {0, 1, 2}, lines[-5:]
    return done.returncode == 0, next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "")


def found_by(directory: Path, mutant: Mutant) -> str:
    """The first test that finds a mutant, or "" if none does."""
    mutant.apply(directory)
    try:
        passed, first = outcome_of(directory)
    except subprocess.TimeoutExpired:
        return "a test does not end"
    return "" if passed else first.split(" - ")[0].partition(" ")[2] or "a test cannot be collected"


def test_the_engine_itself_passes(tmp_path: Path) -> None:
    copy(tmp_path)
    where = run_in(tmp_path, "-c", "import soma_consensus_dag; print(soma_consensus_dag.__file__)").stdout
    assert where.strip() == str(tmp_path / PACKAGE.name / "__init__.py")
    passed, first = outcome_of(tmp_path)
    assert passed, first


def test_mutants_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directories = [tmp_path / str(number) for number in range(len(MUTANTS))]
    for directory in directories:
        directory.mkdir()
    by: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, found in zip(MUTANTS, pool.map(found_by, directories, MUTANTS), strict=True):
            by[mutant.name] = found
            with capsys.disabled():
                sys.stdout.write(f"\n{mutant.module}: {mutant.name}: {found or 'NOT FOUND'}")
    missed = sorted(name for name, found in by.items() if not found)
    write(
        "dag-mutants",
        "wrong versions of consensus-dag, each by a few words, against the plugin's own fast tests",
        0,
        planted=len(MUTANTS),
        found=len(MUTANTS) - len(missed),
        not_found=missed,
        planted_in=dict(Counter(mutant.module for mutant in MUTANTS)),
        first_found_by=by,
    )
    assert len(missed) * 100 <= len(MUTANTS) * (100 - FOUND_AT_LEAST), missed
