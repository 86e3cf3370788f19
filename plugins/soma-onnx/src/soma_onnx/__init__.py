"""``encoder-onnx``: byte transformers on ONNX Runtime."""

from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option


@frozen
class Config:
    """The operator's settings."""

    weights: str = option("generalist", "a bundled name or the path of a .safetensors file")
    dtype: Literal["f32", "int8"] = option("f32", "how it computes; only f32 takes part in paid jobs")
    device: Literal["cpu", "cuda"] = option("cpu", "where it computes")
    threads: int = option(0, "threads of one computation on the CPU; 0 takes all cores", min=0, max=1024)
    tokens: int = option(0, "bytes computed at once; 0 takes 512 on a CPU, 16384 on a GPU", min=0, max=1 << 24)
    max_batch: int = option(64, "items the host passes at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Byte transformers on ONNX Runtime, CPU or CUDA."""
    return EncoderSpec(api=1, config=Config, open=open_encoder, features=frozenset({"loss", "forward"}))


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the weights and start the runtime. Raises `SettingsError` for what is not there, else `DecodeError`."""
    from ._engine import OnnxEncoder

    return OnnxEncoder(config, context)
