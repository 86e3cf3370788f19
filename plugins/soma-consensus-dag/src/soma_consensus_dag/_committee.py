"""The committee of one epoch: stake by place, its thresholds, and the stake of a set of places. Rules D1 and D2."""

from collections.abc import Iterable, Sequence
from typing import Final, final

from attrs import frozen

_CHUNK: Final = 8  # places looked up at a time


@frozen
class Thresholds:
    """`fault`: stake that may lie. `quorum`: any two share an honest member. `validity`: one of these is honest."""

    total: int
    fault: int
    quorum: int
    validity: int


def thresholds(total: int) -> Thresholds:
    """Those of a committee whose stake is `total`, at least 1."""
    fault = (total - 1) // 3
    return Thresholds(total, fault, total - fault, fault + 1)


@final
class Committee:
    """Members are places from 0; a set of them is an integer with their bits."""

    def __init__(self, stakes: Sequence[int]) -> None:
        if not stakes or min(stakes) < 1:
            raise ValueError(f"a committee needs members of stake at least 1, not {list(stakes)}")
        self.stakes = tuple(stakes)
        self.size = len(self.stakes)
        self.everybody = (1 << self.size) - 1
        found = thresholds(sum(self.stakes))
        self.total, self.fault = found.total, found.fault
        self.quorum, self.validity = found.quorum, found.validity
        self._equal = self.stakes[0] if len(set(self.stakes)) == 1 else 0
        self._tables = () if self._equal else tuple(_table(self.stakes[at : at + _CHUNK]) for at in self._chunks())

    def weight(self, members: int) -> int:
        """The stake of a set of places."""
        if self._equal:
            return members.bit_count() * self._equal
        weight = 0
        for table in self._tables:
            weight += table[members & 255]
            members >>= _CHUNK
        return weight

    def is_quorum(self, members: int) -> bool:
        """Whether a set of places carries a quorum."""
        if self._equal:
            return members.bit_count() * self._equal >= self.quorum
        return self.weight(members) >= self.quorum

    def _chunks(self) -> Iterable[int]:
        return range(0, self.size, _CHUNK)


def _table(stakes: Sequence[int]) -> tuple[int, ...]:
    """Every set of up to eight members → its stake."""
    weights = [0] * (1 << _CHUNK)
    for members in range(1, 1 << len(stakes)):
        low = members & -members
        weights[members] = weights[members ^ low] + stakes[low.bit_length() - 1]
    return tuple(weights)


def members_of(mask: int) -> Iterable[int]:
    """The places in a set, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def mask_of(members: Iterable[int]) -> int:
    """The set of these places."""
    mask = 0
    for place in members:
        mask |= 1 << place
    return mask


def agreed(stakes: Sequence[int], values: Sequence[int], quorum: int) -> int:
    """The largest number that members of a quorum have reached, each with a value of its own."""
    weight = 0
    for value, stake in sorted(zip(values, stakes, strict=True), reverse=True):
        weight += stake
        if weight >= quorum:
            return value
    return 0


def median_time(times: Iterable[tuple[int, int]], previous: int) -> int:
    """The median of (time, stake) pairs: where more than half of their stake is reached; at least `previous`."""
    ordered = sorted(times)
    half = sum(stake for _, stake in ordered) // 2
    weight = 0
    for time, stake in ordered:
        weight += stake
        if weight > half:
            return max(time, previous)
    return previous
