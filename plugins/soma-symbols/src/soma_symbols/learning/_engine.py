"""The encoder behind ``encoder-symbols``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from soma_core.api import EncoderContext, Evaluation
from soma_core.errors import SettingsError
from soma_core.model import ReferenceSymbols, SymbolsConfig, evaluate, load_model, locate, weights_digest

from . import Config


class SymbolEncoder:
    """Items one after the other. What it computes is exact, so that it is the referee's own arithmetic."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._go_on = context.go_on
        weights = load_model(config.weights)
        if not isinstance(weights.config, SymbolsConfig):
            raise SettingsError(
                f"weights {config.weights}: their architecture is {weights.config.architecture}",
                f"give weights of {SymbolsConfig.architecture}, or name another plugin",
            )
        shape, self.info = weights.config, weights.info("f32", config.max_batch)
        if config.strategy not in {"as trained", shape.strategy}:
            shape = evolve(shape, strategy=config.strategy)
            digest = weights_digest(shape, Path(locate(config.weights)))
            self.info = evolve(self.info, weights=digest, frame=b"")
        self._model = ReferenceSymbols(shape, weights.tensors)

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Vectors of length 1, float32 [B, dim]. Raises `ValueError` naming the position of a bad item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Vectors and bits per byte. Nothing is drawn: `seed` changes nothing."""
        del seed
        return evaluate(self._model, batch, self.info.dim, self._go_on)
