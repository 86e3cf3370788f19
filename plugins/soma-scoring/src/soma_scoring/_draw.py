"""Who is drawn for a job (rules R2 to R4)."""

from collections.abc import Sequence
from itertools import accumulate

from soma_core.api import Candidate
from soma_core.api.draws import uniform


def draw(size: int, candidates: Sequence[Candidate], seed: bytes) -> tuple[int, ...]:
    """Places of at most `size` candidates, one after another, each with a chance of stake × routing among those left.

    Candidates without weight are never drawn. They stand in order of their encoder's id, so that the order in which a
    node happens to list them means nothing.
    """
    weights = [max(0, candidate.stake) * max(0, candidate.routing) for candidate in candidates]
    order = sorted(
        (place for place, weight in enumerate(weights) if weight), key=lambda place: (candidates[place].encoder, place)
    )
    total = sum(weights)
    drawn: list[int] = []
    while order and len(drawn) < size:
        rest = uniform(seed, len(drawn), total)
        place = next(
            place for place, end in zip(order, accumulate(weights[p] for p in order), strict=True) if rest < end
        )
        drawn.append(place)
        order.remove(place)
        total -= weights[place]
    return tuple(drawn)
