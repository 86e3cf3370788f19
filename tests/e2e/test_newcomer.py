"""Somebody new on a running development network: an encoder from the template that is drawn and paid, a validator."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from attrs import evolve
from fake_distributions import install
from running_node import RunningNode

from soma_core.genesis import SHANNONS, read, write
from soma_core.model import ModelConfig, write_tensors

NAME: Final = "newcomer"
SMALL: Final = ModelConfig(dim=32, ffn=32, layers=1, heads=2, seq=64, rope_base=10_000, rope_scale=1)
TRIES: Final = 16
"""Jobs of one encoder each, of which the newcomer gets every other one or more by its stake."""
LIMIT: Final = 90.0
"""Seconds for anything that waits for epochs, on a busy machine."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the newcomer's package is installed, for every process that is started here."""
    root = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH")))))
        yield root


@pytest.fixture(scope="module")
def network(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A development network of one validator and one encoder, in which a shard is one encoder."""
    running = RunningNode(tmp_path_factory.mktemp("network") / "data", ("consensus-dag", "encoder-numpy"))
    running.soma("genesis", "new", *(word for name in running.plugins for word in ("--plugin", name)))
    path = running.directory / "genesis.cbor"
    genesis = read(path)
    path.unlink()
    write(evolve(genesis, parameters=evolve(genesis.parameters, shard_size=1)), path)
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


class Joiner(RunningNode):
    """A node that `soma encoder serve` or `soma validator serve` starts."""

    def join(self, *words: str | Path) -> None:
        self.directory.mkdir(mode=0o700)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "soma_core.cli", *map(str, words), "--data-dir", str(self.directory)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until_up()

    def json(self, *words: str | Path) -> Any:
        return json.loads(self.soma(*words, "--json"))


def ask(node: RunningNode, *words: str | Path) -> Any:
    return json.loads(node.soma(*words, "--json"))


def until(look: Callable[[], Any], log: Path) -> Any:
    """What `look` gives as soon as it is something."""
    deadline = time.monotonic() + LIMIT
    while not (found := look()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return found


@pytest.fixture(scope="module")
def package(network: RunningNode, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template's package, installed, with small weights that were never trained, and aligned."""
    folder = tmp_path_factory.mktemp("package") / NAME
    made = ask(network, "encoder", "new", NAME, "--into", folder)
    assert made["plugin"] == f"encoder-{NAME}"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["soma.plugins"]
    module = entries[f"encoder-{NAME}"]
    source = folder / "src" / module / "__init__.py"
    random = np.random.default_rng(5)
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in SMALL.shapes().items()}
    weights = site / "weights.safetensors"
    weights.write_bytes(write_tensors(tensors))
    weights.with_suffix(".json").write_text(SMALL.to_json())
    aligned = ask(network, "encoder", "align", weights, "--plugin", "encoder-numpy")
    assert aligned["files"] == [str(site / "weights.frame"), str(site / "weights.speciality")]
    assert 0 <= aligned["retrieval"] <= 1
    assert "exists" in network.soma("encoder", "align", weights, expect=2)
    install(site, project["name"], entries, {module: source.read_text()}, version=project["version"])
    assert "0 failed, 0 skipped" in network.soma("conformance", f"encoder-{NAME}")
    return folder


def test_an_encoder_from_the_template_is_aligned_registered_served_and_drawn(
    network: RunningNode, package: Path, tmp_path: Path
) -> None:
    node = Joiner(tmp_path / "node")
    node.join("encoder", "serve", f"encoder-{NAME}", "--beside", network.directory)
    try:
        (running,) = node.json("status")["running"]
        assert "not registered" in running["state"]
        address = next(key["address"] for key in node.json("keys")["keys"] if key["role"] == f"encoder-{NAME}")
        network.soma("send", address, "5500")
        node.json("encoder", "register", f"encoder-{NAME}", "5000")
        until(lambda: node.json("status")["running"][0]["state"] == "ready", node.log)
        registered = {each["name"]: each for each in node.json("status")["encoders"]}
        assert registered[NAME]["stake"] == 5_000 * SHANNONS
        assert drawn(network, tmp_path), node.log.read_text()
        joined = node.json("stake", "add", "numpy", "2", "--role", f"encoder-{NAME}")
        assert joined["pool"]["joining"] == 2 * SHANNONS
        node.json("encoder", "leave", f"encoder-{NAME}")
        assert "already" in node.soma("encoder", "leave", f"encoder-{NAME}", expect=1)
        assert ask(network, "validator", "report", NAME)["fee"] > 0
    finally:
        assert node.stop() == 0, node.log.read_text()


