"""The encoder behind ``encoder-numpy``."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soma_core.api import EncoderContext, Evaluation
from soma_core.errors import EncoderError
from soma_core.model import ReferenceTransformer, evaluate, load_model, referee

from . import Config

DTYPES: Final = {"f32": np.float32, "f64": np.float64}


class NumpyEncoder:
    """Items one after the other, each by itself: a row cannot depend on its batch."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._go_on = context.go_on
        weights = load_model(config.weights)
        self._model = referee(weights.config, weights.tensors, DTYPES[config.dtype])
        self.info = weights.info(config.dtype, config.max_batch)

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an empty or too large item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Raw vectors and bits per byte. No architecture draws anything: `seed` changes nothing."""
        del seed
        return evaluate(self._model, batch, self.info.dim, self._go_on)

    def forward(
        self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The last layer [B, T, dim] and the nats of each target [B, T], of whole numbers [B, T].

        Raises `EncoderError` where the weights are of an architecture that has no layers.
        """
        if not isinstance(self._model, ReferenceTransformer):
            raise EncoderError(
                f"the architecture {self.info.architecture} has no layers to look at", "give weights of a transformer"
            )
        return self._model.forward(ids, positions, targets)
