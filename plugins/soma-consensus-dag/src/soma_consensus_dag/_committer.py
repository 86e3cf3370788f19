"""The commit rule: which leader slots are committed, which are skipped, in an order that all honest members share.

A wave is `wave` rounds: a leader's block in the first, votes for it in the last but one, certificates in the last. A
slot is decided directly by what the graph holds, or indirectly by the history of a later leader that is committed, its
anchor. Rules D20 to D29 of ``specs/70-consensus-dag.md``.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, final

from attrs import define, field, frozen

from ._committee import Committee, members_of
from ._dag import Dag, Vertex

Blame = Literal["block", "slot", "author"]
Status = Literal["commit", "skip", "undecided"]
Leaders = Callable[[int], Sequence[int]]
"""Round → the places that lead it, by rank."""


@frozen
class Rule:
    """The shape of waves. `wave`: rounds of one, at least 3. `pipelined`: one begins in every round.

    `blame`: what counts against a block: not voting for it, for no block of its slot, or for none of its author.
    """

    wave: int = 3
    pipelined: bool = True
    blame: Blame = "block"

    def leads(self, round_: int) -> bool:
        """Whether a round has leaders."""
        return round_ >= 1 and (self.pipelined or round_ % self.wave == 0)


@define(eq=False)
class Slot:
    """A leader's slot and what is known of it. `vertex`: what is committed. `anchor`: who decided it, if indirectly."""

    round: int
    rank: int
    author: int
    status: Status = "undecided"
    vertex: Vertex | None = None
    anchor: Vertex | None = None
    certifiers: dict[Vertex, int] = field(factory=dict)
    looked_at: int = 0
    candidates: int = 0
    known: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the order of slots: (round, rank)."""
        return self.round, self.rank


class TwoCertifiedError(Exception):
    """Two blocks of one slot have a certificate: more members lie than the committee bears."""


@final
class Committer:
    """Decides slot after slot. `decided`: the place of the last slot that was given out, skipped ones included."""

    def __init__(self, dag: Dag, committee: Committee, rule: Rule, leaders: Leaders) -> None:
        self.decided = (0, -1)
        self._dag = dag
        self._committee = committee
        self._rule = rule
        self._leaders = leaders
        self._slots: list[Slot] = []  # above `decided`, in order
        self._next_round = 1  # the first round whose slots are not listed
        self._history: _History | None = None

    def try_commit(self) -> list[Slot]:
        """The next slots that are decided, in order, without a gap; each is given once. Cheap if nothing is new."""
        self.look()
        count = 0
        while count < len(self._slots) and self._slots[count].status != "undecided":
            count += 1
        given, self._slots = self._slots[:count], self._slots[count:]
        if given:
            self.decided = given[-1].place
        return given

    def look(self) -> Sequence[Slot]:
        """Decide whatever can be decided; all slots above `decided` of rounds that there are."""
        self._list_slots()
        latest = self._dag.highest - self._rule.wave + 2  # the last round that has votes
        for index in range(len(self._slots) - 1, -1, -1):
            slot = self._slots[index]
            if slot.status == "undecided" and slot.round <= latest:
                self._decide_directly(slot)
                if slot.status == "undecided":
                    self._decide_by_anchor(slot, index)
        return self._slots

    def move_to(self, decided: tuple[int, int]) -> None:
        """Go on after `decided`, and forget what was found of slots beyond it, as when the leaders have changed."""
        self.decided = decided
        self._slots = []
        self._next_round = max(1, decided[0])
        self._history = None

    def votes(self, leader: Vertex) -> int:
        """The members with a block in the voting round that votes for `leader`."""
        if self._rule.wave == 3:
            return leader.voters
        layer = self._dag.layer(leader.round + self._rule.wave - 2)
        mask = 0
        for vertex in layer.vertices:
            if self._vote(vertex, leader.round, leader.author) is leader:
                mask |= 1 << vertex.author
        return mask

    def certifies(self, vertex: Vertex, leader: Vertex) -> bool:
        """Whether `vertex`, of the wave's last round, refers to votes for `leader` of a quorum."""
        return self._certifies(vertex, leader, self.votes(leader))

    def _list_slots(self) -> None:
        while self._next_round <= self._dag.highest:
            if self._rule.leads(self._next_round):
                for rank, author in enumerate(self._leaders(self._next_round)):
                    if (self._next_round, rank) > self.decided:
                        self._slots.append(Slot(self._next_round, rank, author))
            self._next_round += 1

    # The direct rule --------------------------------------------------------------------------------------------------

    def _decide_directly(self, slot: Slot) -> None:
        voting = self._dag.layer(slot.round + self._rule.wave - 2)
        if not self._committee.is_quorum(voting.authors):
            return
        candidates = self._dag.slot(slot.round, slot.author)
        last = self._dag.layer(slot.round + self._rule.wave - 1)
        known = len(candidates) + len(voting.vertices) + len(last.vertices)  # each of them only grows
        if known == slot.known:
            return
        slot.known = known
        if all(self._committee.is_quorum(self._blame(slot, leader)) for leader in candidates or (None,)):
            slot.status = "skip"
            return
        self._count_certificates(slot, candidates)
        certified = [v for v in candidates if self._committee.is_quorum(slot.certifiers.get(v, 0))]
        if len(certified) > 1:
            raise TwoCertifiedError(f"two blocks of slot {slot.place} have a certificate")
        if certified:
            slot.status, slot.vertex = "commit", certified[0]

    def _blame(self, slot: Slot, leader: Vertex | None) -> int:
        """The members with a block in the voting round that speaks against `leader`, or against a slot without any."""
        layer = self._dag.layer(slot.round + self._rule.wave - 2)
        if leader is None and self._rule.blame != "author":
            return layer.authors
        if leader is not None and self._rule.blame == "block" and self._rule.wave == 3:
            mask = layer.authors & ~leader.voters
            for author in members_of(layer.twins):
                if any(leader not in vertex.parents for vertex in layer.slots[author]):
                    mask |= 1 << author
            return mask
        mask = 0
        for vertex in layer.vertices:
            if self._speaks_against(vertex, slot, leader):
                mask |= 1 << vertex.author
        return mask

    def _speaks_against(self, vertex: Vertex, slot: Slot, leader: Vertex | None) -> bool:
        if self._rule.blame == "author":
            return all(parent.author != slot.author for parent in vertex.parents)
        vote = self._vote(vertex, slot.round, slot.author)
        return vote is None if self._rule.blame == "slot" else vote is not leader

    def _count_certificates(self, slot: Slot, candidates: Sequence[Vertex]) -> None:
        """Take up the blocks of the wave's last round that came since; all of them if another candidate came."""
        if slot.candidates != len(candidates):
            slot.candidates, slot.looked_at, slot.certifiers = len(candidates), 0, {}
        last = self._dag.layer(slot.round + self._rule.wave - 1).vertices
        if slot.looked_at == len(last):
            return
        for leader in candidates:
            votes = self.votes(leader)
            if not self._committee.is_quorum(votes):
                continue
            for vertex in last[slot.looked_at :]:
                if self._certifies(vertex, leader, votes):
                    slot.certifiers[leader] = slot.certifiers.get(leader, 0) | 1 << vertex.author
        slot.looked_at = len(last)

    def _certifies(self, vertex: Vertex, leader: Vertex, votes: int) -> bool:
        twins = self._dag.layer(vertex.round - 1).twins & vertex.below
        agreeing = vertex.below & votes & ~twins
        if twins:
            for parent in vertex.parents:
                if parent.round == vertex.round - 1 and twins >> parent.author & 1 and self._votes_for(parent, leader):
                    agreeing |= 1 << parent.author
        return self._committee.is_quorum(agreeing)

    def _votes_for(self, vertex: Vertex, leader: Vertex) -> bool:
        if self._rule.wave == 3:
            return leader in vertex.parents
        return self._vote(vertex, leader.round, leader.author) is leader

    def _vote(self, vertex: Vertex, round_: int, author: int) -> Vertex | None:
        """The block of a slot that `vertex` votes for: the first one met, depth first, in the order of references."""
        seen: set[Vertex] = set()
        waiting = [vertex]
        while waiting:
            at = waiting.pop()
            if at.round == round_ and at.author == author and at is not vertex:
                return at
            if at.round > round_ and at not in seen:
                seen.add(at)
                waiting += reversed(at.parents)
        return None

    # The indirect rule ------------------------------------------------------------------------------------------------

    def _decide_by_anchor(self, slot: Slot, index: int) -> None:
        anchor = self._anchor(slot, index)
        if anchor is None:
            return
        if self._history is None or self._history.anchor is not anchor:
            self._history = _History(anchor)
        slot.status, slot.anchor = "skip", anchor
        for vertex in self._history.layer(slot.round + self._rule.wave - 1):
            for leader in self._dag.slot(slot.round, slot.author):
                if self.certifies(vertex, leader):
                    if slot.vertex not in (None, leader):
                        raise TwoCertifiedError(f"two blocks of slot {slot.place} have a certificate")
                    slot.status, slot.vertex = "commit", leader

    def _anchor(self, slot: Slot, index: int) -> Vertex | None:
        """The first later slot that a whole wave lies before and that is not skipped, if it is committed."""
        for later in self._slots[index + 1 :]:
            if later.round >= slot.round + self._rule.wave and later.status != "skip":
                return later.vertex
        return None


class _History:
    """What an anchor refers to, directly or not, by round; walked as far down as it is asked for."""

    def __init__(self, anchor: Vertex) -> None:
        self.anchor = anchor
        self._layers: dict[int, dict[Vertex, None]] = {anchor.round: {anchor: None}}
        self._lowest = anchor.round  # the lowest round whose vertices are all known

    def layer(self, round_: int) -> Iterator[Vertex]:
        """The vertices of a round at or below the anchor's."""
        while self._lowest > round_:
            for vertex in self._layers.get(self._lowest, {}):
                for parent in vertex.parents:
                    self._layers.setdefault(parent.round, {})[parent] = None
            self._lowest -= 1
        return iter(self._layers.get(round_, {}))
