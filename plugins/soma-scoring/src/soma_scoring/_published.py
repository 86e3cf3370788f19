"""How near is a hit, by the live network's formula (rules TR7 to TR9 of ``specs/31-target-rules.md``)."""

from math import isqrt

from soma_core.api import Difficulty
from soma_core.api.fixed import ONE

from ._params import Params


def deviation(dimension: int) -> int:
    """1/√D, Q16: how far the cosine of two directions without relation lies from 0, as a standard deviation."""
    return isqrt((1 << 32) // dimension)


def first(params: Params, dimension: int) -> Difficulty:
    """The difficulty of the first epoch, in which there is no average yet."""
    return Difficulty(_within(params, ONE - (params.start_deviations * deviation(dimension) >> 16)))


def next_(params: Params, old: Difficulty, hits: int, goal: int, dimension: int) -> Difficulty:
    """One step harder or easier, by the rolling average of hits against their goal; easier too where there are none.

    The radius is measured as z = (1 - radius)·√D; a step is z itself or the least step, whichever is larger. `memory`
    is the average, Q16.
    """
    average = _average(params, old.memory, hits << 16)
    if average == goal << 16:
        return Difficulty(_within(params, old.radius), average)
    unit = deviation(dimension)
    z = ((ONE - old.radius) << 16) // unit
    step = max(abs(z) * params.step_rate // 10_000, params.step_least)
    z += step if average > goal << 16 else -step
    return Difficulty(_within(params, ONE - (z * unit >> 16)), average)


def _average(params: Params, before: int, hits: int) -> int:
    if not before:
        return hits
    return (params.hits_kept * before + (10_000 - params.hits_kept) * hits) // 10_000


def _within(params: Params, radius: int) -> int:
    return max(params.radius_least, min(params.radius_most, radius))
