"""The encoder behind ``encoder-jax``: chunks of all items of a batch, equal ones once, in slabs of few fixed sizes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from soma_core.api import EncoderContext, Evaluation
from soma_core.model import cut, load_weights, onnx_model, rows, turns, write_tensors

from . import Config
from ._forward import Parameters, as_arrays, charged_nats, pooled, representations

DTYPES: Final = {"f32": "float32", "f64": "float64"}
SLABS: Final = (64, 8, 1)
"""Chunks computed at once, and so the shapes that are compiled: the largest that is filled, so that none is padded."""


class JaxEncoder:
    """Results are those of the NumPy referee within 2e-6 bits per byte and 1e-6 in a vector."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._go_on = context.go_on
        weights = load_weights(config.weights)
        self._shape = weights.config
        self._dtype = DTYPES[config.dtype]
        self._parameters = as_arrays(weights.tensors, self._dtype)
        self.info = weights.info(config.dtype, config.max_batch)

        def read(parameters: Parameters, ids: Array, targets: Array) -> tuple[Array, Array]:
            with jax.default_matmul_precision("highest"):
                reps = representations(parameters, self._shape, ids)
                return pooled(reps, ids), charged_nats(parameters, reps, targets)

        def told(parameters: Parameters, ids: Array, targets: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
            with jax.default_matmul_precision("highest"):
                reps = representations(parameters, self._shape, ids, (cos, sin))
                return reps, charged_nats(parameters, reps, targets)

        def weighed(parameters: Parameters, ids: Array, targets: Array, weights: Array) -> Array:
            return jnp.sum(read(parameters, ids, targets)[1].sum(1) * weights)

        self._read = jax.jit(read)
        self._tell = jax.jit(told)
        self._slope = jax.jit(jax.grad(weighed))

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an empty or too large item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Raw vectors and bits per byte. The architecture draws nothing: `seed` changes nothing."""
        del seed
        work = cut(batch, self._shape.seq)
        sums, nats = np.zeros((len(work.pieces), self.info.dim)), np.zeros(len(work.pieces))
        for start, stop, ids, targets in self._slabs(work.pieces):
            summed, charged = self._read(self._parameters, ids, targets)
            sums[start:stop] = np.asarray(summed, np.float64)
            nats[start:stop] = np.asarray(charged, np.float64).sum(1)
        return work.join(sums, nats)

    def gradient(self, batch: Sequence[bytes], seed: bytes) -> Mapping[str, NDArray[np.float32]]:
        """The gradient of the items' summed bits per byte (before `MAX_LOSS` is applied), by tensor name."""
        del seed
        work = cut(batch, self._shape.seq)
        share = work.shares()
        total = {name: np.zeros(p.shape) for name, p in self._parameters.items()}
        for start, stop, ids, targets in self._slabs(work.pieces):
            weights = share[start:stop].astype(np.float32)
            for name, slope in self._slope(self._parameters, ids, targets, weights).items():
                total[name] += np.asarray(slope)
        return {name: slope.astype(np.float32) for name, slope in total.items()}

    def forward(
        self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The last layer [B, T, dim] and the nats of each target [B, T], of whole numbers [B, T]."""
        cos, sin = (table[:, None] for table in turns(self._shape, positions, self._dtype))
        reps, nats = self._tell(self._parameters, np.int32(ids), np.int32(targets), cos, sin)
        return np.asarray(reps), np.asarray(nats)

    def export(self, form: Literal["safetensors", "onnx"]) -> bytes:
        """The model as one file: weights in the layout of rule M20, or a graph that gives ``pooled`` and ``nats``.

        Raises `SettingsError` for ``onnx`` without the package of that name.
        """
        tensors = {name: np.asarray(tensor, np.float32) for name, tensor in self._parameters.items()}
        return write_tensors(tensors) if form == "safetensors" else onnx_model(self._shape, tensors, ("pooled", "nats"))

    def _slabs(self, pieces: Sequence[bytes]) -> Iterator[tuple[int, int, NDArray[np.int32], NDArray[np.int32]]]:
        """(start, stop, ids, targets) of each slab."""
        start = 0
        while start < len(pieces):
            stop = start + next(size for size in SLABS if size <= len(pieces) - start)
            self._go_on()
            slab = rows(list(pieces[start:stop]), self._shape.seq)
            yield start, stop, slab.ids.astype(np.int32), slab.targets.astype(np.int32)
            start = stop
