"""``encoder-symbols``: vectors and byte costs from symbols alone, learned from nothing but data."""

from pathlib import Path
from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option

BUNDLED = str(Path(__file__).with_name("data") / "words.safetensors")
"""The small model that comes with it."""


@frozen
class Config:
    """The operator's settings."""

    weights: str = option(BUNDLED, "the path of a .safetensors file that `soma symbols train` wrote")
    strategy: Literal["as trained", "feature", "hash", "semantic", "hybrid"] = option(
        "as trained", "what vectors are made of; another than the weights were trained for has no frame map"
    )
    max_batch: int = option(64, "items the host passes at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Embeddings from symbols alone, of whole numbers, the same on every machine."""
    return EncoderSpec(api=1, config=Config, open=open_encoder, features=frozenset({"loss"}))


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the weights. Raises `SettingsError` for weights that are not there, `DecodeError` for bad ones."""
    from ._engine import SymbolEncoder

    return SymbolEncoder(config, context)
