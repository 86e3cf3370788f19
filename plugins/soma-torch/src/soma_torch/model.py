"""``encoder-torch-model``: an operator's own Torch model, bytes, text or pictures to a vector, by settings alone."""

from pathlib import Path

from attrs import frozen

from soma_core.api import Encoder, EncoderContext, EncoderSpec, TakingConfig, hookimpl, option, required


@frozen(kw_only=True)
class Config(TakingConfig):
    """The operator's settings. All but `device`, `threads` and `max_batch` change what a vector is."""

    file: Path = required(Path, "the path of its .safetensors file; its map into the frame stands beside it")
    module: str = required(str, "what makes the model: an installed module and a name in it, as package.module:Name")
    arguments: str = option("{}", "by what it is called: a JSON object")
    mask: str = option("", "the argument that says which tokens count, if it wants to know")
    device: str = option("cpu", "cpu, cuda, or cuda:N")
    threads: int = option(0, "threads of one computation on the CPU; 0 takes all cores", min=0, max=1024)
    max_batch: int = option(16, "items computed at once", min=1, max=1024)


@hookimpl
def soma_encoder() -> EncoderSpec[Config]:
    """A model of the operator's own, which no auditor can compute again: half weight, wins nothing."""
    return EncoderSpec(api=1, config=Config, open=open_encoder)


def open_encoder(config: Config, context: EncoderContext) -> Encoder:
    """Make the model and read its weights. Raises `DecodeError` for bad weights, else `SettingsError`."""
    del context
    from ._own import OwnModel

    return OwnModel(config)
