"""The encoder behind ``encoder-jax``: chunks of all items, equal ones once, end to end in slabs of one size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from soma_core.api import EncoderContext, Evaluation
from soma_core.model import cut, load_weights, onnx_model, rotation, token_budget, turns, write_tensors

from . import Config
from ._forward import Parameters, as_arrays, charged_nats, pooled, representations
from ._packing import Slab, places, slabs

DTYPES: Final = {"f32": "float32", "f64": "float64", "bf16": "bfloat16"}


class JaxEncoder:
    """In float32, results are those of the NumPy referee within 2e-6 bits per byte and 1e-6 in a vector."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._go_on = context.go_on
        weights = load_weights(config.weights)
        self._shape = shape = weights.config
        self._wide = "float64" if config.dtype == "f64" else "float32"
        self._rows = max(1, token_budget(config.tokens, gpu=jax.default_backend() != "cpu") // shape.seq)
        self._parameters = as_arrays(weights.tensors, DTYPES[config.dtype])
        self.info = weights.info(config.dtype, config.max_batch)

        def read(
            parameters: Parameters, ids: Array, targets: Array, positions: Array, chunk: Array
        ) -> tuple[Array, Array]:
            with jax.default_matmul_precision("highest"):
                turned = tuple(jnp.asarray(table)[positions][:, None] for table in rotation(shape, self._wide))
                reps = representations(parameters, shape, ids, turned, chunk)
                return pooled(reps, chunk, places(shape.seq)), charged_nats(parameters, reps, targets)

        def told(parameters: Parameters, ids: Array, targets: Array, cos: Array, sin: Array) -> tuple[Array, Array]:
            with jax.default_matmul_precision("highest"):
                reps = representations(parameters, shape, ids, (cos, sin))
                return reps, charged_nats(parameters, reps, targets)

        def weighed(parameters: Parameters, weights: Array, *slab: Array) -> Array:
            return jnp.sum(read(parameters, *slab)[1] * weights)

        self._tell = jax.jit(told)
        self._slope = jax.jit(jax.grad(weighed))
        # The only shape there is, compiled here: no job ever waits for a compiler.
        empty = jax.ShapeDtypeStruct((self._rows, shape.seq), np.int32)
        self._read = jax.jit(read).lower(self._parameters, *[empty] * 4).compile()

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """Raw vectors, float32 [B, dim]. Raises `ValueError` naming the position of an empty or too large item."""
        return self.evaluate(batch, b"").vectors

    def evaluate(self, batch: Sequence[bytes], seed: bytes) -> Evaluation:
        """Raw vectors and bits per byte. The architecture draws nothing: `seed` changes nothing."""
        del seed
        work = cut(batch, self._shape.seq)
        sums, nats = np.zeros((len(work.pieces), self.info.dim)), np.zeros(len(work.pieces))
        for slab in self._slabs(work.pieces):
            given = self._read(self._parameters, slab.ids, slab.targets, slab.positions, slab.chunk)
            summed, charged = (np.asarray(part, np.float64) for part in given)
            for row, numbers in enumerate(slab.rows):
                sums[numbers] = summed[row, : len(numbers)]
                nats[numbers] = np.bincount(slab.chunk[row], charged[row], len(numbers))[: len(numbers)]
        return work.join(sums, nats)

    def gradient(self, batch: Sequence[bytes], seed: bytes) -> Mapping[str, NDArray[np.float32]]:
        """The gradient of the items' summed bits per byte (before `MAX_LOSS` is applied), by tensor name."""
        del seed
        work = cut(batch, self._shape.seq)
        shares = np.append(work.shares(), 0).astype(np.float32)
        total = {name: np.zeros(p.shape) for name, p in self._parameters.items()}
        for slab in self._slabs(work.pieces):
            numbers = np.full((self._rows, places(self._shape.seq) + 1), -1)
            for row, own in enumerate(slab.rows):
                numbers[row, : len(own)] = own
            weights = shares[np.take_along_axis(numbers, slab.chunk, 1)]
            slopes = self._slope(self._parameters, weights, slab.ids, slab.targets, slab.positions, slab.chunk)
            for name, slope in slopes.items():
                total[name] += np.asarray(slope)
        return {name: slope.astype(np.float32) for name, slope in total.items()}

    def forward(
        self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The last layer [B, T, dim] and the nats of each target [B, T], of whole numbers [B, T]."""
        cos, sin = (table[:, None] for table in turns(self._shape, positions, self._wide))
        reps, nats = self._tell(self._parameters, np.int32(ids), np.int32(targets), cos, sin)
        return np.asarray(reps), np.asarray(nats)

    def export(self, form: Literal["safetensors", "onnx"]) -> bytes:
        """The model as one file: weights in the layout of rule M20, or a graph that gives ``pooled`` and ``nats``.

        Raises `SettingsError` for ``onnx`` without the package of that name.
        """
        tensors = {name: np.asarray(tensor, np.float32) for name, tensor in self._parameters.items()}
        return write_tensors(tensors) if form == "safetensors" else onnx_model(self._shape, tensors, ("pooled", "nats"))

    def _slabs(self, pieces: Sequence[bytes]) -> Iterator[Slab]:
        for slab in slabs(pieces, self._shape.seq, self._rows):
            self._go_on()
            yield slab
