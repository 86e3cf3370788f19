"""The encoder behind ``encoder-torch-model``. No pickle is read: weights are safetensors, the model installed code."""

import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from soma_core.errors import EncoderError, SettingsError
from soma_core.model import foreign_info, pool, read_tensors, taking

from ._device import device_of
from .model import Config


class OwnModel:
    """A foreign model: opaque, as nobody else has it. Its digest is that of the weights and of what settings matter."""

    def __init__(self, config: Config) -> None:
        if config.threads:
            torch.set_num_threads(config.threads)
        self._config = config
        self._take = taking(config)
        self._device = device_of(config.device)
        self._model = _made(config).to(self._device).eval()
        self.info = foreign_info(config, config.file, config.max_batch, self.encode, config.module)

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an item that is not taken."""
        given, counts = self._take(batch)
        more = {self._config.mask: torch.from_numpy(counts).to(self._device)} if self._config.mask else {}
        with torch.inference_mode():
            out = self._model(torch.from_numpy(given).to(self._device), **more)
        if not isinstance(out, torch.Tensor):
            raise EncoderError(f"the model gives a {type(out).__name__}, not a tensor", "name one that gives a tensor")
        return pool(self._config.pool, out.float().cpu().numpy(), counts)


def _made(config: Config) -> Any:
    """The model with its weights. Raises `SettingsError`, `DecodeError`."""
    name, mark, attribute = config.module.partition(":")
    try:
        arguments = json.loads(config.arguments)
        model = getattr(import_module(name), attribute)(**arguments) if mark else None
    except Exception as error:  # whatever somebody's module raises
        raise SettingsError(
            f"module {config.module}: {type(error).__name__}: {error}", "name an installed module, and its arguments"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise SettingsError(f"module {config.module}: it makes no torch.nn.Module", "write package.module:Name")
    tensors = {key: torch.from_numpy(tensor.copy()) for key, tensor in read_tensors(config.file).items()}
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise SettingsError(f"{config.file}: {said:.300}", "give the weights of this model") from error
    return model
