"""``soma genesis``: genesis files made, shown and checked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._data import data_dir_option
from ._default import DefaultGroup
from ._options import json_option, with_options
from ._print import columns, data, data_json

if TYPE_CHECKING:
    from soma_core.config import Options
    from soma_core.genesis import Genesis


@click.group(cls=DefaultGroup, default="show")
def genesis() -> None:
    """Make, show and check genesis files; alone, show that of --data-dir."""


@genesis.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@data_dir_option
def show(file: Path | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Show a genesis FILE; without one, that of --data-dir."""
    from soma_core.genesis import read

    from ._money import soma

    found = read(file or data_dir / "genesis.cbor")
    if as_json:
        data_json(_as_json(found))
        return
    rows = [
        ("network", found.name),
        ("chain", found.chain.hex()),
        ("protocol", found.protocol.hex()),
        ("supply", f"{soma(found.supply)} SOMA"),
        ("consensus", f"{found.consensus.plugin} · {found.consensus.rule_id} version {found.consensus.rule_version}"),
        ("scoring", f"{found.scoring.plugin} · {found.scoring.rule_id} version {found.scoring.rule_version}"),
        ("validators", ", ".join(f"{v.name} ({v.power})" for v in found.validators)),
        ("encoders", ", ".join(e.name for e in found.encoders) or "none"),
        ("epoch", f"{found.parameters.epoch_ms / 1000:g} s"),
        ("shard", f"{found.parameters.shard_size} encoders · {found.parameters.dimension} dimensions"),
    ]
    for line in columns(rows):
        data(line)


@genesis.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """Check a genesis FILE: that it is well formed and that what it says fits together."""
    from soma_core.genesis import read

    data(f"{file}: a valid genesis of chain {read(file).chain.hex()}")


@genesis.command()
@with_options
def new(options: "Options") -> None:
    """Found a development network in --data-dir: keys, and a genesis that names them. `soma run` then starts it."""
    import trio

    from soma_core.errors import UsageError
    from soma_core.genesis import read
    from soma_core.node.assembly import data_dir_of, genesis_path
    from soma_core.node.founding import found_development

    path = genesis_path(options)
    if path.exists():
        raise UsageError(f"{path}: there is a genesis already", "name another --data-dir; a network is founded once")
    trio.run(found_development, options, data_dir_of(options), path)
    data(f"{path}: chain {read(path).chain.hex()}")


def _as_json(found: "Genesis") -> Any:
    from soma_core.records import to_value

    return {"chain": found.chain.hex(), "protocol": found.protocol.hex(), **_hexed(to_value(found))}


def _hexed(value: Any) -> Any:
    """Bytes as hex, whatever they are nested in."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _hexed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hexed(item) for item in value]
    return value
