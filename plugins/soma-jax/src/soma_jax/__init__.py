"""``encoder-jax``: byte transformers on JAX, and the trainer behind ``soma train``."""

import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option

if TYPE_CHECKING:
    from soma_core.model import ModelConfig, Weights

    from ._training import Progress


@frozen
class Config:
    """The operator's settings."""

    weights: str = option("generalist", "a bundled name or the path of a .safetensors file")
    dtype: Literal["f32", "f64", "bf16"] = option("f32", "how it computes; only f32 takes part in paid jobs")
    threads: int = option(0, "threads of one computation on the CPU; 0 takes all cores", min=0, max=1024)
    tokens: int = option(0, "bytes computed at once; 0 takes 512 on a CPU, 16384 on a GPU", min=0, max=1 << 24)
    max_batch: int = option(64, "items the host passes at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Byte transformers on JAX, CPU or GPU."""
    return EncoderSpec(
        api=1, config=Config, open=open_encoder, features=frozenset({"loss", "gradient", "export", "forward"})
    )


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the weights and start JAX. Raises `SettingsError` for weights not there, `DecodeError` for bad ones."""
    if not _take_threads(config.threads):
        context.log.info("JAX is already imported: its threads stay as they are")
    if config.dtype == "f64":
        _take_float64()
    logging.getLogger("jax._src.xla_bridge").setLevel(logging.WARNING)  # that there is no TPU is no news
    from ._engine import JaxEncoder

    return JaxEncoder(config, context)


def train(
    data: Sequence[Path],
    out: Path,
    *,
    start: "Weights[ModelConfig] | ModelConfig",
    report: "Callable[[Progress], None]",
    threads: int = 0,
    **plan: Any,
) -> bytes:
    """What ``soma train`` calls: train on `data`, write `out` and its config, return the weights' digest.

    `start`: weights to go on from, or the shape of new ones. `plan`: fields of the trainer's plan (steps, minutes,
    batch, seed, rate, regulariser, coefficient). Raises `UsageError` for data that cannot be used.
    """
    _take_threads(threads)
    from ._training import Plan, train_file

    return train_file(data, out, start=start, plan=Plan(**plan), report=report)


def _take_float64() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)  # noqa: FBT003  # as JAX has it


def _take_threads(threads: int) -> bool:
    """Whether JAX will use that many threads; 0 leaves the choice to it."""
    if threads and "jax" in sys.modules:
        return False
    if threads:  # XLA reads it once, when it starts its pool
        os.environ["NPROC"] = str(threads)
    return True
