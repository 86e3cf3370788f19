"""``encoder-onnx-model``: an operator's own ONNX model, bytes, text or pictures to a vector, by settings alone."""

from pathlib import Path
from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option, required


@frozen
class Config:
    """The operator's settings. All but `threads`, `device` and `max_batch` change what a vector is."""

    file: Path = required(Path, "the path of the .onnx file; its map into the frame stands beside it")
    output: str = option("", "the tensor that is the vector, any of the model's; else its first output")
    pool: Literal["none", "mean", "first"] = option(
        "none", "of an output [B, T, d]: the mean over what counts, or the first"
    )
    takes: Literal["bytes", "text", "image"] = option("bytes", "what goes in")
    length: int = option(512, "bytes or tokens that go in, at most", min=1, max=1 << 20)
    tail: int = option(0, "of these, bytes from the end of the item", min=0, max=1 << 20)
    pad: int = option(0, "the number behind the last byte or token", min=0, max=1 << 31)
    tokenizer: str = option("", "of text: the path of a tokenizer.json")
    width: int = option(224, "of pictures, in pixels", min=1, max=4096)
    height: int = option(224, "of pictures, in pixels", min=1, max=4096)
    mean: tuple[float, ...] = option((0.485, 0.456, 0.406), "of pictures: what is taken from red, green and blue, 0..1")
    deviation: tuple[float, ...] = option((0.229, 0.224, 0.225), "of pictures: what these are divided by")
    layout: Literal["planes", "pixels"] = option("planes", "of pictures: [3, height, width], or [height, width, 3]")
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
