"""How much of what is near an index finds. Rule IX9 of ``specs/83-indexes.md``."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit

from ._scan import nearest

SAMPLED: Final = 200
"""Vectors that are searched for, at most."""
NEAREST: Final = 10
"""How many of each are looked for."""
ROUNDING: Final = 1e-6
"""Cosines that differ by less are equally near: an index may compute in float32."""

Search = Callable[[NDArray[np.float32], int], Sequence[Sequence[Hit]]]


def measured_recall(
    ids: Sequence[bytes], vectors: NDArray[np.float32], search: Search, sampled: int = SAMPLED
) -> tuple[float, int]:
    """The share of the 10 nearest of each of some `vectors`, itself left out, that `search` finds; and of how many.

    `ids` and `vectors`, of length 1, float32 [n, dim], are all that the index holds. (1.0, 0) if there are fewer than
    two. Which are taken follows from n alone.
    """
    if len(ids) < 2:
        return 1.0, 0
    drawn = np.sort(np.random.default_rng(len(ids)).permutation(len(ids))[:sampled])
    wanted = min(NEAREST, len(ids) - 1)
    # One more each, for itself: where it stands among vectors equal to it, it need not be the first.
    answers = search(vectors[drawn], wanted + 1)
    place = {id_: row for row, id_ in enumerate(ids)}
    found = 0
    for own, answer, (rows, cosines) in zip(drawn, answers, nearest(vectors, vectors[drawn], wanted + 1), strict=True):
        least = cosines[rows != own][wanted - 1] - ROUNDING
        others = {row for hit in answer if (row := place.get(hit.id, own)) != own}
        near = sum(bool(vectors[row].astype(np.float64) @ vectors[own] >= least) for row in others)
        found += min(wanted, near)
    return found / (wanted * len(drawn)), len(drawn)
