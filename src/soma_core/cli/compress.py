"""``soma compress``: bytes packed without loss."""

import os
from typing import TYPE_CHECKING, Any, Final

import click

from ._options import json_option, with_options
from ._print import talk

if TYPE_CHECKING:
    from soma_core.config import Options

BLOCK: Final = 4
"""MiB of a block: memory and the time between two signs of progress grow with it, packed bytes shrink."""


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("-o", "out", metavar="OUT", default="-", help="Write this file; else standard output.")
@click.option("--method", metavar="NAME", help="adaptive, rle, pattern or frequency.")
@click.option("--model", metavar="NAME|FILE", help="Ask this byte model too: a bundled name or a .safetensors file.")
@click.option("--block", type=click.IntRange(1, 16), default=BLOCK, show_default=True, help="MiB of a block.")
@click.option("--force", is_flag=True, help="Overwrite OUT.")
@with_options
@json_option
def compress(  # as many as the command line has
    options: "Options",
    *,
    file: str,
    out: str,
    method: str | None,
    model: str | None,
    block: int,
    force: bool,
    as_json: bool,
) -> None:
    """Pack FILE, or standard input, so that `soma decompress` gives back every bit."""
    from soma_core.errors import SettingsError

    from ._coding import STANDARD, choose, reading, tell_json, writing
    from ._container import pack
    from ._progress import Progress

    settings = {key: value for key, value in (("method", method), ("model", model)) if value is not None}
    chosen = choose(options, settings)
    title = "standard input" if file == STANDARD else file
    with reading(file) as source, writing(out, force=force) as target:
        progress = Progress("compress", _size(source.fileno()) if file != STANDARD else None)
        try:
            size, packed = pack(
                source.read, target, chosen.component, chosen.name, block << 20, lambda done, _: progress.step(done)
            )
        except ValueError as error:
            raise SettingsError(f"{title}: {chosen.name}: {error}", "pack it by another method") from error
        finally:
            progress.close()
    told = _told(chosen.config, size, packed, progress.seconds)
    if as_json:
        tell_json({"file": file, "out": out, "plugin": chosen.name, **told}, out)
    else:
        share = f" ({100 * packed / size:.1f} %)" if size else ""
        talk(f"{size:,} bytes → {packed:,}{share} in {told['seconds']:.1f} s, {size / told['seconds']:,.0f} bytes/s")
        if told["model"]:
            model_ = told["model"]
            talk(f"model {model_['name']}: {model_['bytes']:,} bytes, not in the file: who unpacks it needs it")


def _size(descriptor: int) -> int:
    return os.fstat(descriptor).st_size


def _told(config: Any, size: int, packed: int, seconds: float) -> dict[str, Any]:
    name = getattr(config, "model", "")
    return {
        "method": getattr(config, "method", None),
        "model": _model(name) if name else None,
        "bytes": size,
        "packed": packed,
        "ratio": packed / size if size else None,
        "seconds": seconds,
    }


def _model(name: str) -> dict[str, Any]:
    """What a model is called, where its weights are no part of what was packed."""
    from soma_core.model import load_weights, locate

    return {"name": name, "bytes": locate(name).stat().st_size, "digest": load_weights(name).digest.hex()}
