"""The encoder behind ``encoder-onnx``: chunks of all items of a batch, equal ones once, in groups of like length."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soma_core.api import EncoderContext, Evaluation
from soma_core.model import cut, groups, load_weights, onnx_model, rotation, rows, token_budget, turns

from . import Config
from ._session import session


class OnnxEncoder:
    """In float32, results are those of the NumPy referee within 5e-6 bits per byte and 5e-6 in a vector."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._config = config
        self._context = context
        self._tokens = token_budget(config.tokens, gpu=config.device == "cuda")
        self._weights = load_weights(config.weights)
        self._shape = self._weights.config
        self._reader = self._session("pooled", "nats")
        self._cos, self._sin = (table[None, None] for table in rotation(self._shape, "float32"))
        self.info = self._weights.info(config.dtype, config.max_batch)

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an empty or too large item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Raw vectors and bits per byte. The architecture draws nothing: `seed` changes nothing."""
        del seed
        work = cut(batch, self._shape.seq)
        sums, nats = np.zeros((len(work.pieces), self.info.dim)), np.zeros(len(work.pieces))
        for numbers in groups(work.pieces, self._tokens):
            self._context.go_on()
            length = len(work.pieces[numbers[0]])
            slab = rows([work.pieces[number] for number in numbers], length)
            given = {"ids": np.int64(slab.ids), "targets": np.int64(slab.targets)}
            pooled, charged = self._reader.run(
                None, {**given, "cos": self._cos[..., :length, :], "sin": self._sin[..., :length, :]}
            )
            sums[numbers], nats[numbers] = pooled, charged.sum(1, dtype=np.float64)
        return work.join(sums, nats)

    def forward(
        self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The last layer [B, T, dim] and the nats of each target [B, T], of whole numbers [B, T]."""
        cos, sin = (table[:, None] for table in turns(self._shape, positions, "float32"))
        given = {"ids": np.int64(ids), "targets": np.int64(targets), "cos": cos, "sin": sin}
        reps, nats = self._teller.run(None, given)
        return reps, nats

    @cached_property
    def _teller(self) -> Any:
        return self._session("representations", "nats")

    def _session(self, *outputs: str) -> Any:
        model = onnx_model(self._shape, self._weights.tensors, outputs)
        if self._config.dtype == "int8":
            from ._quantising import quantised

            model = quantised(model, self._context.directory)
        return session(model, self._config.device, self._config.threads)
