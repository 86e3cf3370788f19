"""``soma encoder``: an encoder made, aligned, registered and served; or tried without a network."""

from pathlib import Path

import click

from soma_core.errors import UsageError

from . import _encoder_alone
from ._data import data_dir_option
from ._joining import joining_options
from ._options import json_option
from ._print import data as say
from ._print import data_json, talk
from ._settings import settings_of


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
@click.option("--plugin", metavar="NAME", help="What runs the model.  [default: the fastest that is installed]")
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
    engine = plugin or _aligning.engine_for(weights)

    def told(done: int, of: int) -> None:
        if done == of or done % 128 == 0:
            talk(f"{done} of {of} anchors")

    found = _aligning.align(weights, engine, told, **settings_of(assignments))
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
    from soma_core.model import load_model, locate

    from . import _acting
    from ._client import Node

    digest = load_model(weights).digest
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


for _each in (_encoder_alone.try_, _encoder_alone.evaluate, _encoder_alone.export, _encoder_alone.report):
    encoder.add_command(_each)
