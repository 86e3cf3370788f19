"""``coder-soma``: lossless compression by methods of our own. Chapter ``specs/82-compression.md``."""

import os
import sys
from typing import Final, Literal

from attrs import frozen

from soma_core.api import Coder, CoderSpec, hookimpl, option

__all__ = ["CoderConfig", "open_coder", "soma_coder"]

_THREAD_SETTINGS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@frozen
class CoderConfig:
    """Settings of ``[coder.soma]``: how to pack. What was packed under any of them unpacks under all."""

    method: Literal["adaptive", "rle", "pattern", "frequency"] = option(
        "adaptive", "adaptive: context mixing; the others: runs, a grammar, or frequent tokens in few bits"
    )
    stream: str = option("word", "whose tokens rle, pattern and frequency count: a stream of tokenizer-soma")
    model: str = option("", "a bundled name or the path of a .safetensors file: adaptive asks it beside its orders")


@hookimpl
def soma_coder() -> CoderSpec[CoderConfig]:
    """Context mixing, alone or with a byte model beside it; and runs, a grammar, frequencies over tokens."""
    return CoderSpec(api=1, config=CoderConfig, open=open_coder)


def open_coder(config: CoderConfig) -> Coder:
    """Read the model, if one is named.

    Raises `SettingsError` or `DecodeError` for a model that is none, `ValueError` for one that the integer engine
    cannot run, for a stream that there is not, and for a model beside a method that asks none.
    """
    if "numpy" not in sys.modules:  # BLAS reads these once, on import; it spins while it waits, and one core does it
        os.environ.update(dict.fromkeys(_THREAD_SETTINGS, "1"))
    from ._methods import coder

    return coder(config.method, config.stream, config.model)
