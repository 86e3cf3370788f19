"""A data directory for a node that joins a network: keys, genesis, peers, plugins. Then the node itself."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from soma_core.errors import UsageError

from ._print import talk

if TYPE_CHECKING:
    from soma_core.genesis import Genesis

OTHERS = ("transport-libp2p", "ledger-sqlite")
"""Plugins of such a node beside the one that makes it what it is."""


def joining_options(function: Any) -> Any:
    """``--beside``, ``--genesis`` and ``--peer``: whom to join."""
    for option in (
        click.option("--peer", "peers", multiple=True, metavar="KEY@ADDRESS", help="A node of the network; repeat."),
        click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE", help="The network's genesis file."),
        click.option("--beside", type=click.Path(path_type=Path), metavar="DIR", help="A node here: its --data-dir."),
    ):
        function = option(function)
    return function


def join(
    data_dir: Path, beside: Path | None, genesis: Path | None, peers: Sequence[str], plugin: str, *roles: str
) -> None:
    """Make `data_dir` that of a node of the network, unless it is one. `plugin`: "" for the network's consensus."""
    from soma_core.genesis import write

    if (data_dir / "genesis.cbor").exists():
        _keys(data_dir, roles)
        return
    found, addresses = _network(beside, genesis)
    known = [*peers, *addresses]
    if not known:
        raise UsageError("nobody of the network is named", "say --beside DIR, or --genesis FILE and --peer KEY@ADDRESS")
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _keys(data_dir, roles)
    settings = data_dir / "soma.toml"
    if not settings.exists():
        plugins = [plugin or found.consensus.plugin, *OTHERS]
        settings.write_text(f"plugins = {json.dumps(plugins)}\n\n[node]\npeers = {json.dumps(known)}\n", "utf-8")
    write(found, data_dir / "genesis.cbor")
    talk(f"{data_dir}: a node of {found.name}, with keys of its own and the settings in {settings}")


def _keys(data_dir: Path, roles: Sequence[str]) -> None:
    """Make what keys are missing, and say whose account needs money."""
    from soma_core.keystore import KeyStore

    made = {entry.role: entry.address for entry in KeyStore(data_dir).ensure(("account", "node", *roles))}
    paying = next((role for role in roles if role.startswith("encoder-")), "account")
    talk(f"{paying}: its address is {made[paying].hex()}")


def run(data_dir: Path) -> NoReturn:
    """Become `soma run`: the process that runs the node has never seen a secret."""
    sys.stdout.flush()
    sys.stderr.flush()
    words = [sys.executable, "-m", "soma_core.cli", "run", "--data-dir", str(data_dir)]
    os.execv(sys.executable, words)  # noqa: S606  # ourselves


def _network(beside: Path | None, genesis: Path | None) -> "tuple[Genesis, list[str]]":
    """A network's genesis, and the addresses of the node beside this one."""
    from soma_core.api import control
    from soma_core.genesis import MAX_FILE, Genesis, check, read
    from soma_core.records import unpack

    from ._client import Node

    if beside is None:
        if genesis is None:
            raise UsageError("no network is named", "say --beside DIR, or --genesis FILE and --peer KEY@ADDRESS")
        return read(genesis), []
    with Node(beside) as node:
        status = node.ask(control.STATUS, control.Empty())
        _, file = node.ask_with_payload(control.GENESIS, control.Empty())
    found = check(unpack(Genesis, file, max_size=MAX_FILE))
    return found, [f"{status.node.hex()}@{address}" for address in status.addresses]
