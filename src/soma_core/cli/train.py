"""``soma train``: data to weights, by JAX."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soma_core.errors import PluginError, UsageError

from ._options import json_option
from ._print import data as say
from ._print import data_json, talk

if TYPE_CHECKING:
    from soma_core.model import ModelConfig, Weights

TRAINER = "soma_jax"
"""The module with the trainer; its distribution is soma-jax."""

MOST_STEPS = 10_000_000

_SHAPE = {"dim": 128, "ffn": 256, "layers": 2, "heads": 2, "seq": 256}


@click.command()
@click.option(
    "--data", "data", multiple=True, required=True, type=click.Path(path_type=Path), help="File or folder; repeat."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
@click.option("--init", "init", help="Go on from these weights: a bundled name or a file.")
@click.option("--steps", type=click.IntRange(1, MOST_STEPS), help="Steps of one batch.  [default: 2000]")
@click.option("--minutes", type=click.FloatRange(0.01), help="Train for this time instead.")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(1, 4096), help="Chunks in a step.")
@click.option("--rate", default=3e-3, show_default=True, type=click.FloatRange(0, 1), help="Highest learning rate.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights and draws.")
@click.option(
    "--regulariser",
    type=click.Choice(["none", "v1", "lejepa"]),
    default="none",
    show_default=True,
    help="A statistic of collapse in the loss: lejepa keeps vectors spread out; v1 is the live network's.",
)
@click.option("--coefficient", default=0.02, show_default=True, type=click.FloatRange(0), help="How much it counts.")
@click.option("--dim", type=click.IntRange(2), help="Length of a vector.  [default: 128]")
@click.option("--ffn", type=click.IntRange(1), help="Width of the hidden layer.  [default: 256]")
@click.option("--layers", type=click.IntRange(1), help="[default: 2]")
@click.option("--heads", type=click.IntRange(1), help="[default: 2]")
@click.option("--seq", type=click.IntRange(2), help="Bytes of a chunk.  [default: 256]")
@click.option("--threads", default=0, type=click.IntRange(0), help="0 takes all cores.")
@click.option("--overwrite", is_flag=True, help="Replace --out if it exists.")
@json_option
def train(
    *, data: tuple[Path, ...], out: Path, init: str | None, overwrite: bool, as_json: bool, **settings: Any
) -> None:
    """Train a byte transformer on files and print held-out bits per byte.

    One file of twenty is held out. Each --data counts alike, however large; one given twice counts double. Writes the
    weights and, beside them, their config.
    """
    shape = {name: settings.pop(name) for name in _SHAPE}
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise UsageError(f"{out}: not a .safetensors file in a folder that exists", "choose another --out")
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists", "choose another --out, or add --overwrite")
    if settings["steps"] is None:
        settings["steps"] = 2000 if settings["minutes"] is None else MOST_STEPS
    start = _start(init, shape)
    try:
        trainer = import_module(TRAINER)
    except ModuleNotFoundError as error:
        raise PluginError("soma train: the trainer is not installed", "python3 -m pip install soma-jax") from error
    history: list[Any] = []

    def report(progress: Any) -> None:
        history.append(progress)
        held_out = "" if progress.held_out is None else f"   held out {progress.held_out:.4f}"
        reg = "" if settings["regulariser"] == "none" else f"   {settings['regulariser']} {progress.reg:.2f}"
        talk(f"step {progress.step:>7}  {progress.bits:.4f} bits/byte{held_out}{reg}  {progress.seconds:.0f} s")

    digest = trainer.train(data, out, start=start, report=report, **settings)
    last = history[-1]
    if as_json:
        data_json(
            {
                "weights": str(out),
                "digest": digest.hex(),
                "steps": last.step,
                "held_out_bits_per_byte": last.held_out,
                "seconds": round(last.seconds, 3),
            }
        )
    else:
        say(f"{out} · weights {digest.hex()[:12]}… · {last.step} steps in {last.seconds:.0f} s")


def _start(init: str | None, shape: dict[str, int | None]) -> "Weights[ModelConfig] | ModelConfig":
    from soma_core.model import ModelConfig, load_weights

    given = {name: value for name, value in shape.items() if value is not None}
    if init is None:
        return ModelConfig(**(_SHAPE | given), rope_base=10_000, rope_scale=1)
    if given:
        raise UsageError(f"--{min(given)} beside --init: weights keep their shape", "leave one of them out")
    return load_weights(init)
