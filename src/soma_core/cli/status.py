"""``soma status``: how a running node is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._data import data_dir_option
from ._options import json_option
from ._print import columns, data, data_json

if TYPE_CHECKING:
    from soma_core.api.control import EncoderStatus, Status


@click.command()
@json_option
@data_dir_option
def status(as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Say how the node in --data-dir is."""
    from attrs import asdict

    from soma_core.api import control

    from ._client import Node
    from ._money import soma

    with Node(data_dir) as node:
        s = node.ask(control.STATUS, control.Empty())
        supply = node.ask(control.SUPPLY, control.Empty())
        encoders = node.ask(control.ENCODERS, control.Empty()).encoders
    if as_json:
        data_json(
            {
                "version": s.version,
                "network": s.network,
                "chain": s.chain.hex(),
                "data_dir": s.data_dir,
                "roles": list(s.roles),
                "commit": s.index,
                "time": s.time,
                "epoch": s.epoch,
                "rules": {"version": s.rules, "known": s.known_rules, "safe_mode": s.parked > 0, "parked": s.parked},
                "state": s.state.hex(),
                "account": s.account.hex(),
                "balance": s.balance,
                "node": s.node.hex(),
                "addresses": list(s.addresses),
                "peers": s.peers,
                "validators": s.validators,
                "running": [_running(e) for e in s.encoders],
                "encoders": [
                    {"name": e.name, "address": e.address.hex(), "stake": e.stake, "gate": e.gate} for e in encoders
                ],
                "open_jobs": s.open_jobs,
                "mempool": s.mempool,
                "free": s.free,
                "takes_work": s.takes_work,
                "index": None if s.vectors is None else asdict(s.vectors),
                "supply": {
                    "genesis": supply.genesis,
                    "emitted": supply.emitted,
                    "total": supply.total,
                    "drift": supply.drift,
                },
            }
        )
        return
    rows = [
        ("network", f"{s.network} · chain {s.chain.hex()[:12]}"),
        ("node", f"{' and '.join(s.roles) or 'follower'} · {s.peers} peers · {s.data_dir}"),
        ("commit", f"{s.index} · epoch {s.epoch} · state {s.state.hex()[:12]}"),
        ("rules", rules_in_words(s)),
        ("account", f"{s.account.hex()} · {soma(s.balance)} SOMA"),
        ("runs", ", ".join(f"{e.name} ({e.plugin}, {_words(e)})" for e in s.encoders) or "no encoder"),
        ("encoders", ", ".join(f"{e.name} {soma(e.stake, 0)}" for e in encoders) or "none"),
        ("waiting", f"{s.open_jobs} jobs open · {s.mempool} transactions"),
        ("disk", f"{s.free / (1 << 30):.1f} GiB free{'' if s.takes_work else ': nearly full, no new work is taken'}"),
        ("index", index_in_words(s)),
        ("supply", f"{soma(supply.total)} SOMA · {'exact' if supply.drift == 0 else f'DRIFT {supply.drift}'}"),
        *(("address", f"{s.node.hex()}@{address}") for address in s.addresses),
    ]
    for line in columns(rows):
        data(line)


def rules_in_words(s: "Status") -> str:
    """Which version of the rules is in force, and whether the last epoch ended whole."""
    version = f"version {s.rules}" if s.rules == s.known_rules else f"version {s.rules} of {s.known_rules} known here"
    if not s.parked:
        return version
    waits = "the money of one epoch waits" if s.parked == 1 else f"the money of {s.parked} epochs waits"
    return f"{version} · SAFE MODE: a rule failed at the last end of an epoch, and {waits}"


def index_in_words(s: "Status") -> str:
    """Which index holds what was embedded, and how it is."""
    if s.vectors is None:
        return "none: --plugin index-exact keeps what is embedded for `soma search`"
    late = f" · {s.vectors.behind} commits behind" if s.vectors.behind else ""
    return f"{s.vectors.plugin} · {s.vectors.vectors:,} vectors · {s.vectors.state}{late}"


def _running(each: "EncoderStatus") -> dict[str, Any]:
    known = {"name": each.name, "plugin": each.plugin, "state": each.state, "weights": each.weights.hex()}
    return {**known, "next_weights": each.next_weights.hex(), "next_epoch": each.next_epoch}


def _words(each: "EncoderStatus") -> str:
    coming = f", weights {each.next_weights.hex()[:12]} from epoch {each.next_epoch} on" if each.next_weights else ""
    return each.state + coming
