"""The commands of ``soma encoder`` that try a model by itself: no node, no keys, no network."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click

from soma_core.errors import EncoderError

from ._options import json_option
from ._print import data as say
from ._print import data_json, talk
from ._reading import read_file
from ._settings import settings_of
from ._threads import take_one_thread

SHOWN = 8
"""Components of a vector that are printed."""

DIGITS = 300
"""That are tried, if nothing is said."""

_COUNT = click.IntRange(0, 10_000)


@click.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--plugin", default="encoder-jax", show_default=True, help="An installed encoder plugin.")
@click.option("--weights", help="A bundled name or a .safetensors file, for plugins that take one.")
@json_option
def try_(*, file: Path, plugin: str, weights: str | None, as_json: bool) -> None:
    """Run one encoder on FILE, with no node, no keys and no network."""
    take_one_thread()
    import soma_core
    from soma_core.crypto import digest
    from soma_core.fixed import vector_bytes
    from soma_core.model import MAX_ITEM

    data = read_file(file, MAX_ITEM)

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


@click.command("eval")
@click.option("--weights", required=True, metavar="NAME|FILE", help="A bundled encoder, or a .safetensors file.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="JSON",
    help="The model's shape and the regulariser, by the live network's names; else the .json beside the weights.",
)
@click.option("--data", "file", required=True, type=click.Path(path_type=Path), metavar="FILE", help="What is read.")
@click.option("--engine", default="numpy", metavar="NAME", help="encoder-NAME computes: numpy, jax, …  [numpy]")
@click.option("--policy", type=click.Choice(["soma", "v1-local", "v1-chain"]), default="soma", show_default=True)
@click.option("--batch", type=click.IntRange(1, 4096), default=16, show_default=True, help="Rows read together.")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), default=0, show_default=True, help="Of the slices.")
@click.option("--dtype", type=click.Choice(["f32", "f64", "bf16", "int8"]), default="f32", show_default=True)
@json_option
def evaluate(  # one for each thing that the numbers depend on
    *,
    weights: str,
    config: Path | None,
    file: Path,
    engine: str,
    policy: str,
    batch: int,
    seed: int,
    dtype: str,
    as_json: bool,
) -> None:
    """Loss and embedding of FILE under one of the published policies, with no node and no network.

    v1-local and v1-chain are the live network's: nats and its regulariser. soma is this network's: bits per byte.
    """
    take_one_thread()
    from soma_core.model import MAX_ITEM

    from . import _evaluating

    request = _evaluating.Request(weights, config, engine, dtype, policy, batch, seed)
    answer = _evaluating.evaluate(request, read_file(file, MAX_ITEM))
    shown = _evaluating.as_json(answer)
    if as_json:
        data_json(shown)
        return
    score = answer.score
    say(f"{file} · encoder-{engine} · {answer.numeric_class} · policy {policy} · {score.batches} batches")
    say(f"loss       {score.loss:.6f} {'bits/byte' if policy == 'soma' else 'nats, regulariser included'}")
    say(f"ce         {score.ce:.6f} nats")
    say(f"reg        {score.reg:.6f}")
    first = "  ".join(f"{x:+.4f}" for x in score.embedding[:SHOWN])
    say(f"embedding  {len(score.embedding)} numbers  {first}  …")


@click.command()
@click.option("--weights", required=True, metavar="NAME|FILE", help="A bundled encoder, or a .safetensors file.")
@click.option("--form", type=click.Choice(["safetensors", "onnx"]), default="safetensors", show_default=True)
@click.option("--plugin", default="encoder-jax", show_default=True, help="An engine that exports what it runs.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(), metavar="DIR", help="Else this folder.")
@json_option
def export(*, weights: str, form: Literal["safetensors", "onnx"], plugin: str, out: Path, as_json: bool) -> None:
    """Write a model as files named by the digest of its weights, so that versions can lie and serve side by side.

    An .onnx graph takes ids, targets, cos and sin, and gives pooled and nats: rules M40 and M41 of specs/20-model.md.
    """
    from . import _exporting

    done = _exporting.export(plugin, weights, form, out)
    if as_json:
        data_json({"weights": done.digest.hex(), "files": [str(file) for file in done.files]})
        return
    for file in done.files:
        say(str(file))


@click.command()
@click.option("--plugin", metavar="NAME", help="What runs them.  [default: encoder-jax, else encoder-numpy]")
@click.option(
    "--weights", multiple=True, metavar="NAME|FILE", help="A bundled encoder or a file; repeat it.  [default: bundled]"
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the plugin; repeat it.")
@click.option(
    "--beside",
    multiple=True,
    metavar="NAME|FILE",
    help="Compare with this one of ours, run by encoder-jax; repeat it.",
)
@click.option(
    "--data", "folders", multiple=True, type=click.Path(path_type=Path), metavar="DIR", help="Files of your own, too."
)
@click.option("--items", type=_COUNT, default=24, show_default=True, help="Held-out items of each kind, at most.")
@click.option("--functions", type=_COUNT, default=200, show_default=True, help="Functions with docstrings, at most.")
@click.option(
    "--digits", type=_COUNT, help="Handwritten digits, at most.  [default: 300, of scikit-learn if it is there]"
)
@click.option("--pairs", type=_COUNT, default=64, show_default=True, help="Pairs of sentences, at most.")
@click.option(
    "--bytes", "bytes_most", type=click.IntRange(64, 1 << 20), default=1024, show_default=True, help="Of an item."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Draw it all: PNG files in this folder.")
@json_option
def report(
    *,
    plugin: str | None,
    weights: tuple[str, ...],
    assignments: tuple[str, ...],
    beside: tuple[str, ...],
    folders: tuple[Path, ...],
    digits: int | None,
    out: Path | None,
    as_json: bool,
    **sizes: int,
) -> None:
    """Say how good encoders are: likelihood beside xz, what their vectors find, how they agree, how they are spread.

    On data that comes with Python, with the bundled encoders and with scikit-learn; 0 of something leaves it out. What
    each figure is: specs/61-report.md.
    """
    from . import _report_tables, _reporting

    take_one_thread()
    from soma_core.quality import Sizes, draw, gather, measure, prepare

    if out is not None:
        prepare(out)
    installed = find_spec("sklearn") is not None
    sizes["digits"] = digits if digits is not None else DIGITS if installed else 0
    if digits is None and not installed:
        talk("digits are left out: scikit-learn is not installed; python3 -m pip install scikit-learn")
    talk("gathering items")
    corpora = gather(Sizes(**sizes), folders)
    opened = _reporting.read(corpora, plugin, weights, settings_of(assignments), beside)
    found = measure(corpora, {name: each.readings for name, each in opened.items()})
    if out is not None:
        for file in draw(found, out):
            talk(f"drawn: {file}")
    if as_json:
        data_json(_reporting.about(opened, sizes) | found.told())
        return
    for line in _report_tables.lines(found):
        say(line)
