"""A real node whose second encoder is the example of an operator's server, in a process of its own.

The worker that calls it is confined as every worker is, but for the network: it looks up names and connects.
"""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field
from running_node import RunningNode

from soma_core.crypto import SecretKey
from soma_core.genesis import read, write

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "webhook-server" / "server.py"
COMMIT_MS = 4000


@define
class ExampleServer:
    """The example, which the node's settings name before it knows which node it answers."""

    folder: Path
    secret: SecretKey = field(factory=SecretKey.generate)
    port: int = field(init=False)
    process: "subprocess.Popen[bytes] | None" = None

    def __attrs_post_init__(self) -> None:
        (self.folder / "server.key").write_text(self.secret.expose().hex())
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]

    def settings(self) -> dict[str, str]:
        return {
            "encoder.webhook.url": f"http://localhost:{self.port}/embed",
            "encoder.webhook.server": self.secret.public.hex(),
            "encoder.webhook.allow": '["127.0.0.0/8"]',
            "encoder.webhook.timeout": "1.0",
        }

    def start(self, key: str, chain: str) -> None:
        who = ("--node", key, "--chain", chain, "--key", self.folder / "server.key", "--port", str(self.port))
        self.process = subprocess.Popen([sys.executable, SCRIPT, *who], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        assert str(self.port).encode() in self.process.stdout.readline()

    def stop(self) -> str:
        """Its log."""
        assert self.process is not None
        self.process.terminate()
        return self.process.communicate()[1].decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> ExampleServer:
    return ExampleServer(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def calling(tmp_path_factory: pytest.TempPathFactory, server: ExampleServer) -> Iterator[RunningNode]:
    plugins = ("consensus-solo", "encoder-numpy", "encoder-webhook")
    node = RunningNode(tmp_path_factory.mktemp("calling") / "node", plugins=plugins, settings=server.settings())
    named = [word for name in plugins for word in ("--plugin", name)]
    given = [word for setting in server.settings().items() for word in ("--set", "=".join(setting))]
    node.soma("genesis", "new", *named, *given)
    hurry(node.directory / "genesis.cbor")
    node.start()
    yield node
    assert node.stop() == 0, node.log.read_text()


def hurry(path: Path) -> None:
    """Have a job wait for silent encoders no longer than a busy machine needs for those that answer."""
    genesis = read(path)
    path.unlink()
    write(evolve(genesis, parameters=evolve(genesis.parameters, commit_ms=COMMIT_MS)), path)


def embed(node: RunningNode, file: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What became of a file, and of each member of its shard by name."""
    (entry,) = json.loads(node.soma("embed", file, "--json"))["inputs"]
    return entry, {member["encoder"]: member for member in entry["shard"]}


def test_a_server_of_the_operators_answers_jobs_and_cannot_win(
    calling: RunningNode, server: ExampleServer, text_file: Path
) -> None:
    key = json.loads(calling.soma("keys", "show", "encoder-webhook", "--json"))["key"]
    chain = json.loads(calling.soma("genesis", "--json"))["chain"]
    assert f"as key {key}, chain {chain}" in calling.log.read_text(), "what the server is told stands in the log"
    server.start(key, chain)
    entry, members = embed(calling, text_file)
    log = server.stop()
    assert re.findall(r'"POST /embed HTTP/1\.1" (\d+)', log) == ["200"]
    assert entry["winner"] == "numpy"
    assert members["webhook"]["answer"] == "revealed"
    assert members["webhook"]["loss_bits_per_byte"] is None
    assert 0 < members["webhook"]["weight"] < members["numpy"]["weight"]
    assert json.loads(calling.soma("verify", entry["receipt"], "--json"))["valid"]
    assert json.loads(calling.soma("status", "--json"))["supply"]["drift"] == 0


def test_a_server_that_is_off_costs_its_encoder_the_job_and_nobody_else(calling: RunningNode, text_file: Path) -> None:
    entry, members = embed(calling, text_file)
    assert (entry["outcome"], entry["winner"]) == ("settled", "numpy")
    assert members["webhook"]["answer"] == "silent"
    assert members["numpy"]["weight"] == 1.0
    assert "Connection refused; see whether the server runs" in calling.log.read_text()
    assert json.loads(calling.soma("status", "--json"))["supply"]["drift"] == 0


def test_a_server_that_answers_another_node_answers_not_this_one(
    calling: RunningNode, server: ExampleServer, text_file: Path
) -> None:
    chain = json.loads(calling.soma("genesis", "--json"))["chain"]
    server.start("ab" * 32, chain)
    _, members = embed(calling, text_file)
    assert re.findall(r'"POST /embed HTTP/1\.1" (\d+)', server.stop()) == ["400"]
    assert members["webhook"]["answer"] == "silent"
    assert "answered with status 400; see the server's log" in calling.log.read_text()
