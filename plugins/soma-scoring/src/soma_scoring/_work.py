"""How near is a hit, by the work of hitting (rules TR15 to TR18 of ``specs/31-target-rules.md``).

What is steered is not a distance, in which difficulty is exponential, but its logarithm: the *work* of a target is how
many bits of tries it costs. Each target's radius is read off where data lie as seen from its own point, so that all
targets of an epoch are as hard to hit.
"""

from math import isqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from soma_core.api import Difficulty
from soma_core.api.fixed import ONE, cosq, dots, log2q, squared_norm

from ._params import BalancedParams
from ._published import deviation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

START: Final = 10 << 16
"""The first epoch's work: about one pair of a thousand hits."""
WORK_LEAST: Final = 1 << 16
WORK_MOST: Final = 64 << 16
_NEAR, _FAR = 4 << 16, 10 << 16
_NEAR_Z, _FAR_Z = 100_534, 202_968  # where a normal distribution leaves 2^-4 and 2^-10 above it, Q16


def first(dimension: int) -> Difficulty:
    """The difficulty of the first epoch."""
    return Difficulty(_away(0, deviation(dimension), START), START)


def next_(params: BalancedParams, old: Difficulty, hits: int, goal: int, dimension: int) -> Difficulty:
    """The work moves by a part of what surprised, log2(hits / goal); no hit counts as one.

    `memory` is the work, Q16 bits; `radius` what it comes to among directions without relation.
    """
    surprise = log2q(max(1, hits)) - log2q(max(1, goal))
    step = max(-params.work_step, min(params.work_step, params.work_weight * surprise >> 16))
    work = max(WORK_LEAST, min(WORK_MOST, old.memory + step))
    return Difficulty(_away(0, deviation(dimension), work), work)


def radius_of(
    params: BalancedParams, point: "NDArray[np.int16]", work: int, observed: "Sequence[NDArray[np.int16]]"
) -> int:
    """The radius of the target at `point` that costs so much work, if new data lie as the observed do."""
    if len(observed) < params.manifold_least:
        return _away(0, deviation(len(point)), work)
    square = squared_norm(point)
    products = dots(np.stack(observed), point[None])[:, 0].tolist()
    cosines = [cosq(dot, square, squared_norm(row)) for dot, row in zip(products, observed, strict=True)]
    mean = sum(cosines) // len(cosines)
    return _away(mean, isqrt(sum((cosine - mean) ** 2 for cosine in cosines) // len(cosines)), work)


def _away(mean: int, spread: int, work: int) -> int:
    """The distance that 2^-work of normally distributed cosines reach, Q16, within 0..2.

    Their tail is nearly a line over the root of the work, which two of its points give.
    """
    root, near, far = (isqrt(bits << 16) for bits in (work, _NEAR, _FAR))
    z = _NEAR_Z + (_FAR_Z - _NEAR_Z) * (root - near) // (far - near)
    return max(0, min(2 * ONE, ONE - mean - (spread * z >> 16)))
