"""The byte transformer in Torch: the same mathematics as ``soma_core.model``'s reference, batched."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from soma_core.model import BYTES, LAYER_NORM_EPSILON, PAD, ModelConfig

Parameters = Mapping[str, Tensor]
"""Tensors by their name in the safetensors layout."""


def representations(parameters: Parameters, config: ModelConfig, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The normalised last layer [B, T, dim] for token `ids` [B, T]. Causal: no position sees what follows it.

    `cos`, `sin`: of the angles of positions, [T, head_dim / 2], or [B, 1, T, head_dim / 2] where rows differ.
    """
    batch, length = ids.shape

    def heads(x: Tensor) -> Tensor:
        return x.view(batch, length, config.heads, config.head_dim).transpose(1, 2)

    x = functional.embedding(ids, parameters["embedding.weight"])
    for i in range(config.layers):
        layer = f"encoder.layers.{i}"
        h = _normalise(parameters, f"{layer}.norm_1", x)
        query, key, value = (
            heads(_linear(parameters, f"{layer}.attention.{part}", h)) for part in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(
            _turn(query, cos, sin), _turn(key, cos, sin), value, is_causal=True
        )
        x = x + _linear(parameters, f"{layer}.attention.output", mixed.transpose(1, 2).reshape(batch, length, -1))
        h = _linear(parameters, f"{layer}.pwff.linear_inner", _normalise(parameters, f"{layer}.norm_2", x))
        x = x + _linear(parameters, f"{layer}.pwff.linear_outer", functional.gelu(h))
    return _normalise(parameters, "final_norm", x)


def charged_nats(parameters: Parameters, reps: Tensor, targets: Tensor) -> Tensor:
    """−ln p of each target [B, T]; 0 where the target is PAD. At least float32."""
    logits = _linear(parameters, "predictor", reps)
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    # Subtracted first: the difference of two large numbers would be rounded twice.
    nats = torch.logsumexp(logits - logits.gather(-1, targets[..., None]), -1)
    return nats.masked_fill(targets == PAD, 0)


def pooled(reps: Tensor, ids: Tensor) -> Tensor:
    """The sum of `reps` [B, T, dim] over byte positions: [B, dim], at least float32. EOS and padding do not count."""
    kept = reps.masked_fill((ids >= BYTES)[..., None], 0)
    return kept.sum(1, dtype=torch.float32 if reps.dtype == torch.bfloat16 else reps.dtype)


def as_parameters(
    tensors: Mapping[str, NDArray[np.float32]], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """`tensors` on a device. Linear weights lie as Torch multiplies fastest by them: [out, in]."""
    return {name: torch.from_numpy(tensor.copy()).to(device, dtype) for name, tensor in tensors.items()}


def _linear(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    return functional.linear(x, parameters[f"{name}.weight"].t(), parameters[f"{name}.bias"])


def _normalise(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    gamma, beta = parameters[f"{name}.gamma"], parameters[f"{name}.beta"]
    return functional.layer_norm(x, gamma.shape, gamma, beta, LAYER_NORM_EPSILON)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, halves paired: (first, second) of each head turn by the angle of their position."""
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
