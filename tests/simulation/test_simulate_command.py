"""``soma simulate``: what it prints, how it ends, and that a seed is the same run in every process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from soma_core.cli import main
from soma_core.testing.simulation import run


def soma(*arguments: str, **environment: str) -> bytes:
    """What another process prints."""
    command = [sys.executable, "-m", "soma_core.cli", "simulate", *arguments]
    return subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment}).stdout


@pytest.mark.parametrize("plugin", ["consensus-solo", "consensus-dag"])
def test_same_seed_same_bytes_in_every_process(plugin: str) -> None:
    arguments = ("--plugin", plugin, "--seed", "3", "--nodes", "1", "--seconds", "15", "--trace")
    outputs = [soma(*arguments, PYTHONHASHSEED=seed) for seed in ("0", "12345")]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) > 300


def test_several_members_are_the_same_in_every_process() -> None:
    arguments = ("--seed", "8", "--nodes", "4", "--seconds", "15", "--trace")
    outputs = [soma(*arguments, PYTHONHASHSEED=seed) for seed in ("1", "77")]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) > 2_000


def test_says_what_was_drawn_and_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--plugin", "consensus-solo", "--seed", "9", "--seconds", "15"]) == 0
    out, err = capsys.readouterr()
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert {key: lines[key].strip() for key in ("engine", "members", "verdict")} == {
        "engine": "consensus-solo",
        "members": "1, power 1, of which 0 may lie",
        "verdict": "held",
    }
    assert "of CPU" in err


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--plugin", "consensus-solo", "--seed", "9", "--seconds", "15", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["found"] == ""
    assert told["scenario"]["seed"] == 9
    assert told["commits"] > 20


def test_a_finding_ends_with_status_6(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RECOVERED", -1)  # nobody is that quick
    assert main(["simulate", "--plugin", "consensus-solo", "--seed", "9", "--seconds", "16"]) == 6
    err = capsys.readouterr().err
    assert "seed 9: no progress in" in err
    assert "soma simulate --plugin consensus-solo --seed 9 --seconds 16 --trace" in err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--plugin", "ledger-sqlite"], "ledger-sqlite orders nothing"),
        (["--plugin", "consensus-solo", "--nodes", "4"], "consensus-solo serves committees of one"),
    ],
)
def test_what_cannot_be_simulated(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == 2
    assert what in capsys.readouterr().err


def test_the_package_is_not_hurried_in() -> None:
    """Whoever tests something else does not pay for the simulator."""
    code = "import sys, soma_core.testing; print('soma_core.testing.simulation' in sys.modules)"
    done: Any = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
