"""Where targets lie (rules TR4, TR11 and TR12)."""

from typing import TYPE_CHECKING

import numpy as np

from soma_core.api.draws import uniform
from soma_core.api.fixed import quant

from ._normal import normals
from ._params import BalancedParams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_WHICH, _MIX = b"\x00", b"\x01"
# What follows a beacon in the seeds of a point on the manifold; a direction's seed is the beacon alone.


def direction(beacon: bytes, dimension: int) -> "NDArray[np.int16]":
    """A direction that is as likely as any other, int16 [dimension]."""
    return quant(normals(beacon, dimension))


def balanced(params: BalancedParams, beacon: bytes, observed: "Sequence[NDArray[np.int16]]") -> "NDArray[np.int16]":
    """Most follow the observed vectors, once these are enough; the rest go anywhere."""
    if len(observed) >= params.manifold_least and follows(beacon, params.manifold_share):
        return on_manifold(beacon, observed)
    return direction(beacon, len(observed[0]))


def on_manifold(beacon: bytes, observed: "Sequence[NDArray[np.int16]]") -> "NDArray[np.int16]":
    """A point of the normal distribution whose second moments are those of the `observed` vectors.

    It is the sum of all of them, each times a normal number: near where data lie, and near no one of them.
    """
    rows = np.stack(observed).astype(np.int64)
    mixed: list[int] = (np.array(normals(beacon + _MIX, len(rows)), np.int64) @ rows).tolist()
    return quant(mixed) if any(mixed) else direction(beacon, rows.shape[1])


def follows(beacon: bytes, share: int) -> bool:
    """Whether this point follows the observed vectors: `share` in 10,000 do."""
    return uniform(beacon + _WHICH, 0, 10_000) < share
