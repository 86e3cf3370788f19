"""A real validator computes what an encoder says of itself, over all anchors (rules AU25 to AU31, ``25-audits.md``)."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from attrs import evolve
from running_node import RunningNode

from soma_core.fixed import vector_bytes, vector_from_bytes
from soma_core.genesis import SHANNONS, read, write
from soma_core.model import ModelConfig, Speciality, load_weights, write_tensors

SMALL: Final = ModelConfig(dim=32, ffn=32, layers=1, heads=2, seq=64, rope_base=10_000, rope_scale=1)
LIMIT: Final = 120.0
"""Seconds for anything that waits for epochs and a check, on a busy machine."""
DIMENSION: Final = 128


def aligned(running: RunningNode, folder: Path, seed: int) -> Path:
    """Small weights, with map and speciality."""
    random = np.random.default_rng(seed)
    weights = folder / f"small{seed}.safetensors"
    tensors = {name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in SMALL.shapes().items()}
    weights.write_bytes(write_tensors(tensors))
    weights.with_suffix(".json").write_text(SMALL.to_json())
    running.soma("encoder", "align", weights, "--plugin", "encoder-numpy")
    return weights


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A network of one node that checks its encoder, whose best anchors stand in the genesis."""
    folder = tmp_path_factory.mktemp("network")
    running = RunningNode(folder / "data", ("consensus-dag", "encoder-numpy"))
    running.settings["encoder.numpy.weights"] = str(aligned(running, folder, 5))
    words = [word for name in running.plugins for word in ("--plugin", name)]
    words += [word for setting in running.settings.items() for word in ("--set", "=".join(setting))]
    running.soma("genesis", "new", *words)
    path = running.directory / "genesis.cbor"
    genesis = read(path)
    assert genesis.encoders[0].best
    path.unlink()
    write(evolve(genesis, parameters=evolve(genesis.parameters, check_ms=90_000, emission_embed=0)), path)
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


def checks(node: RunningNode) -> list[dict[str, Any]]:
    return [each for each in ask(node, "audit")["audits"] if each["kind"] == "encoder"]


def stake(node: RunningNode) -> int:
    (encoder,) = ask(node, "status")["encoders"]
    return encoder["stake"]  # type: ignore[no-any-return]


def test_what_holds_costs_nothing_and_what_does_not_costs_a_hundredth_each(
    network: RunningNode, tmp_path: Path
) -> None:
    (check,) = until(lambda: checks(network), network.log)
    assert [answer["name"] for answer in check["answers"]] == ["numpy best"]
    assert len(check["panel"]) == 1
    until(lambda: not checks(network), network.log)
    before = stake(network)
    assert before % SHANNONS == 0, "nothing was taken"
    weights = aligned(network, tmp_path, 6)
    digest = load_weights(weights).digest
    true = Speciality.beside(weights, digest)
    assert true is not None
    elsewhere = vector_bytes(-vector_from_bytes(true.position, DIMENSION))
    lies = Speciality(weights=digest, best=bytes(reversed(true.best)), position=elsewhere)
    lies.write(weights)
    ask(network, "encoder", "update", "encoder-numpy", weights)
    left = before - before // 100
    left -= left // 100
    until(lambda: stake(network) < before and not checks(network), network.log)
    assert stake(network) == left, "position and best anchors"
    assert ask(network, "status")["supply"]["drift"] == 0
