"""``encoder-torch``: byte transformers on Torch."""

from typing import Literal

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, hookimpl, option


@frozen
class Config:
    """The operator's settings."""

    weights: str = option("generalist", "a bundled name or the path of a .safetensors file")
    dtype: Literal["f32", "f64", "bf16"] = option("f32", "how it computes; only f32 takes part in paid jobs")
    device: str = option("cpu", "cpu, cuda, or cuda:N")
    threads: int = option(0, "threads of one computation on the CPU; 0 takes all cores", min=0, max=1024)
    tokens: int = option(0, "bytes computed at once; 0 takes 512 on a CPU, 16384 on a GPU", min=0, max=1 << 24)
    max_batch: int = option(64, "items the host passes at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """Byte transformers on Torch, CPU or CUDA."""
    return EncoderSpec(
        api=1, config=Config, open=open_encoder, features=frozenset({"loss", "gradient", "export", "forward"})
    )


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Read the weights and start Torch. Raises `SettingsError` for what is not there, `DecodeError` for bad weights."""
    from ._engine import TorchEncoder

    return TorchEncoder(config, context)
