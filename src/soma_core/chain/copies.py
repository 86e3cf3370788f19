"""Copies: weights that answer as earlier ones do are refused.

Nobody can tell a copy by its digest, but by what it answers, to data that is new to both. Whose answers were as near to
those of earlier weights in several jobs is audited together with these, and if both are found honest, then it is the
weights that are alike: the later ones are drawn no more. Rules L18 to L21 of ``specs/15-encoders.md``.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from attrs import evolve, frozen

from soma_core import fixed
from soma_core.records import uint

from .encoders import ENCODERS
from .execution import Execution
from .shards import Delivery, Member
from .state import Table
from .weights import retire

COPY_NEAR: Final = 1_311
"""Cosine distance, Q16: 0.02. Nearer answers are of one group to the shard rule as well."""
COPY_JOBS: Final = 4
"""Jobs in which two answers were so near before both are audited in the next such job."""
COPY_EPOCHS: Final = 30
"""Epochs after which a pair of encoders that has not been near again is forgotten."""


@frozen(kw_only=True)
class Pair:
    """Two encoders with weights that were registered as `first` and `second`, jobs in which they were near, or far."""

    first: int = uint()
    second: int = uint()
    near: int = uint(default=0)
    far: int = uint(default=0)
    epoch: int = uint()


PAIRS: Final = Table("near pair", 0x45, Pair)


def suspected(run: Execution, delivery: Delivery) -> list[int]:
    """Places of members that are to be audited because one of them looks like a copy of the other."""
    return sorted(
        {place for pair, _, pair_places in _pairs(run, delivery) if _is_suspect(pair) for place in pair_places}
    )


def note(run: Execution, delivery: Delivery) -> None:
    """Count who was near whom in a job that is over; refuse who was found to have another's weights."""
    for pair, name, places in _pairs(run, delivery):
        if _is_suspect(pair) and all(delivery.verdicts[place] == "honest" for place in places):
            run.state.delete(PAIRS, name)
            _refuse(run, delivery.job.shard[places[1]])
        else:
            run.state.put(PAIRS, name, evolve(pair, near=pair.near + 1, epoch=run.epoch))
    for name, pair in _apart(run, delivery):
        run.state.put(PAIRS, name, evolve(pair, far=pair.far + 1))


def on_epoch(run: Execution) -> None:
    """Forget pairs that have not been near for long."""
    for name, pair in list(run.state.scan(PAIRS)):
        if pair.epoch + COPY_EPOCHS < run.epoch:
            run.state.delete(PAIRS, name)


def _is_suspect(pair: Pair) -> bool:
    return pair.near >= COPY_JOBS and pair.near > 3 * pair.far


def _pairs(run: Execution, delivery: Delivery) -> Iterator[tuple[Pair, bytes, tuple[int, int]]]:
    """Pairs that are near in this job, as known so far, with their name and places, the earlier weights' first."""
    shard = delivery.job.shard
    for one, other in _near(run, delivery):
        first, second = sorted((one, other), key=lambda place: shard[place].registered)
        name = shard[first].encoder + shard[second].encoder
        fresh = Pair(first=shard[first].registered, second=shard[second].registered, epoch=run.epoch)
        known = run.state.get(PAIRS, name)
        same = known is not None and (known.first, known.second) == (fresh.first, fresh.second)
        yield known if known is not None and same else fresh, name, (first, second)


def _apart(run: Execution, delivery: Delivery) -> list[tuple[bytes, Pair]]:
    """Known pairs that are not near in this job."""
    shard = delivery.job.shard
    near = {frozenset(pair) for pair in _near(run, delivery)}
    found = []
    for one, other in combinations(_answering(delivery), 2):
        first, second = sorted((one, other), key=lambda place: shard[place].registered)
        name = shard[first].encoder + shard[second].encoder
        known = None if frozenset((one, other)) in near else run.state.get(PAIRS, name)
        if known is not None and (known.first, known.second) == (shard[first].registered, shard[second].registered):
            found.append((name, known))
    return found


def _near(run: Execution, delivery: Delivery) -> list[tuple[int, int]]:
    import numpy as np

    places = _answering(delivery)
    if len(places) < 2:
        return []
    dimension = run.parameters.dimension
    rows = np.stack([fixed.vector_from_bytes(delivery.job.shard[place].vector, dimension) for place in places])
    dots = fixed.dots(rows, rows).tolist()
    return [
        (places[i], places[j])
        for i, j in combinations(range(len(places)), 2)
        if fixed.ONE - fixed.cosq(dots[i][j], dots[i][i], dots[j][j]) <= COPY_NEAR
    ]


def _answering(delivery: Delivery) -> list[int]:
    """Places of members with an answer that can be computed again, and was not found wanting."""
    return [
        place
        for place, member in enumerate(delivery.job.shard)
        if member.state == "revealed" and not member.opaque and delivery.verdicts[place] in ("none", "honest")
    ]


def _refuse(run: Execution, member: Member) -> None:
    """Draw the encoder no more, unless it has other weights by now."""
    encoder = run.state.need(ENCODERS, member.encoder)
    if encoder.registered == member.registered:
        retire(run, member.encoder)
