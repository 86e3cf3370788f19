"""``soma encoder``: an encoder made, aligned, registered and served; or tried without a network."""

from pathlib import Path
from typing import Any

import click

from soma_core.errors import EncoderError, UsageError

from ._data import data_dir_option
from ._joining import joining_options
from ._options import json_option
from ._print import data as say
from ._print import data_json, talk
from ._reading import read_file

SHOWN = 8
"""Components of a vector that are printed."""

_COUNT = click.IntRange(0, 10_000)


@click.group()
def encoder() -> None:
    """Make an encoder, align it to the network's frame, serve it, register it; or try one by itself."""


@encoder.command()
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), metavar="DIR", help="Else soma-encoder-NAME.")
@json_option
def new(name: str, into: Path | None, as_json: bool) -> None:  # noqa: FBT001  # a flag
    """Write the package of an encoder plugin, encoder-NAME, with a test. Its README says what comes next."""
    import re

    from . import _template

    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise UsageError(f"{name!r:.60} is no name of a plugin", "write small letters, digits and single hyphens")
    folder = into or Path(f"soma-encoder-{name}")
    written = _template.write(folder, name)
    if as_json:
        data_json({"plugin": f"encoder-{name}", "folder": str(folder), "files": [str(file) for file in written]})
        return
    for file in written:
        say(str(file))
    talk(f"next: see {folder / 'README.md'}")


@encoder.command()
@click.argument("weights", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--plugin", metavar="NAME", help="What runs the model.  [default: encoder-jax, else encoder-numpy]")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting of the plugin; repeat it.")
@click.option("--overwrite", is_flag=True, help="Replace the map that stands beside the weights.")
@json_option
def align(*, weights: Path, plugin: str | None, assignments: tuple[str, ...], overwrite: bool, as_json: bool) -> None:
    """Map a model, a .safetensors FILE, into the network's frame, and find what it is good at.

    All anchors go through it. Two files are written beside it: .frame and .speciality. A model of your own, such as an
    .onnx file with --plugin encoder-onnx-model, has no losses, and so no speciality.
    """
    from . import _aligning

    map_file = weights.with_suffix(".frame")
    if map_file.exists() and not overwrite:
        raise UsageError(f"{map_file}: exists", "add --overwrite to align the weights again")
    engine = plugin or _aligning.engine_installed()

    def told(done: int, of: int) -> None:
        if done == of or done % 128 == 0:
            talk(f"{done} of {of} anchors")

    found = _aligning.align(weights, engine, told, **_settings(assignments))
    agreement = found.agreement
    written = [map_file] if found.speciality is None else [map_file, weights.with_suffix(".speciality")]
    if as_json:
        data_json(
            {
                "weights": found.frame.weights.hex(),
                "frame": found.frame.digest().hex(),
                "files": [str(file) for file in written],
                "anchors": found.anchors,
                "retrieval": agreement.retrieval,
                "cosine": agreement.cosine,
                "holds": agreement.holds,
            }
        )
    else:
        say(f"{map_file} · {found.frame.raw_dim} → {found.frame.dim} dimensions")
        say(f"finds {agreement.retrieval:.0%} of {agreement.items} anchors it was not fitted on")
        say(f"centred cosine {agreement.cosine:.2f}")
    if not agreement.holds:
        talk("too little to be comparable: train on, or on more kinds of data, before you register it")


@encoder.command()
@click.argument("plugin")
@joining_options
@data_dir_option
def serve(plugin: str, beside: Path | None, genesis: Path | None, peers: tuple[str, ...], data_dir: Path) -> None:
    """Run a node that serves the encoder PLUGIN in a network, until Ctrl-C. It can be registered while it runs."""
    from . import _joining

    _joining.join(data_dir, beside, genesis, peers, plugin, plugin)
    _joining.run(data_dir)


