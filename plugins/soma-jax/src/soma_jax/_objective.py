"""What training minimises: the nats of a target as the network counts them, and a statistic of collapse beside them."""

from collections.abc import Callable, Mapping
from typing import Final

import jax
import jax.numpy as jnp
from attrs import frozen
from jax import Array

from soma_core.model import BYTES, PAD, ModelConfig, Regulariser

from ._forward import Parameters, charged_nats, representations

Statistic = Callable[[Array, Array, Array, Regulariser], Array]
"""Of `reps` [B, T, D] of token `ids` [B, T], along `noise` [D, S] (rules M27 to M29 of ``specs/20-model.md``)."""


@frozen(eq=False)
class Loss:
    """`total` is `ce`, the mean nats of a target, and the statistic `reg`, multiplied by its coefficient. Scalars."""

    total: Array
    ce: Array
    reg: Array


Objective = Callable[[Parameters, Array, Array], Loss]


def objective(config: ModelConfig, name: str, regulariser: Regulariser) -> Objective:
    """Of parameters, token ids [B, T], PAD behind the data, and noise [D, S]. `name`: of `STATISTICS`, or ``none``."""
    statistic = None if name == "none" else STATISTICS[name]

    def loss(parameters: Parameters, ids: Array, noise: Array) -> Loss:
        reps, nats = read(parameters, config, ids)
        ce = nats.sum() / jnp.maximum((ids[:, 1:] < BYTES).sum(), 1)
        reg = jnp.zeros(()) if statistic is None else statistic(reps, ids, noise, regulariser)
        return Loss(ce + regulariser.coefficient * reg, ce, reg)

    return loss


def read(parameters: Parameters, config: ModelConfig, ids: Array) -> tuple[Array, Array]:
    """The last layer [B, T, D], and the nats of each target [B, T]."""
    targets = jnp.concatenate([ids[:, 1:], jnp.full((ids.shape[0], 1), PAD, ids.dtype)], axis=1)
    reps = representations(parameters, config, ids)
    return reps, charged_nats(parameters, reps, targets)


def slice_statistic(reps: Array, ids: Array, noise: Array, regulariser: Regulariser) -> Array:
    """The live network's (M28), over all positions, padding too. It sees lengths, and no collapse."""
    del ids
    return _missed(_seen(reps, noise), jnp.float32(1), regulariser, axis=1)


def sample_statistic(reps: Array, ids: Array, noise: Array, regulariser: Regulariser) -> Array:
    """That of LeJEPA (M29), over byte positions."""
    return _missed(_seen(reps, noise), (ids < BYTES).reshape(-1, 1).astype(reps.dtype), regulariser, axis=0)


STATISTICS: Final[Mapping[str, Statistic]] = {"v1": slice_statistic, "lejepa": sample_statistic}


def _seen(reps: Array, noise: Array) -> Array:
    """Projections, [N, S]."""
    units = noise / jnp.linalg.norm(noise, axis=0)
    return jnp.matmul(reps.reshape(-1, reps.shape[-1]), units, precision=jax.lax.Precision.HIGHEST)


def _missed(seen: Array, counts: Array, regulariser: Regulariser, axis: int) -> Array:
    """What the characteristic functions along `axis` miss of a normal one's; `counts`, 0 or 1, fits `seen`."""
    counts = jnp.broadcast_to(counts, seen.shape)
    amount = jnp.maximum(counts.sum(axis), 1)
    missed = jnp.zeros(seen.shape[1 - axis])
    for t, phi, weight in zip(*regulariser.knots(), strict=True):
        real = (jnp.cos(seen * t) * counts).sum(axis) / amount
        imaginary = (jnp.sin(seen * t) * counts).sum(axis) / amount
        missed += weight * ((real - phi) ** 2 + imaginary**2)
    return (missed * amount).mean()
