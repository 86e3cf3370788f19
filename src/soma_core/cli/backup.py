"""``soma backup``: a node's chain in one file."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ._options import json_option, with_options
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api import control
    from soma_core.config import Options

PATIENCE: Final = 3600.0
"""Seconds that a node may take to write its backup."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--keys", is_flag=True, help="With the encrypted key files. Their passphrase is never in a backup.")
@json_option
@with_options
def backup(options: "Options", *, file: Path, keys: bool, as_json: bool) -> None:
    """Write all that the node's chain is into FILE, running or not: genesis, ledger, and what open jobs need."""
    target = file.absolute()
    reply = _write(options, target, keys=keys)
    if as_json:
        data_json(
            {
                "file": str(target),
                "bytes": target.stat().st_size,
                "chain": reply.chain.hex(),
                "commit": reply.index,
                "record": reply.record.hex(),
                "keys": keys,
            }
        )
        return
    data(f"{target}: chain {reply.chain.hex()[:12]} up to commit {reply.index}, {target.stat().st_size:,} bytes")
    with_keys = "the encrypted keys are in it, their passphrase is not" if keys else "keys are not in it (--keys)"
    talk(f"{with_keys}; the record of what was signed never is. Back: soma restore {file} --data-dir NEW")


def _write(options: "Options", target: Path, *, keys: bool) -> "control.BackupReply":
    """By the node that runs, else by ourselves."""
    from soma_core.api import control
    from soma_core.errors import UnreachableError
    from soma_core.node.assembly import data_dir_of, genesis_path

    from ._client import Node

    data_dir = data_dir_of(options)
    try:
        node = Node(data_dir, patience=PATIENCE)
    except UnreachableError:
        import trio

        from soma_core.node.restoring import back_up_stopped

        async def ours() -> control.BackupReply:
            about = await back_up_stopped(options, data_dir, genesis_path(options), target, keys=keys)
            return control.BackupReply(chain=about.chain, index=about.index, record=about.record)

        return trio.run(ours)
    with node:
        return node.ask(control.BACKUP, control.Backup(path=str(target), keys=keys))
