"""``encoder-onnx-model``: an operator's own ONNX model, bytes, text or pictures to a vector, by settings alone."""

from pathlib import Path
from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, TakingConfig, hookimpl, option, required


@frozen(kw_only=True)
class Config(TakingConfig):
    """The operator's settings. All but `threads`, `device` and `max_batch` change what a vector is."""

    file: Path = required(Path, "the path of the .onnx file; its map into the frame stands beside it")
    output: str = option("", "the tensor that is the vector, any of the model's; else its first output")
    device: Literal["cpu", "cuda"] = option("cpu", "where it computes")
    threads: int = option(0, "threads of one computation on the CPU; 0 takes all cores", min=0, max=1024)
    max_batch: int = option(16, "items computed at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """A model of the operator's own, which no auditor can compute again: half weight, wins nothing."""
    return EncoderSpec(api=1, config=Config, open=open_encoder)


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the file. Raises `DecodeError` for one that is refused, `SettingsError` for settings that do not fit it."""
    del context
    from ._own import OwnModel

    return OwnModel(config)
