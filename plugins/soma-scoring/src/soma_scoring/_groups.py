"""Members whose answers are one answer (rule R9): copies of a model count once."""

from collections.abc import Mapping

from soma_core.api.fixed import ONE

from ._params import ShardParams
from ._shard import Shard


def founders_of(params: ShardParams, shard: Shard) -> Mapping[int, int]:
    """Each member's group, by the place of the member that founded it: the earliest registered of those alike."""
    founder: dict[int, int] = {}
    founders: list[int] = []
    for place in sorted(shard.places, key=lambda place: (shard.answers[place].registered, place)):
        near = (f for f in founders if ONE - shard.cosines[place][f] <= params.clone_distance)
        founder[place] = next(near, place)
        if founder[place] == place:
            founders.append(place)
    return founder
