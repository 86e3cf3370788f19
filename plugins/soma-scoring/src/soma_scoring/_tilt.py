"""Who embeds for a target by stake, tilted by closeness (rules TR13 and TR14 of ``specs/31-target-rules.md``).

In many dimensions distance² / stake is a ranking by stake: distances differ by per cents, stakes by factors. Here
closeness is measured against the other encoders', and moves everybody's chance instead of excluding nearly all.
"""

from collections.abc import Sequence
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np

from soma_core.api import Candidate
from soma_core.api.fixed import cosq, dots, exp2neg, squared_norm, vector_bytes

from ._draw import draw
from ._params import BalancedParams

if TYPE_CHECKING:
    from numpy.typing import NDArray


def assign(
    params: BalancedParams,
    points: "Sequence[NDArray[np.int16]]",
    positions: "Sequence[NDArray[np.int16]]",
    stakes: Sequence[int],
    k: int,
) -> list[tuple[int, ...]]:
    """For each point at most `k` encoders, drawn one after another by the point itself; without stake nobody is."""
    if not len(positions) or not len(points):
        return [()] * len(points)
    rows = np.stack(positions)
    squares = [squared_norm(row) for row in rows]
    places = [place.to_bytes(8, "big") for place in range(len(rows))]
    found = []
    for point, products in zip(points, dots(np.stack(points), rows).tolist(), strict=True):
        square = squared_norm(point)
        cosines = [cosq(dot, square, other) for dot, other in zip(products, squares, strict=True)]
        weights = [
            max(0, stake) * exp2neg(params.tilt * (params.tilt_most - closeness) >> 16)
            for stake, closeness in zip(stakes, _closeness(params, cosines, stakes), strict=True)
        ]
        candidates = [Candidate(place, weight, 1) for place, weight in zip(places, weights, strict=True)]
        found.append(draw(max(0, k), candidates, vector_bytes(point)))
    return found


def _closeness(params: BalancedParams, cosines: Sequence[int], stakes: Sequence[int]) -> list[int]:
    """By how many deviations each is nearer than the mean, Q16, to ±`tilt_most`.

    Mean and deviation are those of the stake, not of the encoders: who divides one into several changes nothing.
    """
    held = [max(0, stake) for stake in stakes]
    total = max(1, sum(held))
    mean = sum(stake * cosine for stake, cosine in zip(held, cosines, strict=True)) // total
    square = sum(stake * (cosine - mean) ** 2 for stake, cosine in zip(held, cosines, strict=True)) // total
    most, deviation = params.tilt_most, max(1, isqrt(square))
    return [max(-most, min(most, ((cosine - mean) << 16) // deviation)) for cosine in cosines]
