"""The byte transformer in JAX: the same mathematics as ``soma_core.model``'s reference, batched."""

import math
from collections.abc import Mapping
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from soma_core.model import LAYER_NORM_EPSILON, PAD, ModelConfig, rotation

Parameters = Mapping[str, Array]
"""Tensors by their name in the safetensors layout."""

Turns = tuple[Array, Array]
"""Cosine and sine of the angle of each position: [B, 1, T, head_dim / 2], or without what all rows and heads share."""

QUERIES: Final = 128
"""Positions that ask at once: no score is computed for keys behind the last of them, which none of them sees."""

RUN: Final = 16
"""Positions that are summed at once."""


def representations(
    parameters: Parameters, config: ModelConfig, ids: Array, turns: Turns | None = None, chunk: Array | None = None
) -> Array:
    """The normalised last layer [B, T, dim] for token `ids` [B, T]. Causal: no position sees what follows it.

    `turns`: by what queries and keys are turned; without, positions are counted from the start of the row. `chunk`,
    [B, T]: what a position belongs to, and all it sees of its row; without, it sees all that stands before it.
    """
    batch, length = ids.shape
    wide = parameters["embedding.weight"].dtype
    kind = parameters["predictor.weight"].dtype
    cos, sin = turns or tuple(jnp.asarray(table[:length]) for table in rotation(config, wide.name))

    def heads(x: Array) -> Array:
        return x.reshape(batch, length, config.heads, config.head_dim).transpose(0, 2, 1, 3)

    x = parameters["embedding.weight"][ids]
    for i in range(config.layers):
        layer = f"encoder.layers.{i}"
        h = _normalise(parameters, f"{layer}.norm_1", x)
        query, key, value = (
            heads(_linear(parameters, f"{layer}.attention.{part}", h)) for part in ("query", "key", "value")
        )
        query = _turn(query, cos, sin) / wide.type(np.sqrt(config.head_dim))
        mixed = _attend(kind, query, _turn(key, cos, sin), value, chunk)
        mixed = mixed.transpose(0, 2, 1, 3).reshape(batch, length, config.dim)
        x = x + _linear(parameters, f"{layer}.attention.output", mixed)
        h = _linear(parameters, f"{layer}.pwff.linear_inner", _normalise(parameters, f"{layer}.norm_2", x))
        x = x + _linear(parameters, f"{layer}.pwff.linear_outer", jax.nn.gelu(h, approximate=False))
    return _normalise(parameters, "final_norm", x)


def charged_nats(parameters: Parameters, reps: Array, targets: Array) -> Array:
    """−ln p of each target [B, T]; 0 where the target is PAD. The sum runs over the whole vocabulary."""
    logits = _linear(parameters, "predictor", reps)
    chosen = jnp.take_along_axis(logits, targets[..., None].astype(jnp.int32), axis=-1)
    # Subtracted first: the difference of two large numbers would be rounded twice.
    return jnp.where(targets != PAD, jax.nn.logsumexp(logits - chosen, axis=-1), 0)


def pooled(reps: Array, chunk: Array, places: int) -> Array:
    """The sums of `reps` [B, T, dim] over the positions of each chunk, by its number in `chunk`: [B, places, dim]."""
    batch, length, dim = reps.shape
    # Runs first, then their sums: one sum of so many numbers of float32 would lose too much.
    runs = (batch, -1, math.gcd(length, RUN))
    belongs = jax.nn.one_hot(chunk, places, dtype=reps.dtype).reshape(*runs, places)
    return jnp.einsum("bntk,bntd->bnkd", belongs, reps.reshape(*runs, dim)).sum(1)


def as_arrays(tensors: Mapping[str, NDArray[np.float32]], dtype: str = "float32") -> dict[str, Array]:
    """`tensors` on the default device, as `dtype`: float64 only where JAX was told to have it.

    Of bfloat16 are only what products of matrices take: all else costs nothing in float32.
    """
    kind = jnp.dtype(dtype)

    def of(name: str) -> Any:
        return _wide(kind) if name == "embedding.weight" or tensors[name].ndim == 1 else kind

    return {name: jnp.asarray(tensor, of(name)) for name, tensor in tensors.items()}


def _wide(kind: Any) -> Any:
    """The type of everything but factors of products: sums, statistics and what layers add to."""
    return jnp.dtype(np.float32) if kind == jnp.bfloat16 else kind


def _product(kind: Any, x: Array, y: Array) -> Array:
    """`x` @ `y`, both rounded to `kind`, summed in the wide type."""
    return jnp.matmul(x.astype(kind), y.astype(kind), preferred_element_type=_wide(kind))


def _attend(kind: Any, query: Array, key: Array, value: Array, chunk: Array | None) -> Array:
    """Causal attention of scaled queries: all [B, heads, T, head_dim]. It divides last, where numbers are fewest."""
    mixed = []
    for start in range(0, query.shape[-2], QUERIES):
        asking = query[..., start : start + QUERIES, :]
        stop = start + asking.shape[-2]
        scores = _product(kind, asking, key[..., :stop, :].swapaxes(-1, -2))
        visible = jnp.arange(start, stop)[:, None] >= jnp.arange(stop)
        if chunk is not None:
            visible = visible & (chunk[:, None, start:stop, None] == chunk[:, None, None, :stop])
        scores = jnp.where(visible, scores, jnp.finfo(scores.dtype).min)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
        mixed.append(_product(kind, weights, value[..., :stop, :]) / weights.sum(-1, keepdims=True))
    return jnp.concatenate(mixed, axis=-2)


def _linear(parameters: Parameters, name: str, x: Array) -> Array:
    weight = parameters[f"{name}.weight"]
    return _product(weight.dtype, x, weight) + parameters[f"{name}.bias"]


def _normalise(parameters: Parameters, name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    scale = jax.lax.rsqrt(variance + LAYER_NORM_EPSILON)
    return centred * scale * parameters[f"{name}.gamma"] + parameters[f"{name}.beta"]


def _turn(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary positions, halves paired: (first, second) of each head turn by the angle of their position."""
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
