"""Whether a member's vector finds its own datum (rules R13 and R14).

A vector that says nothing of the datum is as near to other jobs' vectors as to its own shard's.
"""

from collections.abc import Mapping

from soma_core.api import Answer
from soma_core.api.fixed import exp2neg, log2q

from ._params import ShardParams
from ._shard import Shard


def scores(params: ShardParams, shard: Shard) -> Mapping[int, int]:
    """Bits above chance by which each member's vector is found among K others, Q16; none in a small shard.

    Its own is the lower median of its cosines to the other members: fewer than half of a shard cannot vouch for itself.
    """
    if len(shard) < params.gate_members:
        return {}
    chance = log2q(len(shard.settled) + 1)
    found = {}
    for place, cosines in shard.cosines_to(shard.settled).items():
        others = sorted(shard.cosines[place].values())
        own = others[(len(others) - 1) // 2]
        terms = [cosine * params.gate_slope >> 16 for cosine in (own, *cosines)]
        most = max(terms)
        all_ = log2q(sum(exp2neg(most - term) for term in terms)) - (32 << 16)
        score = chance - (most - terms[0] + all_)
        found[place] = max(-params.gate_depth, min(params.gate_height, score))
    return found


def moved(params: ShardParams, answer: Answer, score: int) -> int:
    """The state of a member's gate after a job, Q16: a running mean of its scores."""
    return answer.gate + ((score - answer.gate) >> params.gate_shift)


def is_open(params: ShardParams, shard: Shard, place: int) -> bool:
    """Whether a member's weights have shown that their vectors say something. Always, where no gate is scored."""
    return len(shard) < params.gate_members or shard.answers[place].gate >= params.gate_open
