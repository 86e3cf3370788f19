"""How good an embedding must be where a target lies (rule TR19 of ``specs/31-target-rules.md``)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from soma_core.api.fixed import cosq, dots, squared_norm

from ._params import BalancedParams

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ceiling(
    params: BalancedParams,
    point: "NDArray[np.int16]",
    observed: "Sequence[NDArray[np.int16]]",
    losses: Sequence[int],
) -> int:
    """The loss that three quarters of the data nearest to the point keep. Shuffled data come as near, not as low."""
    if len(observed) < params.cell_neighbours:
        return params.hit_loss
    square = squared_norm(point)
    rows = np.stack(observed)
    products = dots(rows, point[None])[:, 0].tolist()
    near = sorted(
        range(len(rows)), key=lambda place: (-cosq(products[place], square, squared_norm(rows[place])), place)
    )
    cell = sorted(losses[place] for place in near[: params.cell_neighbours])
    return max(0, min(params.hit_loss, cell[(len(cell) - 1) * params.ceiling_part // 10_000]))
