"""``soma restore``: a node's data directory from a backup."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import json_option, with_options
from ._print import data, data_json, talk

if TYPE_CHECKING:
    from soma_core.config import Options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@with_options
def restore(options: "Options", *, file: Path, as_json: bool) -> None:
    """Make the data directory of a node from the backup FILE. Nothing may be there yet; it is made whole or not."""
    import trio

    from soma_core.node.assembly import data_dir_of
    from soma_core.node.restoring import restore as restored

    target = data_dir_of(options)
    about = trio.run(restored, options, file.absolute(), target)
    if as_json:
        data_json(
            {
                "data_dir": str(target),
                "chain": about.chain.hex(),
                "commit": about.index,
                "record": about.record.hex(),
                "keys": about.keys,
            }
        )
        return
    data(f"{target}: chain {about.chain.hex()[:12]} as of commit {about.index}")
    if not about.keys:
        talk(f"the backup has no keys: put them into {target / 'keys'}, or the node can only follow with new ones")
    talk("let the old node never start again: both would sign. A validator asks its peers for later commits first.")
