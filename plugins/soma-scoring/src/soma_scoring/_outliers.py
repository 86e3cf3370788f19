"""Members whose vector lies far from where the others agree (rules R10 to R12)."""

from collections.abc import Mapping

from attrs import field, frozen

from soma_core.api.fixed import ONE, geometric_median, median

from ._params import ShardParams
from ._shard import Shard


@frozen
class Outliers:
    """`distance`: of each member to the shard's middle, Q16. `flagged`: farthest first. `out`: those who stay so.

    Without enough groups there is no test: no distance, no threshold, nobody flagged.
    """

    distance: Mapping[int, int] = field(factory=dict)
    threshold: int | None = None
    flagged: tuple[int, ...] = ()
    out: frozenset[int] = frozenset()


def find_outliers(params: ShardParams, shard: Shard, founder: Mapping[int, int]) -> Outliers:
    """Measure every member against the geometric median of the founders of groups."""
    founders = [place for place in shard.places if founder[place] == place]
    if len(founders) < params.outlier_groups:
        return Outliers()
    middle = geometric_median(shard.vectors(founders))
    distance = {place: ONE - cosine for place, (cosine,) in shard.cosines_to(middle[None]).items()}
    usual = median([distance[place] for place in founders])
    spread = median([abs(distance[place] - usual) for place in founders])
    deviation = max(spread * params.outlier_deviation >> 16, params.outlier_floor)
    threshold = usual + (params.outlier_halves * deviation >> 1)
    beyond = sorted(
        (place for place in shard.places if distance[place] > threshold), key=lambda place: (-distance[place], place)
    )
    flagged = tuple(beyond[: (len(founders) - 1) // params.outlier_divisor])
    leader = _leader(shard)
    kept = {leader} if leader is not None and shard.answers[leader].verdict == "honest" else set()
    return Outliers(distance, threshold, flagged, frozenset(flagged) - kept)


def _leader(shard: Shard) -> int | None:
    """The judged member of the lowest loss: whoever frames it has it re-executed, and it stays if it is honest."""
    judged = [place for place in shard.places if not shard.answers[place].opaque]
    return min(judged, key=lambda p: (shard.answers[p].loss, shard.answers[p].registered, p), default=None)
