"""How much each member's vector counts, and the vector they make together (rules R15 to R19)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from soma_core.api.fixed import VECTOR_SCALE, exp2neg, quant, share

from ._gate import is_open
from ._params import ShardParams
from ._shard import Shard

if TYPE_CHECKING:
    from numpy.typing import NDArray


def loss_differences(shard: Shard, qualified: Sequence[int]) -> Mapping[int, int]:
    """By how much each qualified member's loss exceeds the lowest, Q16 bits. An opaque one counts as the middle one."""
    judged = {place: shard.answers[place].loss for place in qualified if not shard.answers[place].opaque}
    least = min(judged.values(), default=0)
    ordered = sorted(loss - least for loss in judged.values())
    middle = ordered[len(ordered) // 2] if ordered else 0
    return {place: judged[place] - least if place in judged else middle for place in qualified}


def factors(params: ShardParams, shard: Shard, qualified: Sequence[int]) -> Mapping[int, int]:
    """What each qualified member's weight is multiplied by for what it is: judged or opaque, open or closed."""
    return {
        place: (params.weight_opaque if shard.answers[place].opaque else params.weight_judged)
        * (params.weight_open if is_open(params, shard, place) else params.weight_closed)
        for place in qualified
    }


def weights(params: ShardParams, differences: Mapping[int, int], factor: Mapping[int, int]) -> Mapping[int, int]:
    """Each qualified member's weight, Q16; they sum to 65536."""
    places = list(differences)
    parts = [factor[place] * exp2neg(params.loss_steepness * differences[place]) for place in places]
    found = share(parts, 1 << 16)
    largest = max(found)
    if len(places) >= params.cap_members and largest > params.cap:
        at = found.index(largest)
        rest = share(parts[:at] + parts[at + 1 :], (1 << 16) - params.cap)
        found = [*rest[:at], params.cap, *rest[at:]]
    return dict(zip(places, found, strict=True))


def joined(params: ShardParams, shard: Shard, weight: Mapping[int, int]) -> "NDArray[np.int16] | None":
    """The vector of the shard, int16 [D]; None if the members cancel out."""
    z = shard.vectors(list(weight)).astype(np.int64)
    total: list[int] = (np.array(list(weight.values()), np.int64) @ z).tolist()
    least = len(total) * (params.joined_norm * VECTOR_SCALE) ** 2
    return quant(total) if sum(u * u for u in total) >= max(1, least) else None
