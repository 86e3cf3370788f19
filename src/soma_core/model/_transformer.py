"""The byte transformer in NumPy, one item at a time: the referee. Rules M8 to M14 of ``specs/20-model.md``.

Float32 decides audits, float64 is the truth that other engines are measured against.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ._config import ModelConfig
from ._contract import FIRST_BYTE_BITS, MAX_CHUNKS, PAD, chunks
from ._erf import erf
from ._reading import Array, Reading

LAYER_NORM_EPSILON: Final = 1e-5


@lru_cache(maxsize=8)
def rotation(config: ModelConfig, dtype: str) -> tuple[Array, Array]:
    """Cosine and sine [seq, head_dim / 2] for the positions of a chunk, counted from its start."""
    cos, sin = turns(config, np.arange(config.seq), dtype)
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin


def turns(config: ModelConfig, positions: NDArray[Any], dtype: str) -> tuple[Array, Array]:
    """Cosine and sine [..., head_dim / 2] of position / rope_base^(2i/d) / rope_scale: float64 work, then `dtype`."""
    half = config.head_dim // 2
    frequency = float(config.rope_base) ** (-np.arange(half) * 2 / config.head_dim) / config.rope_scale
    angle = positions[..., None] * frequency
    return np.cos(angle).astype(dtype), np.sin(angle).astype(dtype)


class ReferenceTransformer:
    """A byte transformer with NumPy alone, `dtype` float32 or float64.

    Each chunk is computed by itself and at its own length: no result depends on a batch or on padding.
    """

    def __init__(
        self, config: ModelConfig, tensors: Mapping[str, NDArray[np.float32]], dtype: type[Any] = np.float32
    ) -> None:
        config.check({name: tensor.shape for name, tensor in tensors.items()})
        self.config = config
        self._tensors: dict[str, Array] = {name: np.asarray(tensor, dtype) for name, tensor in tensors.items()}
        self._cos, self._sin = rotation(config, np.dtype(dtype).name)
        self._dtype = dtype

    def read(self, data: bytes, max_chunks: int = MAX_CHUNKS) -> Reading:
        """Vector and loss of one item. Raises `ValueError` if it is empty or larger than any item may be."""
        known: dict[bytes, tuple[Array, float]] = {}
        total, bits, size = np.zeros(self.config.dim), 0.0, 0
        for piece in chunks(data, self.config.seq, max_chunks):
            if piece not in known:
                reps = self._representations(np.frombuffer(piece, np.uint8), self._cos, self._sin)
                known[piece] = reps.sum(0, dtype=np.float64), self.bits(piece, reps)
            summed, charged = known[piece]
            total += summed
            bits += charged
            size += len(piece)
        return Reading((total / size).astype(self._dtype), bits, size)

    def forward(self, ids: NDArray[Any], positions: NDArray[Any], targets: NDArray[Any]) -> tuple[Array, Array]:
        """The normalised last layer [B, T, dim], and −ln p of each target [B, T], 0 where the target is PAD.

        Of token `ids`, `positions` and `targets`, whole numbers [B, T].
        """
        cos, sin = turns(self.config, positions, np.dtype(self._dtype).name)
        reps = np.stack([self._representations(*row) for row in zip(ids, cos, sin, strict=True)])
        return reps, np.where(
            targets == PAD, 0, np.stack([self._nats(*row) for row in zip(reps, targets, strict=True)])
        )

    def _representations(self, ids: NDArray[Any], cos: Array, sin: Array) -> Array:
        """The normalised last layer [n, dim] at the n positions of one row."""
        n, heads, d = len(ids), self.config.heads, self.config.head_dim
        cos, sin = cos[:n], sin[:n]
        x = self._tensors["embedding.weight"][ids]
        hidden = np.triu(np.ones((n, n), bool), 1)
        for i in range(self.config.layers):
            layer = f"encoder.layers.{i}"
            h = self._normalise(f"{layer}.norm_1", x)
            query, key, value = (
                self._linear(f"{layer}.attention.{part}", h).reshape(n, heads, d).transpose(1, 0, 2)
                for part in ("query", "key", "value")
            )
            scores = _turn(query, cos, sin) @ _turn(key, cos, sin).transpose(0, 2, 1)
            scores /= self._dtype(np.sqrt(d))
            scores[:, hidden] = np.finfo(self._dtype).min
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(-1, keepdims=True)
            mixed = (scores @ value).transpose(1, 0, 2).reshape(n, heads * d)
            x = x + self._linear(f"{layer}.attention.output", mixed)
            h = self._linear(f"{layer}.pwff.linear_inner", self._normalise(f"{layer}.norm_2", x))
            x = x + self._linear(f"{layer}.pwff.linear_outer", gelu(h))
        return self._normalise("final_norm", x)

    def bits(self, piece: bytes, reps: Array) -> float:
        """Bits charged for one chunk: 8 for its first byte, −log2 p for each that follows. Summed in float64."""
        nats = self._nats(reps[:-1], np.frombuffer(piece, np.uint8)[1:])
        return FIRST_BYTE_BITS + float(nats.sum(dtype=np.float64)) / float(np.log(2))

    def _nats(self, reps: Array, targets: NDArray[Any]) -> Array:
        """−ln p of each target [n]."""
        logits = self._linear("predictor", reps)
        highest = logits.max(-1, keepdims=True)
        whole: Array = np.log(np.exp(logits - highest).sum(-1)) + highest[:, 0]
        whole -= logits[np.arange(len(targets)), targets]
        return whole

    def _linear(self, name: str, x: Array) -> Array:
        out: Array = x @ self._tensors[f"{name}.weight"]
        out += self._tensors[f"{name}.bias"]
        return out

    def _normalise(self, name: str, x: Array) -> Array:
        centred: Array = x - x.mean(-1, keepdims=True)
        centred /= np.sqrt((centred * centred).mean(-1, keepdims=True) + self._dtype(LAYER_NORM_EPSILON))
        centred *= self._tensors[f"{name}.gamma"]
        centred += self._tensors[f"{name}.beta"]
        return centred


def _turn(x: Array, cos: Array, sin: Array) -> Array:
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def gelu(x: Array) -> Array:
    """The Gaussian error linear unit x · Φ(x), with the exact error function."""
    half = x.dtype.type(0.5)
    out: Array = erf(x * x.dtype.type(np.sqrt(0.5)))
    out += 1
    out *= x
    out *= half
    return out
