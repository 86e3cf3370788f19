"""A real node whose second encoder says what its weights do not give: its validator computes that again.

The liar runs the weights it has registered, of either architecture, and tells an eighth of the loss, or its vector
backwards: nobody but an auditor can tell.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve, frozen
from fake_distributions import install
from running_node import RunningNode

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.genesis import SHANNONS, read, write
from soma_symbols.learning import BUNDLED

LIAR: Final = '''
    """An encoder that tells an eighth of its losses, or its vectors backwards."""

    from attrs import frozen
    from soma_core.api import EncoderSpec, Evaluation, hookimpl, option

    @frozen
    class Config:
        weights: str = option("text", "a bundled name or the path of a .safetensors file")
        lie: str = option("loss", "loss or vector")

    @hookimpl
    def soma_encoder():
        return EncoderSpec(api=1, config=Config, open=Liar, features=frozenset({"loss"}))

    class Liar:
        def __init__(self, config, context):
            from soma_core.model import load_model, referee
            weights = load_model(config.weights)
            self.model = referee(weights.config, weights.tensors)
            self.info = weights.info("f32", 64)
            self.lie = config.lie

        def encode(self, batch):
            return self.evaluate(batch, b"").vectors

        def evaluate(self, batch, seed):
            import numpy
            readings = [self.model.read(item) for item in batch]
            vectors = numpy.array([reading.vector for reading in readings], numpy.float32)
            losses = numpy.array([reading.bits_per_byte for reading in readings])
            if self.lie == "vector":
                return Evaluation(vectors[:, ::-1].copy(), losses)
            return Evaluation(vectors, losses / 8)
'''

POT: Final = 20 * SHANNONS
"""More than a hundredth of each stake: no answer that wins it goes unaudited."""
DISPUTED: Final = 30_000
"""Milliseconds in which somebody can dispute what an audit said, on a busy machine."""
WINDOW: Final = 120.0
"""Seconds until a job has been audited and paid, on a busy machine."""


@frozen
class Standing:
    """What an encoder has."""

    stake: int
    balance: int


def standings(node: RunningNode) -> dict[str, Standing]:
    """By the encoder's name."""
    with Node(node.directory) as client:
        return {
            each.name: Standing(each.stake, client.ask(control.BALANCE, control.AskBalance(each.address)).balance)
            for each in client.ask(control.ENCODERS, control.Empty()).encoders
        }


CASES: Final = {
    "a transformer beside a false loss": ("encoder-numpy", {}),
    "symbols beside a false loss": ("encoder-symbols", {}),
    "a false loss of symbols": ("encoder-numpy", {"encoder.liar.weights": BUNDLED}),
    "a false vector of symbols": (
        "encoder-numpy",
        {"encoder.liar.weights": BUNDLED, "encoder.liar.lie": "vector", "encoder.numpy.weights": "audio"},
    ),
}
"""The honest encoder, and the settings of both. One that knows sounds alone is worse at text than anybody."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RunningNode]:
    honest, settings = CASES[request.param]
    root = tmp_path_factory.mktemp("audited")
    site = root / "site"
    site.mkdir()
    install(site, "soma-encoder-liar", {"encoder-liar": "soma_liar"}, {"soma_liar": LIAR})
    plugins = ("consensus-solo", honest, "encoder-liar", "transport-memory")
    running = RunningNode(root / "data", plugins, settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))
        chosen = [word for name in running.plugins for word in ("--plugin", name)]
        chosen += [word for setting in settings.items() for word in ("--set", "=".join(setting))]
        running.soma("genesis", "new", *chosen)
        path = running.directory / "genesis.cbor"
        genesis = read(path)
        path.unlink()
        write(evolve(genesis, parameters=evolve(genesis.parameters, pot=POT, dispute_ms=DISPUTED)), path)
        running.start()
        yield running
        assert running.stop() == 0, running.log.read_text()


def embed(node: RunningNode, file: Path) -> dict[str, Any]:
    (entry,) = json.loads(node.soma("embed", file, "--json"))["inputs"]
    return entry  # type: ignore[no-any-return]


def until(node: RunningNode, holds: Callable[[dict[str, Standing]], bool]) -> dict[str, Standing]:
    """What the encoders have once it `holds`: asked anew, since a commit may come between two answers of one look."""
    deadline = time.monotonic() + WINDOW
    while not holds(now := standings(node)):
        assert time.monotonic() < deadline, (now, node.log.read_text())
        time.sleep(0.1)
    return standings(node)


@pytest.mark.parametrize("node", CASES, indirect=True)
def test_a_false_answer_wins_nothing_and_costs_stake_and_the_honest_encoder_is_paid(
    node: RunningNode, tmp_path: Path
) -> None:
    before = standings(node)
    source = tmp_path / "a.txt"
    source.write_text("Whoever predicts best is paid, if it is true.\n" * 20)
    assert embed(node, source)["winner"] == "liar", "until somebody looks"
    (honest,) = before.keys() - {"liar"}
    after = until(node, lambda now: now[honest].balance > before[honest].balance)
    assert after["liar"].stake < before["liar"].stake
    assert after["liar"].balance < before["liar"].balance, "it paid fees"
    assert after[honest].stake >= before[honest].stake
    assert after[honest].balance >= before[honest].balance + POT // 2
    with Node(node.directory) as client:
        assert client.ask(control.SUPPLY, control.Empty()).drift == 0
    assert not any((node.directory / "verdicts").iterdir()), "a concluded audit leaves nothing behind"


@pytest.mark.parametrize("node", [next(iter(CASES))], indirect=True)
def test_what_was_said_of_an_answer_can_be_disputed_at_a_price(node: RunningNode, tmp_path: Path) -> None:
    source = tmp_path / "b.txt"
    source.write_text("Who doubts a verdict pays for the doubt, if the verdict was right.\n" * 20)
    embed(node, source)

    def concluded() -> dict[str, Any] | None:
        for audit in json.loads(node.soma("audit", "--json"))["audits"]:
            words = {answer["name"]: answer["word"] for answer in audit["answers"]}
            if audit["stage"] == "window" and words == {"numpy": "honest", "liar": "false"}:
                return audit  # type: ignore[no-any-return]
        return None

    audit = soon(node, concluded)
    said = json.loads(node.soma("audit", "dispute", audit["key"], "numpy", "--json"))
    assert (said["job"], said["bond"]) == (audit["key"], SHANNONS)

    def appeal() -> list[dict[str, Any]]:
        return [one for one in json.loads(node.soma("audit", "--json"))["audits"] if one["appeal"]]

    soon(node, lambda: not appeal())
    assert json.loads(node.soma("audit", "show", audit["key"][:16], "--json"))["key"] == audit["key"]
    assert "liar · false" in node.soma("audit", "show", audit["key"])
    assert "is audited nowhere" in node.soma("audit", "show", "00" * 32, expect=2)
    assert "has decided" in node.soma("audit", "dispute", audit["key"], "numpy", expect=1)
    with Node(node.directory) as client:
        assert client.ask(control.SUPPLY, control.Empty()).drift == 0


def soon(node: RunningNode, look: Callable[[], Any]) -> Any:
    """What `look` gives as soon as it is something."""
    deadline = time.monotonic() + WINDOW
    while not (found := look()):
        assert time.monotonic() < deadline, node.log.read_text()
        time.sleep(0.1)
    return found
