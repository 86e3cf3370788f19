"""An operator trains better weights and brings them out while the network runs (rule O33, ``specs/40-node.md``)."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from attrs import evolve
from running_node import RunningNode

from soma_core.genesis import SHANNONS, read, write
from soma_core.model import ModelConfig, load_weights, write_tensors

SMALL: Final = ModelConfig(dim=32, ffn=32, layers=1, heads=2, seq=64, rope_base=10_000, rope_scale=1)
LIMIT: Final = 90.0
"""Seconds for anything that waits for epochs, on a busy machine."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A development network of one node, which validates, encodes and audits; a shard is one encoder."""
    running = RunningNode(tmp_path_factory.mktemp("network") / "data", ("consensus-dag", "encoder-numpy"))
    running.soma("genesis", "new", *(word for name in running.plugins for word in ("--plugin", name)))
    path = running.directory / "genesis.cbor"
    genesis = read(path)
    path.unlink()
    write(evolve(genesis, parameters=evolve(genesis.parameters, shard_size=1, pot=20 * SHANNONS)), path)
    running.start()
    yield running
    assert running.stop() == 0, running.log.read_text()


def ask(node: RunningNode, *words: str | Path) -> Any:
    return json.loads(node.soma(*words, "--json"))


def until(look: Callable[[], Any], log: Path) -> Any:
    deadline = time.monotonic() + LIMIT
    while not (found := look()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return found


def trained(network: RunningNode, folder: Path, seed: int) -> tuple[Path, str]:
    """Other weights than the node's, aligned, and their digest."""
    random = np.random.default_rng(seed)
    weights = folder / f"better{seed}.safetensors"
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in SMALL.shapes().items()}
    weights.write_bytes(write_tensors(tensors))
    weights.with_suffix(".json").write_text(SMALL.to_json())
    ask(network, "encoder", "align", weights, "--plugin", "encoder-numpy")
    return weights, load_weights(weights).digest.hex()


def embedded(network: RunningNode, folder: Path, text: str) -> dict[str, Any]:
    file = folder / "datum.txt"
    file.write_text(text * 20)
    (entry,) = ask(network, "embed", file)["inputs"]
    return entry  # type: ignore[no-any-return]


def weights_of(network: RunningNode) -> dict[str, Any]:
    (running,) = ask(network, "status")["running"]
    return running  # type: ignore[no-any-return]


def test_new_weights_are_sealed_shown_and_served_without_a_restart(network: RunningNode, tmp_path: Path) -> None:
    before = until(lambda: weights_of(network)["weights"], network.log)
    weights, digest = trained(network, tmp_path, 5)
    told = ask(network, "encoder", "update", "encoder-numpy", weights)
    assert told["weights"] == digest
    known = weights_of(network)
    assert (known["weights"], known["next_weights"], known["next_epoch"]) == (before, digest, told["epoch"])
    assert "already" in network.soma("encoder", "update", "encoder-numpy", "generalist", expect=1)
    for file in tmp_path.glob("better*"):
        file.unlink()  # the node has its own
    answers = []
    until(
        lambda: (
            answers.append((weights_of(network)["weights"], embedded(network, tmp_path, f"number {len(answers)} ")))
            or (len(answers) > 1 and answers[-2][0] == digest)
        ),
        network.log,
    )
    assert {seen for seen, _ in answers} == {before, digest}
    assert ask(network, "status")["epoch"] >= told["epoch"]
    for number in range(len(answers)):
        assert audited(network, tmp_path, f"number {number} ") == ["honest"]
    assert network.stop() == 0, network.log.read_text()
    network.start()  # its settings still name the first ones
    assert until(lambda: weights_of(network)["weights"], network.log) == digest
    assert audited(network, tmp_path, "after a restart ") == ["honest"]


def test_a_canary_is_planted_by_a_command(network: RunningNode) -> None:
    assert ask(network, "audit", "canary", "encoder-numpy")["fee"] > 0
    assert "no encoder of this node" in network.soma("audit", "canary", "encoder-jax", expect=1)
    assert (network.directory / "canaries" / "encoder-numpy").stat().st_mode & 0o777 == 0o600


def audited(network: RunningNode, folder: Path, text: str) -> list[str]:
    """What was found of the answers to a datum."""
    until(lambda: embedded(network, folder, text)["final"], network.log)
    return [member["verdict"] for member in embedded(network, folder, text)["shard"]]
