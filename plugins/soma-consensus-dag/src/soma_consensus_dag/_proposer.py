"""When a member makes its next block, and what that block refers to. Rules D48 to D55.

No round is jumped over: a member that reaches a round has a block in each before it, as far as that is sensible. And it
waits, for no longer than a timeout, for the leader's block, and for enough votes to certify the leader before it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, final

from attrs import frozen

from ._clock import Clock
from ._committee import Committee
from ._dag import Dag, Ref, Vertex, to_ref
from ._schedule import Schedule

if TYPE_CHECKING:
    from . import Config

_NONE: Final = 0
PATIENCE: Final = 8
"""Rounds since a leader was last ordered, after each of which a member waits twice as long for leaders."""
DOUBLINGS: Final = 3
"""Times that this happens, at most."""


@frozen
class Plan:
    """What is to be done about the next block. `round`: make it now, or 0. `at`: look again then, or 0.

    `empty`: it fills a gap and brings no payload.
    """

    round: int = _NONE
    empty: bool = False
    at: int = _NONE


@final
class Proposer:
    """`own`: our latest block that we know of. `last`: the round of the latest that we made, or remember to have made.

    `floor`: no further block of ours is of this round or an earlier one. `made_at`: when the last was made, ms.
    `entered_at`: when the clock came to its round. `included`: by place, the latest round that our blocks refer to.
    """

    def __init__(
        self,
        me: int,
        genesis: Sequence[Ref],
        config: "Config",
        committee: Committee,
        dag: Dag,
        clock: Clock,
        schedule: Schedule,
        jump: int,
    ) -> None:
        self.own = genesis[me]
        self.last = self.own[0]
        self.floor = 0
        self.made_at = 0
        self.entered_at = 0
        self.included = [0] * committee.size
        self._me = me
        self._genesis = genesis
        self._config = config
        self._committee = committee
        self._dag = dag
        self._clock = clock
        self._schedule = schedule
        self._jump = jump

    @property
    def has_turn(self) -> bool:
        """Whether the clock is beyond our latest block."""
        return self._clock.round > self.last and self._clock.round > self.floor

    def plan(self, now: int, *, busy: bool, ordered: int) -> Plan:
        """What to do at `now`. `busy`: there is something to order. `ordered`: the last ordered leader's round."""
        if not self.has_turn:
            return Plan()
        present = self._clock.round
        following = max(self.last, self.floor) + 1
        if self.floor <= self.last and following < present <= following + self._jump and self._can_refer(following):
            return Plan(following, empty=True)
        due = self.made_at + (
            self._config.min_round_ms if busy else max(self._config.idle_ms, self._config.min_round_ms)
        )
        if now < due:
            return Plan(at=due)
        doublings = min(max(0, present - ordered) // PATIENCE, DOUBLINGS)
        deadline = max(self.entered_at, due) + (self._config.leader_timeout_ms << doublings)
        if now < deadline and not self._has_leaders(present):
            return Plan(at=deadline)
        return Plan(present)

    def _is_first(self, round_: int) -> bool:
        return round_ == self._genesis[0][0] + 1

    def _can_refer(self, round_: int) -> bool:
        """Whether a quorum's blocks of the round before are here still."""
        return self._is_first(round_) or self._committee.is_quorum(self._dag.layer(round_ - 1).authors)

    def ancestors(self, round_: int) -> tuple[Ref, ...]:
        """What a block of `round_` refers to: our latest, then of each other member the latest not referred to yet."""
        if self._is_first(round_):
            return (self.own, *(ref for ref in self._genesis if ref[1] != self._me))
        others = (author for author in range(self._committee.size) if author != self._me)
        found = (self._latest(author, round_) for author in others)
        return (self.own, *(vertex.ref for vertex in found if vertex is not None))

    def made(self, own: Ref, ancestors: Sequence[Ref], now: int) -> None:
        """A block of ours was signed."""
        self.remember(own)
        self.made_at = now
        self.included_by(ancestors)

    def remember(self, own: Ref) -> None:
        """The latest block of ours, as we made it or know from our disk that we did."""
        self.own = own
        self.last = own[0]

    def met(self, own: Ref) -> None:
        """A block of ours is in the graph. If we do not remember it, we have lost our memory."""
        if own[0] > self.own[0]:
            self.own = own
            self.floor = max(self.floor, own[0] + 1)  # above `last`: the rounds between are not filled either

    def included_by(self, ancestors: Sequence[Ref]) -> None:
        """Our latest block refers to these."""
        for at, author, _ in ancestors:
            self.included[author] = max(self.included[author], at)

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [list(self.own), self.last, self.floor, self.made_at, self.entered_at, list(self.included)]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        own, self.last, self.floor, self.made_at, self.entered_at, self.included = state
        self.own = to_ref(own)

    def _latest(self, author: int, below: int) -> Vertex | None:
        """An author's latest block before `below` that we have not referred to; of twins the one that came first."""
        for round_ in range(below - 1, max(self.included[author], self._dag.horizon), -1):
            slot = self._dag.slot(round_, author)
            if slot:
                return slot[0]
        return None

    def _has_leaders(self, round_: int) -> bool:
        """Whether every leader of the round before is here, and those before can be certified by a block now."""
        leaders = () if self._is_first(round_) else self._schedule.leaders(round_ - 1)
        if any(not self._dag.slot(round_ - 1, leader) for leader in leaders):
            return False
        mine = self._dag.slot(round_ - 1, self._me)
        if round_ < 3 or not mine:
            return True
        here = self._dag.layer(round_ - 1)
        missing = self._committee.everybody & ~here.authors
        for leader in self._schedule.leaders(round_ - 2):
            for vertex in self._dag.slot(round_ - 2, leader):
                if vertex in mine[0].parents:
                    votes = self._votes(vertex)
                    hopeless = self._committee.weight(votes | missing) < self._committee.quorum
                    if not self._committee.is_quorum(votes) and missing and not hopeless:
                        return False
        return True

    def _votes(self, leader: Vertex) -> int:
        """Who votes for a leader's block with the block that ours would refer to."""
        layer = self._dag.layer(leader.round + 1)
        votes = leader.voters
        if layer.twins & votes:
            for author, vertices in layer.slots.items():
                if votes >> author & 1 and leader not in vertices[0].parents:
                    votes &= ~(1 << author)
        return votes
