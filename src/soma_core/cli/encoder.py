"""``soma encoder``: one encoder by itself, without a network."""

from pathlib import Path
from typing import Any

import click

from soma_core.errors import EncoderError, UsageError

from ._options import json_option
from ._print import data as say
from ._print import data_json

SHOWN = 8
"""Components of a vector that are printed."""


@click.group()
def encoder() -> None:
    """One encoder by itself."""


@encoder.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--plugin", default="encoder-jax", show_default=True, help="An installed encoder plugin.")
@click.option("--weights", help="A bundled name or a .safetensors file, for plugins that take one.")
@json_option
def try_(*, file: Path, plugin: str, weights: str | None, as_json: bool) -> None:
    """Run one encoder on FILE, with no node, no keys and no network."""
    data = _read(file)
    import soma_core
    from soma_core.crypto import digest
    from soma_core.fixed import vector_bytes

    settings: dict[str, Any] = {} if weights is None else {"weights": weights}
    with soma_core.load(plugin, **settings) as loaded:
        try:
            vector = loaded.encode([data])[0]
            on_chain = loaded.quantise([data])[0]
            bits = float(loaded.evaluate([data]).bits_per_byte[0]) if loaded.has_loss else None
        except ValueError as error:
            raise EncoderError(f"{file}: {error}", "try another file") from error
        info = loaded.info
    answer = {
        "path": str(file),
        "plugin": plugin,
        "bytes": len(data),
        "bits_per_byte": bits,
        "dim": len(vector),
        "vector_digest": digest("soma/vector", vector_bytes(on_chain)).hex(),
        "weights": info.weights.hex(),
        "vector": [float(x) for x in vector],
    }
    if as_json:
        data_json(answer)
        return
    first = "  ".join(f"{x:+.4f}" for x in vector[:SHOWN])
    say(f"{file} · {len(data):,} bytes · {plugin} · weights {info.weights.hex()[:12] or 'none'}")
    say("loss    none: this encoder gives no likelihood" if bits is None else f"loss    {bits:.4f} bits/byte")
    say(f"vector  {len(vector)} numbers · {answer['vector_digest']}")
    say(f"        {first}  …")


def _read(file: Path) -> bytes:
    from soma_core.model import MAX_ITEM

    try:
        if file.stat().st_size > MAX_ITEM:
            raise UsageError(f"{file}: more than {MAX_ITEM} bytes", "give a smaller file")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}", "give the path of a readable file") from error
    if not data:
        raise UsageError(f"{file}: empty", "give a file with at least one byte")
    return data