def drawn(network: RunningNode, folder: Path) -> bool:
    """Whether the newcomer is drawn for one of some jobs, and answers it."""
    for number in range(TRIES):
        file = folder / f"{number}.txt"
        file.write_text(f"What the newcomer has never read, number {number}. " * 8)
        (entry,) = ask(network, "embed", file)["inputs"]
        if entry["shard"][0]["encoder"] == NAME and entry["outcome"] == "settled":
            return True
    return False


def test_a_validator_registers_joins_at_the_boundary_and_leaves(network: RunningNode, tmp_path: Path) -> None:
    node = Joiner(tmp_path / "node")
    node.join("validator", "serve", "--beside", network.directory)
    try:
        account = node.json("status")["account"]
        network.soma("send", account, "700")
        node.json("validator", "register", "second", "600", "--commission", "5")
        until(lambda: standing(network, "second") == "seated", node.log)
        assert [each["name"] for each in ask(network, "validator")["validators"]] == ["me", "second"]
        powers = [each["power"] for each in ask(network, "validator")["validators"]]
        assert sum(powers) == 10_000
        assert min(powers) > 3_000
        pool = node.json("stake")
        assert (pool["active"], pool["commission"]) == (pool["mine"], 500)
        assert pool["active"] >= 600 * SHANNONS
        moves(network, node)
        reported_by_an_operator(network, tmp_path / "operator")
        network.soma("validator", "report", "second", "--undo")
        assert ask(network, "validator", "show", "second")["validators"][0]["reports"] == []
        node.json("validator", "update")
        node.json("stake", "commission", "7.5")
        assert node.json("stake")["next_commission"] == 750
        node.json("validator", "leave")
        until(lambda: standing(network, "second") is None, node.log)
        moves(network, node)
        assert node.json("stake")["active"] >= 600 * SHANNONS
        node.json("stake", "withdraw", "second" if standing(network, "second") else account, "600")
        assert node.json("stake")["departures"]
    finally:
        assert node.stop() == 0, node.log.read_text()


def reported_by_an_operator(network: RunningNode, directory: Path) -> None:
    """A node whose key acts for the first validator's account reports the second; the fee is its purse's."""
    owner = ask(network, "status")["account"]
    node = Joiner(directory)
    node.join("validator", "serve", "--beside", network.directory)
    assert node.stop() == 0, node.log.read_text()
    with (directory / "soma.toml").open("a") as settings:
        settings.write(f'acts_for = ["account={owner}"]\n')
    proof = node.json("keys", "prove", "account", owner)
    assert "has to sign" in network.soma("keys", "operator", "set", proof["key"], "00" * 64, "validator", expect=1)
    network.soma("keys", "operator", "set", proof["key"], proof["proof"], "validator", "--purse", "0.01")
    before = ask(network, "keys", "operator")["operators"]
    assert [(each["role"], each["purse"]) for each in before] == [("validator", 10_000_000)]
    node.plugins = ()
    node.start()
    try:
        moves(network, node)
        assert "may not" in node.soma("send", owner, "1", expect=1)
        node.soma("validator", "report", "second")
        assert ask(network, "validator", "show", "second")["validators"][0]["reports"] == [owner]
        (after,) = ask(network, "keys", "operator")["operators"]
        assert 0 < after["purse"] < before[0]["purse"]
        network.soma("keys", "operator", "drop", proof["key"])
        assert ask(network, "keys", "operator")["operators"] == []
    finally:
        assert node.stop() == 0, node.log.read_text()


def standing(node: RunningNode, name: str) -> str | None:
    found = {each["name"]: each["state"] for each in ask(node, "validator")["validators"]}
    return found.get(name)


def moves(network: RunningNode, node: RunningNode) -> None:
    """Both go on, and say the same."""
    index = ask(network, "status")["commit"]
    for each in (network, node):
        until(lambda each=each: ask(each, "status")["commit"] > index + 3, each.log)
