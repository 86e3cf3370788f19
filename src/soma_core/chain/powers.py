"""Voting power from stake, and shares by power: pure integers (rules V10 to V12, ``specs/14-validators.md``)."""

from collections.abc import Sequence
from typing import Final

POWER: Final = 10_000
"""All voting power of a committee that has stake."""
POWER_CAP: Final = 1_000
"""No validator has more before the rest is spread, unless there are fewer than ten."""


def voting_powers(stakes: Sequence[tuple[int, bytes]]) -> tuple[int, ...]:
    """The power of each (stake, account): its part of all stake up to the cap, the rest evenly; `POWER` in all.

    What does not divide goes one each to the largest stakes, of equal ones to the lower account. Somebody has stake.
    """
    count, total = len(stakes), sum(stake for stake, _ in stakes)
    cap = max(-(-POWER // count), POWER_CAP)
    powers = [min(stake * POWER // total, cap) for stake, _ in stakes]
    each, ones = divmod(POWER - sum(powers), count)
    order = sorted(range(count), key=lambda place: (-stakes[place][0], stakes[place][1]))
    for rank, place in enumerate(order):
        powers[place] += each + (rank < ones)
    return tuple(powers)


def parts(amount: int, weights: Sequence[int]) -> list[int]:
    """`amount` by `weights`, each part rounded down: what is left over is for the caller to place."""
    total = sum(weights)
    return [amount * weight // total for weight in weights]
