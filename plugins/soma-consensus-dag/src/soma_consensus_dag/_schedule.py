"""Who leads which round: drawn by stake, and after a while not those whose blocks are of no use. Rules D14 to D19.

A schedule is a function of the committed prefix alone. It changes after the commit that completes an interval, for the
rounds after that commit's leader.
"""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, final

from attrs import frozen

from soma_core.api.encoding import decode, digest, encode
from soma_core.errors import DecodeError

from ._committee import Committee, mask_of, members_of
from ._dag import Dag, Vertex, pack_refs, unpack_refs

KEPT: Final = 512
"""Rounds whose leaders are remembered."""
_POINTS: Final = struct.Struct(">Q")
_SEE: Final = "see rule D35 of specs/70-consensus-dag.md"
LATE: Final = 3
"""Commits after a leader's in which votes for it still count."""


@frozen
class Swap:
    """From round `first` on, the members of `bad` are replaced by some of `good` where they are drawn."""

    first: int
    bad: int
    good: tuple[int, ...]


@final
class Schedule:
    """`leaders(round)`: `count` different places, the first rank first."""

    def __init__(self, committee: Committee, seed: bytes, *, count: int, interval: int, bad_percent: int) -> None:
        self._committee = committee
        self._seed = seed
        self._count = min(count, committee.size)
        self._interval = interval
        self._bad_most = committee.total * bad_percent // 100
        self._points = [0] * committee.size
        self._commits = 0
        self._recent: deque[Vertex] = deque()
        self._change([Swap(0, 0, ())])

    def leaders(self, round_: int) -> Sequence[int]:
        """The places that lead a round."""
        known = self._drawn.get(round_)
        if known is None:
            if len(self._drawn) >= KEPT:
                self._drawn.clear()
            known = self._drawn[round_] = self._replaced(round_, draw(self._committee, self._seed, round_, self._count))
        return known

    def note(self, leader: Vertex, dag: Dag, horizon: int) -> bool:
        """A commit, its sub-DAG ordered already. Whether the leaders of the rounds after it have changed by it.

        `horizon`: of the commit. What refers to a leader below it counts for nothing: not everybody still has it.
        """
        self._recent.append(leader)
        if len(self._recent) > LATE:
            earlier = self._recent.popleft()
            if earlier.round > horizon:
                self._count_votes(earlier, dag)
        self._commits += 1
        if not self._interval or self._commits < self._interval:
            return False
        # The last two: slots of a round before the change may still be open.
        self._change([self._swaps[-1], self._swap(leader.round + 1)])
        self._points, self._commits = [0] * self._committee.size, 0
        return True

    def _replaced(self, round_: int, drawn: tuple[int, ...]) -> tuple[int, ...]:
        swap = next(swap for swap in reversed(self._swaps) if swap.first <= round_ or swap is self._swaps[0])
        chosen = list(drawn)
        for rank, author in enumerate(drawn):
            if swap.bad >> author & 1:
                free = [member for member in swap.good if member not in chosen]
                if free:
                    chosen[rank] = free[_number(self._seed, b"swap", round_, rank) % len(free)]
        return tuple(chosen)

    def _count_votes(self, leader: Vertex, dag: Dag) -> None:
        """For each vote: the stake of those whose ordered blocks of the round after refer to it.

        Only what is ordered counts: members have received different blocks, and must come to the same points.
        """
        ordered: dict[int, list[Vertex]] = {}
        for vertex in dag.layer(leader.round + 1).vertices:
            if vertex.ordered:
                ordered.setdefault(vertex.author, []).append(vertex)
        votes = {blocks[0]: 0 for blocks in ordered.values() if len(blocks) == 1 and leader in blocks[0].parents}
        for vertex in dag.layer(leader.round + 2).vertices:
            if vertex.ordered:
                for parent in vertex.parents:
                    if parent in votes:
                        votes[parent] |= 1 << vertex.author
        for vote, heard in votes.items():
            self._points[vote.author] += self._committee.weight(heard)

    def _swap(self, first: int) -> Swap:
        """The worst, as many as `bad_percent` of the stake allows, and equally many of the best."""
        tied = _number(self._seed, b"tie", first, 0)
        ordered = sorted(
            range(self._committee.size),
            key=lambda author: (self._points[author], (author + tied) % self._committee.size),
        )
        bad: list[int] = []
        weight = 0
        for author in ordered:
            weight += self._committee.stakes[author]
            if weight > self._bad_most:
                break
            bad.append(author)
        good = ordered[len(bad) :][-len(bad) :] if bad else []
        return Swap(first, mask_of(bad), tuple(sorted(good)))

    def pack(self) -> bytes:
        """Its state, for `load`: what no graph tells. It stands in records."""
        points = b"".join(map(_POINTS.pack, self._points))
        return encode([self._packed, points, self._commits, pack_refs([vertex.ref for vertex in self._recent])])

    def load(self, state: bytes, dag: Dag) -> None:
        """Take up a state. The leaders that still count are in `dag`. Raises `DecodeError`."""
        value: Any = decode(state)
        match value:
            case [bytes(swaps), bytes(points), int(commits), bytes(recent)] if (
                len(points) == _POINTS.size * self._committee.size
            ):
                self._change([_to_swap(swap, self._committee.size) for swap in _list(decode(swaps))])
                self._points, self._commits = [number for (number,) in _POINTS.iter_unpack(points)], commits
                found = map(dag.get, unpack_refs(recent))
                self._recent = deque(vertex for vertex in found if vertex is not None)
            case _:
                raise DecodeError("not a schedule of consensus-dag", _SEE)

    def _change(self, swaps: list[Swap]) -> None:
        self._swaps = swaps
        self._packed = encode([[swap.first, list(members_of(swap.bad)), list(swap.good)] for swap in swaps])
        self._drawn: dict[int, tuple[int, ...]] = {}


def draw(committee: Committee, seed: bytes, round_: int, count: int) -> tuple[int, ...]:
    """`count` different places for a round, each by its stake among those that are left."""
    left = list(range(committee.size))
    chosen = []
    for rank in range(count):
        sums = list(accumulate(committee.stakes[place] for place in left))
        chosen.append(left.pop(bisect_right(sums, _number(seed, b"draw", round_, rank) % sums[-1])))
    return tuple(chosen)


def _to_swap(value: Any, size: int) -> Swap:
    match value:
        case [int(first), [*bad], [*good]] if all(type(place) is int and 0 <= place < size for place in (*bad, *good)):
            return Swap(first, mask_of(bad), tuple(good))
    raise DecodeError("not a schedule of consensus-dag", _SEE)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise DecodeError("not a schedule of consensus-dag", _SEE)
    return value


def _number(seed: bytes, purpose: bytes, round_: int, rank: int) -> int:
    """An integer of 256 bits that only these decide: no remainder that is taken of it has a bias anybody could use."""
    place = round_.to_bytes(8, "big") + rank.to_bytes(8, "big")
    return int.from_bytes(digest("soma/leader", seed, purpose, place), "big")
