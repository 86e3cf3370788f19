"""A node without an encoder hunts: it borrows the encoder that targets are assigned to, with the weights it offers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.cli._network import Network, Plan


def test_a_validators_node_hunts_with_a_borrowed_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (Path(__file__).parents[2] / "README.md").read_text("utf-8").split()
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(120):
        (folder / f"note{number}.txt").write_text(" ".join(words[5 * number : 5 * number + 30]), "utf-8")
    plan = Plan(validators=1, consensus="consensus-solo", encoder="encoder-numpy", encoders=("text",))
    with Network(tmp_path / "net", plan, print) as network:
        network.start()
        found = json.loads(soma("hunt", folder, "--hits", "1", "--json", "--data-dir", network.validator))
        assert found["hits"] >= 1, (found, (network.validator / "node.log").read_text())
        assert {catch["encoder"] for catch in found["catches"]} == {"text"}
        with Node(network.validator) as node:
            assert node.ask(control.STATUS, control.Empty()).encoders == ()
            assert node.ask(control.SUPPLY, control.Empty()).drift == 0
    capsys.readouterr()


def soma(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "soma_core.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
