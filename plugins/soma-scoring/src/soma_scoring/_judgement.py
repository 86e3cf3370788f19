"""The rule in its order: everything a shard's answers come to, each intermediate value included."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from soma_core.api import Answer

from ._gate import moved, scores
from ._groups import founders_of
from ._outliers import Outliers, find_outliers
from ._params import ShardParams
from ._payments import fine, slash, weakest_of, winner_of
from ._shard import Shard, as_settled, dimension, is_valid
from ._weights import factors, joined, loss_differences, weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen(eq=False, kw_only=True)
class Judgement:
    """All that the rule finds, by place. `judged`: the m members left when the silent and the false are gone.

    `scores`, `gates`, `differences`, `factors` and `weights` are those of the formulas A, G, d, c and p.
    """

    judged: tuple[int, ...]
    silent: tuple[int, ...]
    false: tuple[int, ...]
    founder: Mapping[int, int] = field(factory=dict)
    outliers: Outliers = field(factory=Outliers)
    scores: Mapping[int, int] = field(factory=dict)
    gates: Mapping[int, int] = field(factory=dict)
    differences: Mapping[int, int] = field(factory=dict)
    factors: Mapping[int, int] = field(factory=dict)
    weights: Mapping[int, int] = field(factory=dict)
    vector: "NDArray[np.int16] | None" = None
    winner: int | None = None
    weakest: int | None = None
    fines: Mapping[int, int]
    slashes: Mapping[int, int]


def judge(
    params: ShardParams, pot: int, answers: Sequence[Answer], settled: "Sequence[NDArray[np.int16]]"
) -> Judgement:
    """Judge a shard's answers. The numbers are those of the rule's steps."""
    dim = dimension(answers, settled)
    # 1 valid
    valid = [place for place, answer in enumerate(answers) if is_valid(params, answer, dim)]
    silent = tuple(place for place in range(len(answers)) if place not in valid)
    false = tuple(place for place in valid if answers[place].verdict == "false")
    fines = {place: fine(params, pot, answers[place]) for place in silent}
    slashes = {place: slash(params, answers[place]) for place in false}
    shard = Shard(answers, tuple(place for place in valid if place not in false), as_settled(settled, dim))
    if not shard.places:
        return Judgement(judged=(), silent=silent, false=false, fines=fines, slashes=slashes)
    # 2 groups, 3 outliers, 4 gate
    founder = founders_of(params, shard)
    outliers = find_outliers(params, shard, founder)
    qualified = [place for place in shard.places if place not in outliers.out]
    score = scores(params, shard)
    # 5 differences, 6 weights and vector
    differences = loss_differences(shard, qualified)
    factor = factors(params, shard, qualified)
    weight = weights(params, differences, factor)
    vector = joined(params, shard, weight)
    # 7 winner, 8 weakest: nobody, if there is no vector to pay for
    winner = winner_of(params, shard, qualified) if vector is not None else None
    weakest = weakest_of(params, shard, qualified, winner) if vector is not None else None
    if weakest is not None:
        fines[weakest] = fine(params, pot, answers[weakest])
    return Judgement(
        judged=shard.places,
        silent=silent,
        false=false,
        founder=founder,
        outliers=outliers,
        scores=score,
        gates={place: moved(params, answers[place], value) for place, value in score.items()},
        differences=differences,
        factors=factor,
        weights=weight,
        vector=vector,
        winner=winner,
        weakest=weakest,
        fines=fines,
        slashes=slashes,
    )
