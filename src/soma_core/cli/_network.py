"""A network of several nodes on this machine, each a process of its own over real sockets on loopback.

The parent makes keys, one genesis and the settings of every node, in which validators listen at fixed ports that all
others know. It starts the nodes and ends what it started: its own children, by their process. Should it be killed
before it can, they end with the pipe it held.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self, final

from attrs import define, evolve, frozen

from soma_core.api import control
from soma_core.errors import UnreachableError, UsageError
from soma_core.genesis import Parameters
from soma_core.keystore import KeyStore
from soma_core.node.development import DEVELOPMENT, Founder, FoundingEncoder, bundled_frame, found_network
from soma_core.plugins import Plugins

from ._client import Node

START_LIMIT: Final = 120.0
"""Seconds until a node must answer; loading a framework on a busy machine takes a while."""
STOP_LIMIT: Final = 10.0
"""Seconds a node gets to end by itself."""
POLL: Final = 0.1
PORTS: Final = range(20_000, 30_000)
"""Where validators listen: below the ports that outgoing connections take."""

Told = Callable[[str], None]


@frozen(kw_only=True)
class Plan:
    """What is to run. `encoders`: bundled names, each a node with the plugin `encoder`. `index`: of the first node."""

    validators: int = 4
    consensus: str = "consensus-dag"
    transport: str = "transport-libp2p"
    ledger: str = "ledger-sqlite"
    scoring: str = "scoring-soma"
    encoder: str = "encoder-jax"
    encoders: Sequence[str] = ("text", "code", "image", "audio", "generalist")
    index: str = "index-exact"
    parameters: Parameters = DEVELOPMENT


@define(eq=False)
class _Process:
    name: str
    directory: Path
    validates: bool
    process: "subprocess.Popen[bytes] | None" = None


@final
class Network:
    """The processes of one plan below `root`, which holds a directory a node. A context manager: leaving ends them.

    A network that is there already has the validators and encoders it was founded with; `plan` says what they are now.
    """

    def __init__(self, root: Path, plan: Plan, told: Told) -> None:
        self.root = root
        self.validator = root / "validator"
        self.plan = plan = _as_founded(self.validator / "genesis.cbor", plan)
        self._told = told
        self._before: Any = signal.SIG_DFL
        validators = ["validator", *(f"validator{number}" for number in range(2, plan.validators + 1))]
        self._nodes = [_Process(name, root / name, validates=True) for name in validators]
        self._nodes += [_Process(name, root / name, validates=False) for name in plan.encoders]

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, _interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        signal.signal(signal.SIGTERM, self._before)

    def start(self) -> None:
        """Found the network if `root` has none, start every node and wait until all of them answer."""
        self.found()
        for node in self._nodes:
            self._spawn(node)
        up = 0
        for node in self._nodes:
            status = self._wait(node)
            if node.validates:
                up += 1
                self._told(f"validator {up} of {self.plan.validators} up · commit {status.index}")
            else:
                self._told(f"encoder {node.name} up")

    def alive(self) -> None:
        """Raise `UnreachableError` if a node has ended."""
        for node in self._nodes:
            if node.process is not None and node.process.poll() is not None:
                raise UnreachableError(
                    f"the node {node.name} ended with status {node.process.returncode}: {_last_line(node.directory)}",
                    f"see {node.directory / 'node.log'}",
                )

    def stop(self) -> None:
        """End every process that was started here, gently first."""
        started = [node.process for node in self._nodes if node.process is not None]
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)  # nothing happens if it has ended
        deadline = time.monotonic() + STOP_LIMIT
        for process in started:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def found(self) -> None:
        """Make keys for every node, one genesis that names them, and their settings, if `root` holds no network yet."""
        if (self.validator / "genesis.cbor").exists():
            return
        from soma_core.model import Speciality, load_model, read_frame

        if self.root.exists() and any(self.root.iterdir()):
            raise UsageError(f"{self.root}: not empty, and not a network", "name an empty --data-dir")
        plugins = Plugins()
        founders, founding = [], []
        for node in self._nodes:
            node.directory.mkdir(mode=0o700, parents=True)
            roles = ("account", "node", "validator" if node.validates else self.plan.encoder)
            keys = {entry.role: entry.key for entry in KeyStore(node.directory).ensure(roles)}
            founders.append(
                Founder(name=node.name, account=keys["account"], node=keys["node"], validator=keys.get("validator"))
            )
            if not node.validates:
                weights = load_model(node.name)
                speciality = Speciality.beside(node.name, weights.digest)
                founding.append(
                    FoundingEncoder(
                        name=node.name,
                        account=keys[self.plan.encoder],
                        weights=weights.digest,
                        frame=read_frame(weights.frame, weights.digest).digest(),
                        architecture=weights.config.architecture,
                        best=speciality.best if speciality else b"",
                    )
                )
        plan = self.plan
        genesis = found_network(
            f"local {self.root.name}",
            founders,
            founding,
            bundled_frame(),
            (plan.consensus, plugins.spec("consensus", plan.consensus)),
            (plan.scoring, plugins.spec("scoring", plan.scoring)),
            plan.parameters,
        )
        from soma_core.genesis import write

        self._introduce({node.name: founder.node for node, founder in zip(self._nodes, founders, strict=True)})
        for node in reversed(self._nodes):  # the first validator's is what `found` looks for
            write(genesis, node.directory / "genesis.cbor")

    def _introduce(self, keys: Mapping[str, bytes]) -> None:
        """Everybody's settings: where validators listen, and who knows them. `keys`: of the nodes, by name."""
        import trio

        from soma_core.config import Options
        from soma_core.node.listening import addresses_of

        validators = [node for node in self._nodes if node.validates]
        ports = dict(zip((node.name for node in validators), _free_ports(len(validators)), strict=True))
        known: dict[str, str] = {}
        for node in validators:
            self._settings(node, [], ports[node.name])
            options = Options(data_dir=node.directory, environ={}, directory=node.directory)
            (address,) = trio.run(addresses_of, options, node.directory, keys[node.name])
            known[node.name] = f"{keys[node.name].hex()}@{address}"
        for node in self._nodes:
            peers = [address for name, address in known.items() if name != node.name]
            self._settings(node, peers, ports.get(node.name))

    def _settings(self, node: _Process, peers: Sequence[str], port: int | None) -> None:
        """The node's soma.toml."""
        plan = self.plan
        own = [plan.consensus] if node.validates else [plan.encoder]
        if node.directory == self.validator:
            own.append(plan.index)
        sections: dict[str, Mapping[str, Any]] = {"node": {"peers": list(peers)}}
        if port is not None:
            sections[plan.transport.replace("-", ".", 1)] = {"listen": f"/ip4/127.0.0.1/tcp/{port}"}
        if not node.validates:
            sections[plan.encoder.replace("-", ".", 1)] = {"weights": node.name, "threads": 1}
        lines = [f"plugins = {_toml([*own, plan.transport, plan.ledger])}"]
        for section, values in sections.items():
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
        (node.directory / "soma.toml").write_text("\n".join(lines) + "\n", "utf-8")

    def _spawn(self, node: _Process) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SOMA_")}
        with (node.directory / "node.log").open("ab") as log:
            node.process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "soma_core.cli", "run", "--until-eof", "--data-dir", str(node.directory)],
                stdin=subprocess.PIPE,  # it ends with us, however we do
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is the parent's to pass on
            )

    def _wait(self, node: _Process) -> control.Status:
        """The node's status, once it answers and its encoders are ready."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            self.alive()
            try:
                with Node(node.directory) as asked:
                    status = asked.ask(control.STATUS, control.Empty())
            except UnreachableError:
                time.sleep(POLL)
                continue
            if all(encoder.state == "ready" for encoder in status.encoders):
                return status
            time.sleep(POLL)
        raise UnreachableError(
            f"the node {node.name} is not up after {START_LIMIT:g} s", f"see {node.directory}/node.log"
        )


def _as_founded(path: Path, plan: Plan) -> Plan:
    """`plan`, with the validators and encoders of the genesis at `path`, if it is there."""
    if not path.exists():
        return plan
    from soma_core.genesis import read

    genesis = read(path)
    return evolve(plan, validators=len(genesis.validators), encoders=tuple(e.name for e in genesis.encoders))


def _free_ports(count: int) -> list[int]:
    """Ports of loopback at which nobody listens."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        if len(found) == count:
            break
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Asked to end: as Ctrl-C, so that the children are ended too."""
    raise KeyboardInterrupt


def _last_line(directory: Path) -> str:
    try:
        lines = (directory / "node.log").read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1] if lines else "its log is empty"


def _toml(value: object) -> str:
    """A TOML literal of text, integers and arrays of them; JSON's form of these is TOML's."""
    import json

    return json.dumps(value, ensure_ascii=False)
