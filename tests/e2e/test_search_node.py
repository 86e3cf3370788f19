"""`soma search` on one real node with its index, through kills, restarts and a damaged index, as a person does it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_node import PLUGINS, RunningNode

WITH_INDEX = (*PLUGINS, "index-exact")
TEXTS = {
    "cats.txt": "Two cats sat by the door and looked at each other.\n" * 4,
    "dogs.txt": "Two dogs sat by the door and looked at each other.\n" * 4,
    "code.py": "def halved(numbers):\n    return [number // 2 for number in numbers]\n" * 4,
}


def found(node: RunningNode, *arguments: str | Path) -> Any:
    return json.loads(node.soma("search", *arguments, "--json"))


def ask_with(node: RunningNode, data: bytes, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "soma_core.cli", "search", "-", *arguments, "--data-dir", str(node.directory)],
        input=data,
        capture_output=True,
        timeout=90,
        check=False,
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("texts")
    for name, text in TEXTS.items():
        (directory / name).write_text(text)
    return {name: directory / name for name in TEXTS}


def test_what_was_embedded_is_found_whatever_became_of_the_node(tmp_path: Path, files: dict[str, Path]) -> None:
    node = RunningNode(tmp_path / "node")
    node.start()
    try:
        # Without an index: what to add, and nothing is paid.
        embedded = {e["job"]: e for e in json.loads(node.soma("embed", *files.values(), "--json"))["inputs"]}
        assert "keeps no index; run it with --plugin index-exact" in node.soma("search", "--text", "new", expect=1)
        assert json.loads(node.soma("status", "--json"))["index"] is None
        assert node.stop() == 0

        # With one from now on, and killed: what was embedded before is there.
        node.plugins = WITH_INDEX
        node.start()
        first = found(node, files["cats.txt"])
        assert (first["among"], first["behind"]) == (3, 0), "what was refused was not embedded"
        assert first["job"] in embedded, "asked twice, paid once"
        by_name = {Path(entry["name"]).name: entry for entry in first["found"]}
        assert set(by_name) == {"dogs.txt", "code.py"}
        assert first["found"][0] == by_name["dogs.txt"]
        assert by_name["dogs.txt"]["similarity"] > 0.9 > by_name["code.py"]["similarity"]
        for entry in first["found"]:
            assert embedded[entry["job"]]["receipt"] == entry["receipt"]
            assert entry["bytes"] == embedded[entry["job"]]["bytes"]
            assert entry["preview"] == TEXTS[Path(entry["name"]).name].splitlines()[0]
        node.kill()
        node.start()
        assert _same(found(node, files["cats.txt"]), first)
        job = first["job"]
        assert _same(found(node, "--job", job[:12]), first)
        assert [e["job"] for e in found(node, "--job", job[:8], "-k", "1")["found"]] == [first["found"][0]["job"]]
        assert len(found(node, "--job", job, "--where", f"size={by_name['code.py']['bytes']}")["found"]) == 1

        # A vector costs nothing, and finds itself.
        out = tmp_path / "vectors.npz"
        node.soma("embed", files["dogs.txt"], "--out", out)
        with np.load(out) as stored:
            np.save(tmp_path / "dogs.npy", stored["unit"][0])
        nearest = found(node, "--vector", tmp_path / "dogs.npy", "-k", "1")["found"][0]
        assert nearest["job"] == by_name["dogs.txt"]["job"]
        assert nearest["similarity"] == pytest.approx(1, abs=1e-6)

        # Standard input is embedded and paid; what it begins with shows no terminal what to do.
        asked = ask_with(node, b"\x1b[31mTwo cats slept.\n", "--json")
        assert asked.returncode == 0, asked.stderr
        mine = json.loads(asked.stdout)
        assert mine["query"]["path"] == "standard input"
        assert len(mine["found"]) == 3
        (node.directory / "receipts" / f"{mine['job'][:12]}.name").unlink()
        shown = node.soma("search", files["cats.txt"])
        assert "?[31mTwo cats slept." in shown
        assert "\x1b" not in shown
        index = json.loads(node.soma("status", "--json"))["index"]
        assert index.pop("behind") < 5, "commits go on"
        assert index == {"plugin": "index-exact", "state": "ready", "vectors": 4}

        # A damaged index is said, and stops nobody; without its files it is made again.
        assert node.stop() == 0
        (log,) = (node.directory / "components" / "index-exact").glob("*.log")
        whole = log.read_bytes()
        log.write_bytes(whole[: len(whole) // 2] + b"\xff" * 64 + whole[len(whole) // 2 + 64 :])
        node.start()
        other = tmp_path / "other.txt"
        other.write_text("The node goes on without its index.\n" * 3)
        assert json.loads(node.soma("embed", other, "--json"))["inputs"][0]["outcome"] == "settled"
        assert "open raised CorruptionError" in json.loads(node.soma("status", "--json"))["index"]["state"]
        assert "the index does not answer" in node.soma("search", other, expect=1)
        assert "goes on without its index" in node.log.read_text()
        assert node.stop() == 0
        log.unlink()
        node.start()
        assert len(found(node, other)["found"]) == 4
    finally:
        node.stop()


def _same(one: Any, other: Any) -> bool:
    """Whether the same was found; what is said of money and time may have moved on."""
    fields = ("job", "similarity", "blob", "bytes", "winner", "name", "preview")
    return [[e[name] for name in fields] for e in one["found"]] == [
        [e[name] for name in fields] for e in other["found"]
    ]
