"""From committed leaders to one order of blocks: sub-DAGs, their garbage horizon, their time, and the chain of commits.

Rules D30 to D38 of ``specs/70-consensus-dag.md``. All of it is a function of the committed leaders alone.
"""

from functools import cached_property
from typing import Any, Final, final

from attrs import frozen

from soma_core.api.encoding import DIGEST_SIZE, decode, digest, encode
from soma_core.errors import DecodeError

from ._committee import Committee, median_time
from ._dag import REF_SIZE, Dag, Ref, Vertex, pack_refs, unpack_refs

NO_DIGEST: Final = bytes(32)
"""What the first commit of an epoch follows."""
PROVED_EVERY: Final = 10
"""Commits from one that others may go on from, and whose votes are kept for them, to the next."""


@frozen(slots=False)  # without slots what is cached is found quickly
class Record:
    """One commit: what its sub-DAG is, and how many blocks in order wait behind it for a later one.

    `previous`: the digest of the record before, or `NO_DIGEST`. `time`: ms of UTC. `left`: of this sub-DAG's blocks and
    those that were left before, the last ones that are not delivered with this commit. `schedule`: in every
    `PROVED_EVERY`-th, the state of the leader schedule after it, for those who go on from there; else nothing.
    """

    index: int
    previous: bytes
    leader: Ref
    blocks: tuple[Ref, ...]
    time: int
    left: int
    schedule: bytes = b""

    @cached_property
    def packed(self) -> bytes:
        """The encoding, whose digest names the commit."""
        leader, blocks = pack_refs((self.leader,)), pack_refs(self.blocks)
        return encode([self.index, self.previous, leader, blocks, self.time, self.left, self.schedule])

    @cached_property
    def digest(self) -> bytes:
        """32 bytes: domain ``soma/commit`` over the encoding."""
        return digest("soma/commit", self.packed)


def unpack_record(data: bytes) -> Record:
    """A record from its encoding. Raises `DecodeError`."""
    value: Any = decode(data)
    if isinstance(value, list) and list(map(type, value)) == [int, bytes, bytes, bytes, int, int, bytes]:
        index, previous, leader, blocks, time, left, schedule = value
        if len(previous) == DIGEST_SIZE and len(leader) == REF_SIZE and min(index, time, left) >= 0:
            return Record(index, previous, unpack_refs(leader)[0], unpack_refs(blocks), time, left, schedule)
    raise DecodeError("not a commit record of consensus-dag", "see rule D35 of specs/70-consensus-dag.md")


def horizon_after(leader_round: int, depth: int) -> int:
    """The highest round that is left out of the commit after one whose leader is of `leader_round`."""
    return max(0, leader_round - depth)


@final
class Linearizer:
    """Takes committed leaders in order. `leader_round`: of the last one; 0 before the first."""

    def __init__(self, dag: Dag, committee: Committee, depth: int) -> None:
        self.leader_round = 0
        self.time = 0
        self._dag = dag
        self._committee = committee
        self._depth = depth

    def take(self, leader: Vertex) -> list[Vertex]:
        """The sub-DAG of the next leader, in order: what it refers to and was in none before, above the horizon."""
        horizon = self.horizon
        found, seen = [], {leader}
        waiting = [leader]
        while waiting:
            vertex = waiting.pop()
            found.append(vertex)
            for parent in vertex.parents:
                if not parent.ordered and parent.round > horizon and parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
        found.sort(key=lambda vertex: vertex.ref)
        for vertex in found:
            self.mark(vertex)
        self.leader_round = leader.round
        return found

    def mark(self, vertex: Vertex) -> bool:
        """`vertex` is the next in the order. Whether a twin was before it."""
        vertex.late = any(twin.ordered for twin in self._dag.slot(vertex.round, vertex.author))
        vertex.ordered = True
        return vertex.late

    def time_of(self, leader: Vertex) -> int:
        """The commit's time: the median, by stake, of the blocks of the round before that `leader` refers to."""
        stakes = self._committee.stakes
        before = [parent for parent in leader.parents if parent.round == leader.round - 1]
        self.time = median_time(((parent.time, stakes[parent.author]) for parent in before), self.time)
        return self.time

    @property
    def horizon(self) -> int:
        """The highest round that no later commit brings anything of."""
        return horizon_after(self.leader_round, self._depth)
