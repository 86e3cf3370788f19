"""``soma decompress``: what ``soma compress`` packed, bit for bit."""

from typing import TYPE_CHECKING

import click

from ._options import json_option, with_options
from ._print import talk

if TYPE_CHECKING:
    from soma_core.config import Options


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("-o", "out", metavar="OUT", default="-", help="Write this file; else standard output.")
@click.option("--model", metavar="NAME|FILE", help="The byte model it was packed with, if none of the bundled.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@with_options
@json_option
def decompress(options: "Options", *, file: str, out: str, model: str | None, force: bool, as_json: bool) -> None:
    """Unpack FILE, or standard input. OUT is written whole or not at all; standard output gets checked blocks only."""
    from soma_core.errors import DecodeError, UsageError

    from ._coding import STANDARD, choose, reading, tell_json, writing
    from ._container import read_name, unpack
    from ._progress import Progress

    chosen = choose(options, {} if model is None else {"model": model})
    title = "standard input" if file == STANDARD else file
    size = packed = 0
    with reading(file) as source, writing(out, force=force) as target:
        progress = Progress("decompress", None)
        try:
            name = read_name(source.read)
            if name != chosen.name:
                raise UsageError(f"{title} was packed by {name}", f"unpack it with --plugin {name}")
            for block, frame in unpack(source.read, chosen.component):
                target.write(block)
                size += len(block)
                packed += frame
                progress.step(size)
        except DecodeError as error:
            raise DecodeError(f"{title}: {error.what}", error.remedy) from error
        finally:
            progress.close()
    if as_json:
        told = {"packed": packed, "bytes": size, "seconds": progress.seconds}
        tell_json({"file": file, "out": out, "plugin": chosen.name, **told}, out)
    else:
        talk(f"{size:,} bytes in {progress.seconds:.1f} s")
