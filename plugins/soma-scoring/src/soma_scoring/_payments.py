"""Who is paid and who pays (rules R20 to R22)."""

from collections.abc import Sequence

from soma_core.api import Answer

from ._gate import is_open
from ._params import ShardParams
from ._shard import Shard


def winner_of(params: ShardParams, shard: Shard, qualified: Sequence[int]) -> int | None:
    """Who takes the pot: of the judged and open members with nearly the lowest loss the earliest registered."""
    judged = [place for place in qualified if not shard.answers[place].opaque]
    eligible = [place for place in judged if is_open(params, shard, place)] or judged
    if not eligible:
        return None
    limit = min(shard.answers[place].loss for place in eligible) + params.winner_band
    level = [place for place in eligible if shard.answers[place].loss <= limit]
    return min(level, key=lambda place: (shard.answers[place].registered, place))


def weakest_of(params: ShardParams, shard: Shard, qualified: Sequence[int], winner: int | None) -> int | None:
    """Who pays for being the worst: only by a margin, only where it should be good, never the winner."""
    ordered = sorted(
        (place for place in qualified if not shard.answers[place].opaque),
        key=lambda place: (shard.answers[place].loss, shard.answers[place].registered, place),
    )
    if len(ordered) < params.weakest_members:
        return None
    last, next_ = ordered[-1], ordered[-2]
    behind = shard.answers[last].loss - shard.answers[next_].loss
    return last if behind > params.weakest_margin and shard.answers[last].own and last != winner else None


def fine(params: ShardParams, pot: int, answer: Answer) -> int:
    """What silence and the weakest answer cost, in shannons."""
    return max(0, min(pot // params.fine_pot, answer.stake // params.fine_stake))


def slash(params: ShardParams, answer: Answer) -> int:
    """What a false answer costs the first time, in shannons; who knows of earlier ones takes more."""
    return max(0, answer.stake // params.slash_stake)