@encoder.command()
@click.argument("plugin")
@click.argument("stake")
@click.option("--name", metavar="NAME", help="What receipts call it.  [default: the plugin's own name]")
@json_option
@data_dir_option
def register(plugin: str, stake: str, name: str | None, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001
    """Register the encoder PLUGIN, which the node in --data-dir runs, with STAKE in SOMA from its own account.

    It may be drawn from the next epoch on.
    """
    from soma_core.api import control, standing

    from . import _acting
    from ._client import Node
    from ._money import shannons

    chosen = name or plugin.partition("-")[2].replace("-", "_")
    request = standing.JoinEncoders(plugin=plugin, name=chosen, stake=shannons(stake))
    with Node(data_dir) as node:
        done = _acting.accepted("register_encoder", node.ask(control.JOIN_ENCODERS, request))
    if as_json:
        data_json(_acting.as_json(done, name=chosen, stake=request.stake))
    else:
        say(f"{chosen} is registered: it may be drawn from the next epoch on")


@encoder.command()
@click.argument("plugin")
@click.argument("weights")
@json_option
@data_dir_option
def update(plugin: str, weights: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Bring out new WEIGHTS of the encoder PLUGIN, which the node in --data-dir runs: an aligned .safetensors file.

    They are sealed now, shown in the next epoch and in force in the one after, while the node runs: it has copies, and
    answers with the present ones until then. `soma status` says when.
    """
    from soma_core.api import control, standing
    from soma_core.model import load_weights, locate

    from . import _acting
    from ._client import Node

    digest = load_weights(weights).digest
    request = standing.RenewWeights(plugin=plugin, weights=str(locate(weights).absolute()))
    with Node(data_dir) as node:
        done = _acting.accepted("commit_weights", node.ask(control.RENEW_WEIGHTS, request))
        epoch = next(
            (each.next_epoch for each in node.ask(control.STATUS, control.Empty()).encoders if each.plugin == plugin), 0
        )
    if as_json:
        data_json(_acting.as_json(done, weights=digest.hex(), epoch=epoch))
    else:
        say(f"sealed: weights {digest.hex()[:12]} hold from epoch {epoch} on, if the node runs until then")


@encoder.command()
@click.argument("plugin")
@json_option
@data_dir_option
def leave(plugin: str, as_json: bool, data_dir: Path) -> None:  # noqa: FBT001  # a flag
    """Have the encoder of PLUGIN drawn no more from the next epoch on. `soma stake withdraw` takes its stake out."""
    from soma_core import chain

    from . import _acting
    from ._client import Node

    with Node(data_dir) as node:
        done = _acting.act(node, plugin, "deactivate_encoder", chain.DeactivateEncoder())
    if as_json:
        data_json(_acting.as_json(done))
    else:
        say("it is drawn no more from the next epoch on")


@encoder.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--plugin", default="encoder-jax", show_default=True, help="An installed encoder plugin.")
@click.option("--weights", help="A bundled name or a .safetensors file, for plugins that take one.")
@json_option
def try_(*, file: Path, plugin: str, weights: str | None, as_json: bool) -> None:
    """Run one encoder on FILE, with no node, no keys and no network."""
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


@encoder.command(name="eval")
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


@encoder.command()
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
@click.option("--digits", type=_COUNT, default=300, show_default=True, help="Handwritten digits, at most.")
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
    out: Path | None,
    as_json: bool,
    **sizes: int,
) -> None:
    """Say how good encoders are: likelihood beside xz, what their vectors find, how they agree, how they are spread.

    On data that comes with Python, with the bundled encoders and with scikit-learn; 0 of something leaves it out. What
    each figure is: specs/61-report.md.
    """
    from . import _report_tables, _reporting

    _reporting.take_one_thread()
    from soma_core.quality import Sizes, draw, gather, measure, prepare

    if out is not None:
        prepare(out)
    talk("gathering items")
    corpora = gather(Sizes(**sizes), folders)
    opened = _reporting.read(corpora, plugin, weights, _settings(assignments), beside)
    found = measure(corpora, {name: each.readings for name, each in opened.items()})
    if out is not None:
        for file in draw(found, out):
            talk(f"drawn: {file}")
    if as_json:
        data_json(_reporting.about(opened, sizes) | found.told())
        return
    for line in _report_tables.lines(found):
        say(line)


def _settings(assignments: tuple[str, ...]) -> dict[str, Any]:
    """Settings of a plugin, as they were given. Raises `UsageError`."""
    from soma_core.config import toml_or_text

    settings = {}
    for assignment in assignments:
        key, mark, value = assignment.partition("=")
        if not mark:
            raise UsageError(f"--set: {assignment!r:.60}: not a setting", "write KEY=VALUE, such as takes=image")
        settings[key.strip()] = toml_or_text(value.strip())
    return settings
