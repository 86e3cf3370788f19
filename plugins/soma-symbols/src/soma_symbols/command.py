"""``soma symbols``: an encoder learned from files, vectors of files, and what a weights file is."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from soma_core.api import CommandSpec, hookimpl
from soma_core.errors import UsageError

if TYPE_CHECKING:
    from soma_core.model import Referee, Shape, Weights

_PATH = click.Path(path_type=Path)
_STRATEGIES = click.Choice(["feature", "hash", "semantic", "hybrid"])
_STDIN_MOST = 1 << 30


@hookimpl
def soma_command() -> CommandSpec:
    """An encoder learned from files, vectors of files, and what a weights file is."""
    return CommandSpec(api=1, open=lambda: symbols)


@click.group()
def symbols() -> None:
    """Embeddings from symbols alone: learn them from files, use them, look at them."""


@symbols.command()
@click.option("--data", "data", multiple=True, required=True, type=_PATH, help="File or folder; repeat it.")
@click.option("--out", required=True, type=_PATH, help="The .safetensors file to write.")
@click.option("--strategy", type=_STRATEGIES, default="semantic", show_default=True, help="What vectors are made of.")
@click.option("--dim", type=int, default=128, show_default=True, help="Length of a vector, even.")
@click.option("--epochs", type=click.IntRange(0, 100), default=0, show_default=True, help="Passes of skip-gram.")
@click.option("--window", type=click.IntRange(1, 64), default=8, show_default=True, help="Tokens to either side.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--learned", type=click.IntRange(1, 1 << 21), default=30_000, show_default=True, help="Tokens learned.")
@click.option("--least", type=click.IntRange(1), default=5, show_default=True, help="Times a token must be seen.")
@click.option("--tokens", type=int, default=1 << 14, show_default=True, help="Rows for tokens: a power of two.")
@click.option("--grams", type=int, default=1 << 10, show_default=True, help="Rows for parts of unknown words.")
@click.option("--slots", type=int, default=1 << 18, show_default=True, help="Entries of the byte model.")
@click.option("--seq", type=int, default=1024, show_default=True, help="Bytes of a chunk.")
@click.option("--byte-passes", type=click.IntRange(0, 100), default=1, show_default=True, help="Of the byte model.")
@click.option("--byte-share", type=click.IntRange(1), default=1, show_default=True, help="Read every so many-th chunk.")
@click.option("--overwrite", is_flag=True, help="Replace --out if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(*, data: tuple[Path, ...], out: Path, overwrite: bool, as_json: bool, **settings: Any) -> None:
    """Learn an encoder from files, in passes over them: no pretrained model, no network.

    Writes the weights and, beside them, their config. `soma encoder align FILE` then maps it into the network's frame.
    """
    from .learning import training

    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise UsageError(f"{out}: not a .safetensors file in a folder that exists", "choose another --out")
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists", "choose another --out, or add --overwrite")
    done = training.train(training.gather(data), out, training.Plan(**settings), _talk)
    if as_json:
        found = {
            "weights": str(out),
            "digest": done.digest.hex(),
            "tokens_read": done.read,
            "tokens_known": done.known,
            "counts_short_by": {"tokens": done.short[0], "pairs": done.short[1]},
            "seconds": round(done.seconds, 1),
        }
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"{out} · weights {done.digest.hex()[:12]}… · {done.known} tokens in {done.seconds:.0f} s")


@symbols.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="FILE...")
@click.option("--weights", type=_PATH, help="The .safetensors file.  [default: the small model that comes with it]")
@click.option("--strategy", type=_STRATEGIES, help="What vectors are made of.  [default: as trained]")
@click.option("--out", type=_PATH, help="Write the vectors there, a row a file, as .npy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def embed(
    *, files: tuple[Path, ...], weights: Path | None, strategy: str | None, out: Path | None, as_json: bool
) -> None:
    """The vectors of files, each of length 1, and how many bits a byte of them costs. - is standard input.

    A line a file: its name, bits per byte, and the numbers, with tabs between.
    """
    import numpy as np

    if out is not None and (out.suffix != ".npy" or not out.parent.is_dir()):
        raise UsageError(f"{out}: not a .npy file in a folder that exists", "choose another --out")
    loaded = _load(weights)
    model = _model(loaded, strategy)
    rows, found = [], []
    for file in files:
        try:
            reading = model.read(_bytes(file))
        except ValueError as error:
            raise UsageError(f"{file}: {error}", "give files that are not empty") from error
        rows.append(reading.vector)
        found.append({"name": str(file), "bits_per_byte": reading.bits_per_byte})
        if out is None and not as_json:
            click.echo(f"{file}\t{reading.bits_per_byte:.6f}\t{' '.join(f'{x:.8g}' for x in reading.vector.tolist())}")
    if out is not None:
        with out.open("wb") as target:
            np.save(target, np.stack(rows))
    if as_json:
        if out is None:
            found = [{**each, "vector": row.tolist()} for each, row in zip(found, rows, strict=True)]
        whole = {"weights": loaded.digest.hex(), "dim": loaded.config.dim, "items": found}
        click.echo(json.dumps(whole if out is None else whole | {"out": str(out)}, indent=2))
    elif out is not None:
        click.echo(f"{out} · {len(rows)} × {loaded.config.dim}")


@symbols.command()
@click.argument("weights", required=False, type=_PATH, metavar="[FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(*, weights: Path | None, as_json: bool) -> None:
    """What a weights FILE is: its digest, shape and tables. Without FILE, of the small model that comes with it."""
    loaded = _load(weights)
    told = {
        "weights": loaded.digest.hex(),
        **json.loads(loaded.config.to_json()),
        "tokens_known": int((loaded.tensors["tokens.prints"] > 0).sum()),
        "entries_used": int((loaded.tensors["bytes.entries"] != 0).sum()),
        "bytes": sum(tensor.nbytes for tensor in loaded.tensors.values()),
        "aligned": bool(loaded.frame),
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        for name, value in told.items():
            click.echo(f"{name.replace('_', ' '):<14} {value}")


def _load(weights: Path | None) -> "Weights[Shape]":
    from soma_core.model import SymbolsConfig, load_model

    from .learning import BUNDLED

    loaded = load_model(Path(BUNDLED) if weights is None else weights)
    if not isinstance(loaded.config, SymbolsConfig):
        raise UsageError(
            f"{weights}: the architecture is {loaded.config.architecture}",
            "give a file that `soma symbols train` wrote",
        )
    return loaded


def _model(loaded: "Weights[Shape]", strategy: str | None) -> "Referee":
    from attrs import evolve

    from soma_core.model import referee

    config: Any = loaded.config if strategy is None else evolve(cast("Any", loaded.config), strategy=strategy)
    return referee(config, loaded.tensors)


def _bytes(file: Path) -> bytes:
    if str(file) == "-":
        data: bytes = sys.stdin.buffer.read(_STDIN_MOST + 1)
        if len(data) > _STDIN_MOST:
            raise UsageError(f"standard input has more than {_STDIN_MOST} bytes", "give less at a time")
        return data
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", "give files that can be read") from error


def _talk(text: str) -> None:
    click.echo(text, err=True)
