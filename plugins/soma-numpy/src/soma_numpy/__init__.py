"""``encoder-numpy``: byte transformers on NumPy alone, the referee of audits."""

import os
import sys
from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option

_THREAD_SETTINGS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@frozen
class Config:
    """The operator's settings."""

    weights: str = option("generalist", "a bundled name or the path of a .safetensors file")
    dtype: Literal["f32", "f64"] = option("f32", "how it computes; only f32 takes part in paid jobs")
    threads: int = option(
        1, "threads of one computation; 0 takes all cores, which is slow beside others", min=0, max=1024
    )
    max_batch: int = option(64, "items the host passes at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Byte transformers on NumPy alone: the referee of audits."""
    return EncoderSpec(api=1, config=Config, open=open_encoder, features=frozenset({"loss", "forward"}))


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the weights. Raises `SettingsError` for weights that are not there, `DecodeError` for bad ones."""
    if config.threads:  # BLAS spins while it waits: on a busy machine two threads are eight times slower than one
        if "numpy" in sys.modules:
            context.log.info("NumPy is already imported: its threads stay as they are")
        else:  # BLAS reads these once, on import
            os.environ.update(dict.fromkeys(_THREAD_SETTINGS, str(config.threads)))
    from ._engine import NumpyEncoder

    return NumpyEncoder(config, context)
