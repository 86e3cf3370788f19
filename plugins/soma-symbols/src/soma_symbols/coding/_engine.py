"""The byte transformer of chapter 20 in whole numbers: the same prediction on every machine. Rules CZ30 to CZ35.

Sums of products run through float64 BLAS on whole numbers, and stay below 2^53: they are exact in any order.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.model import ModelConfig

from ._engine_tables import LOG2_E, POINT, POWER_POINT, TURN_POINT, engine_digest, gelu, power, root, turns
from ._slots import Integers

Whole = NDArray[np.float64]
"""Whole numbers as float64, for BLAS."""

WINDOW: Final = 64
"""Bytes of context, at most."""
MAX_DIM: Final = 1024
MAX_FFN: Final = 4096

_STREAM: Final = (1 << 20) - 1
_HIDDEN: Final = (1 << 19) - 1
_LOGIT: Final = 1 << 30
_HEAD: Final = (1 << 17) - 1
_WEIGHT_BITS: Final = 13
_BIAS: Final = float(1 << 50)
_GAMMA: Final = 1 << 19
_EPSILON: Final = 168
"""1e-5 with 24 bits behind the point."""
_ATTENTION_POINT: Final = 16
_GELU_HALF: Final = 8 << POINT


@frozen(eq=False)
class _Linear:
    """Weights [in, out] · 2^shift, biases [out] · 2^(shift + `POINT`), rounded."""

    weights: Whole
    biases: Whole
    shift: int

    def of(self, inputs: Integers) -> Integers:
        """Inputs [rows, in] · W + b, [rows, out], rounded."""
        sums: Whole = inputs.astype(np.float64) @ self.weights
        sums += self.biases
        whole: Integers = sums.astype(np.int64)
        if self.shift:
            whole += 1 << (self.shift - 1)
            whole >>= self.shift
        return whole


@frozen(eq=False)
class _Norm:
    gamma: Integers
    beta: Integers

    def of(self, stream: Integers) -> Integers:
        """Mean taken away, divided by the root of the variance, times gamma, plus beta."""
        centred = stream - stream.sum(-1, keepdims=True) // stream.shape[-1]
        variance = (centred * centred).sum(-1, keepdims=True) // stream.shape[-1] + _EPSILON
        centred <<= POINT + 4
        centred //= root(variance << 8)
        centred *= self.gamma
        centred >>= POINT
        normed: Integers = centred + self.beta
        return normed


@frozen(eq=False)
class _Layer:
    first: _Norm
    heads: _Linear
    """Queries, keys and values, side by side."""
    output: _Linear
    second: _Norm
    inner: _Linear
    outer: _Linear


class IntegerTransformer:
    """A byte transformer whose weights are rounded to whole numbers once.

    Raises `ValueError` for a model that is too large, or with weights too large for exact sums.
    """

    def __init__(self, config: ModelConfig, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        if config.dim > MAX_DIM or config.ffn > MAX_FFN:
            raise ValueError(f"a model of {config.dim} and {config.ffn} units; at most {MAX_DIM} and {MAX_FFN} here")
        self.config = config
        self.window = min(config.seq, WINDOW)
        self.parameters = sum(tensor.size for tensor in tensors.values())
        self._embedding = _rounded(tensors["embedding.weight"], POINT, _STREAM)
        self._layers = [_layer(tensors, f"encoder.layers.{place}") for place in range(config.layers)]
        self._norm = _norm(tensors, "final_norm")
        self._predictor = _linear(tensors, "predictor", outputs=256)
        self._cosines, self._sines = turns(self.window, config.head_dim, config.rope_base, config.rope_scale)
        self.digest = engine_digest(self._cosines, self._sines)
        self._hidden = config.head_dim << 36  # below every score, which two vectors of 2^17.5 at most make
        self._scale = (LOG2_E << 16) // int(root(np.array(config.head_dim << 32)))

    def cache(self, lanes: int) -> Whole:
        """Room for keys and values: [layers, 2, lanes, heads, window, head_dim]."""
        config = self.config
        return np.zeros((config.layers, 2, lanes, config.heads, self.window, config.head_dim))

    def predict(self, cache: Whole, ids: Integers, start: int) -> Integers:
        """What follows `ids` [lanes, n], at positions `start` and on: a weight for each byte, >= 1, [lanes, 256].

        Keys and values of the positions before stand in `cache`, which takes those of `ids`.
        """
        lanes, count = ids.shape
        stream = self._embedding[ids.reshape(-1)]
        last = len(self._layers) - 1
        for place, layer in enumerate(self._layers):
            heads = layer.heads.of(layer.first.of(stream)).reshape(lanes, count, 3, self.config.heads, -1)
            mixed = self._attend(np.clip(heads, -_HEAD, _HEAD), cache[place], start)
            if place == last:  # nobody looks at the last layer of any position but the last
                stream, mixed = stream[count - 1 :: count], mixed[count - 1 :: count]
            stream = np.clip(stream + layer.output.of(mixed), -_STREAM, _STREAM)
            hidden = np.clip(layer.inner.of(layer.second.of(stream)), -_HIDDEN, _HIDDEN)
            stream = np.clip(stream + layer.outer.of(_gelu(hidden)), -_STREAM, _STREAM)
        logits = np.clip(self._predictor.of(self._norm.of(stream)), -_LOGIT, _LOGIT)
        below = (logits.max(-1, keepdims=True) - logits) * LOG2_E >> (POINT + 16 - POWER_POINT)
        return power(below, 20) + 1

    def _attend(self, parts: Integers, cache: Whole, start: int) -> Integers:
        """Of `parts` [lanes, n, 3, heads, head_dim] the values, mixed: [lanes · n, dim]."""
        count = parts.shape[1]
        stop = start + count
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        cosines, sines = self._cosines[start:stop], self._sines[start:stop]
        cache[0, :, :, start:stop] = _turn(key, cosines, sines)
        cache[1, :, :, start:stop] = value
        turned = _turn(query, cosines, sines).astype(np.float64)
        scores = (turned @ cache[0, :, :, :stop].swapaxes(-1, -2)).astype(np.int64)
        if count > 1:
            scores[..., np.arange(stop) > np.arange(start, stop)[:, None]] = -self._hidden
        scores = (scores.max(-1, keepdims=True) - scores) * self._scale >> (2 * POINT + 16 - POWER_POINT)
        shares = power(np.minimum(scores, 63 << POWER_POINT), _ATTENTION_POINT)
        sums = (shares.astype(np.float64) @ cache[1, :, :, :stop]).astype(np.int64)
        sums //= shares.sum(-1, keepdims=True)
        return sums.transpose(0, 2, 1, 3).reshape(-1, self.config.dim)


def _turn(parts: Integers, cosines: Integers, sines: Integers) -> Integers:
    half = parts.shape[-1] // 2
    first, second = parts[..., :half], parts[..., half:]
    turned = np.concatenate((first * cosines - second * sines, second * cosines + first * sines), -1)
    turned += 1 << (TURN_POINT - 1)
    turned >>= TURN_POINT
    return turned


def _gelu(hidden: Integers) -> Integers:
    inside = gelu().take(hidden + _GELU_HALF, mode="clip")
    return np.where(hidden >= _GELU_HALF, hidden, np.where(hidden < -_GELU_HALF, 0, inside))


def _layer(tensors: Mapping[str, NDArray[np.float32]], name: str) -> _Layer:
    heads = _linear(tensors, *(f"{name}.attention.{part}" for part in ("query", "key", "value")))
    output = _linear(tensors, f"{name}.attention.output")
    inner, outer = (_linear(tensors, f"{name}.pwff.linear_{part}") for part in ("inner", "outer"))
    first, second = (_norm(tensors, f"{name}.norm_{part}") for part in (1, 2))
    return _Layer(first, heads, output, second, inner, outer)


def _norm(tensors: Mapping[str, NDArray[np.float32]], name: str) -> _Norm:
    return _Norm(*(_rounded(tensors[f"{name}.{part}"], POINT, _GAMMA) for part in ("gamma", "beta")))


def _linear(tensors: Mapping[str, NDArray[np.float32]], *names: str, outputs: int | None = None) -> _Linear:
    weights = np.concatenate([tensors[f"{name}.weight"][:, :outputs] for name in names], axis=1)
    biases = np.concatenate([tensors[f"{name}.bias"][:outputs] for name in names])
    # the exponent of the next power of two above the largest weight: exact on every machine
    shift = min(_WEIGHT_BITS - int(np.frexp(np.abs(weights).max())[1]), 16)
    if shift < 0:
        raise ValueError(f"{names[0]}.weight: a weight of 2^{_WEIGHT_BITS} or more is beyond whole numbers here")
    return _Linear(
        _rounded(weights, shift, 1 << _WEIGHT_BITS).astype(np.float64),
        _rounded(biases, shift + POINT, _BIAS).astype(np.float64),
        shift,
    )


def _rounded(values: NDArray[Any], point: int, most: float) -> Integers:
    """`values` with `point` bits behind the point, to the nearest, ties to even. Raises `ValueError` beyond `most`."""
    scaled = np.rint(np.ldexp(values.astype(np.float64), point))
    if not np.abs(scaled).max() <= most:
        raise ValueError("a weight is too large for whole numbers here")
    found: Integers = scaled.astype(np.int64)
    return found
