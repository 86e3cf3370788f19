"""How much of what is near an index finds. Rule IX9 of ``specs/83-indexes.md``."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit

from ._checks import unit
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
    """The share of the 10 nearest of queries beside some of the `vectors` that `search` finds; and beside how many.

    `ids` and `vectors`, of length 1, float32 [n, dim], are all that the index holds. (1.0, 0) if there are fewer than
    two. Which are taken, and where the queries lie, follows from n and dim alone.
    """
    if len(ids) < 2:
        return 1.0, 0
    random = np.random.default_rng(len(ids))
    drawn = np.sort(random.permutation(len(ids))[:sampled])
    queries = _beside(vectors, drawn, random)
    wanted = min(NEAREST, len(ids) - 1)
    # One more each, for the vector that the query lies beside, which is left out: it is found too easily.
    answers = search(queries, wanted + 1)
    place = {id_: row for row, id_ in enumerate(ids)}
    found = 0
    for own, query, answer, (rows, cosines) in zip(
        drawn, queries, answers, nearest(vectors, queries, wanted + 1), strict=True
    ):
        least = cosines[rows != own][wanted - 1] - ROUNDING
        others = {row for hit in answer if (row := place.get(hit.id, own)) != own}
        near = sum(bool(vectors[row].astype(np.float64) @ query >= least) for row in others)
        found += min(wanted, near)
    return found / (wanted * len(drawn)), len(drawn)


def _beside(vectors: NDArray[np.float32], drawn: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.float32]:
    """Each of the `drawn` vectors moved by as far as its nearest neighbour is away, in a direction of its own.

    What an index holds is no fair question: a graph has linked it with just those that are near it.
    """
    away = np.array(
        [
            np.sqrt(max(0.0, 2 - 2 * cosines[rows != own][0]))
            for own, (rows, cosines) in zip(drawn, nearest(vectors, vectors[drawn], 2), strict=True)
        ]
    )
    directions = random.standard_normal((len(drawn), vectors.shape[1]))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return unit((vectors[drawn] + away[:, None] * directions).astype(np.float32), 0, "query")
