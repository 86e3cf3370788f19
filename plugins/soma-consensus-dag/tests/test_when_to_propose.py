"""When a member makes its next block and what it refers to: rules P7 to P11 of the protocol, each by a drawing."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import frozen
from drawn_blocks import blocks, id_of, refs

from soma_consensus_dag import Config
from soma_consensus_dag._clock import Clock
from soma_consensus_dag._committee import Committee
from soma_consensus_dag._dag import Dag, Ref
from soma_consensus_dag._proposer import Plan, Proposer
from soma_core.testing.dag import parse

CONFIG = Config(min_round_ms=50, leader_timeout_ms=250, idle_ms=500)
LONG_AGO = 0
"""When the last block was made: at a time from which no delay lasts until the tests' 10,000 ms."""
NOW = 10_000


@frozen
class Leaders:
    """The leader of round r is r mod n: B, C, D, A, ..., then by rank those after it."""

    size: int
    count: int = 1

    def leaders(self, round_: int) -> Sequence[int]:
        return [(round_ + rank) % self.size for rank in range(self.count)]


class World:
    """A's proposer over a graph, which all of a drawing has entered."""

    def __init__(self, drawing: str, *, last: int | None = None, leaders: int = 1, jump: int = 30) -> None:
        drawn = parse(drawing)
        self.refs = refs(drawn)
        self.genesis = [self.refs[f"{letter}0"] for letter in "ABCDEFG"[: len(drawn.stakes)]]
        self.committee = Committee(drawn.stakes)
        self.dag = Dag()
        self.dag.drop(0)
        self.clock = Clock(self.committee, 1)
        schedule: Any = Leaders(self.committee.size, leaders)
        self.proposer = Proposer(0, self.genesis, CONFIG, self.committee, self.dag, self.clock, schedule, jump)
        self.proposer.entered_at = NOW
        for block in blocks(drawn).values():
            self.dag.add(block.ref, block.ancestors)
            self.clock.note(block.round, block.author)
            if block.author == 0 and (last is None or block.round <= last):
                self.proposer.made(block.ref, block.ancestors, LONG_AGO)

    def plan(self, now: int = NOW, *, busy: bool = True, since: int = 3) -> Plan:
        return self.proposer.plan(now, busy=busy, ordered=self.clock.round - since)

    def ancestors(self, round_: int) -> str:
        found: Sequence[Ref] = self.proposer.ancestors(round_)
        return " ".join(map(id_of, found))


# When. ----------------------------------------------------------------------------------------------------------------


def test_the_first_block_is_made_at_once() -> None:
    world = World("committee 4")
    assert world.plan() == Plan(1)
    assert world.ancestors(1) == "A0 B0 C0 D0"


def test_one_block_a_round() -> None:
    assert World("committee 4\n1 A").plan() == Plan()
    assert World("committee 4\n1 A B").plan() == Plan()
    assert World("committee 4\n1 A B C").plan() == Plan(2)


def test_not_sooner_than_the_round_delay() -> None:
    world = World("committee 4\n1 everybody")
    world.proposer.made_at = NOW - 49
    assert world.plan() == Plan(at=NOW + 1)
    assert world.plan(NOW + 1) == Plan(2)
    assert world.plan(busy=False) == Plan(at=NOW - 49 + 500), "with nothing to order it is longer"
    assert world.plan(NOW + 451, busy=False) == Plan(2)


def test_the_leader_of_the_round_before_is_waited_for() -> None:
    """P9. B leads round 1."""
    world = World("committee 4\n1 A C D")
    assert world.plan() == Plan(at=NOW + 250)
    assert world.plan(NOW + 249) == Plan(at=NOW + 250)
    assert world.plan(NOW + 250) == Plan(2)


def test_the_timeout_begins_when_the_round_is_entered_or_the_delay_is_over() -> None:
    world = World("committee 4\n1 A C D")
    world.proposer.entered_at = NOW - 100
    assert world.plan() == Plan(at=NOW + 150)
    world.proposer.made_at = NOW - 60
    assert world.plan() == Plan(at=NOW - 10 + 250)
    assert world.plan(NOW + 440, busy=False) == Plan(at=NOW + 440 + 250), "idle, it runs from the end of that delay"


@pytest.mark.parametrize(("since", "timeout"), [(7, 250), (8, 500), (15, 500), (16, 1_000), (24, 2_000), (200, 2_000)])
def test_who_has_ordered_no_leader_for_long_waits_longer_for_them(since: int, timeout: int) -> None:
    """However long messages take, up to a bound, leaders' blocks come in time at last."""
    world = World("committee 4\n1 A C D")
    assert world.plan(since=since) == Plan(at=NOW + timeout)
    assert world.plan(NOW + timeout, since=since) == Plan(2)


def test_every_leader_of_the_round_before_is_waited_for() -> None:
    assert World("committee 4\n1 A B C", leaders=2).plan() == Plan(2)
    assert World("committee 4\n1 A B D", leaders=2).plan() == Plan(at=NOW + 250)


def test_a_vote_is_waited_for_if_it_can_complete_a_certificate() -> None:
    """The certify-wait. A and B voted for B1, D did not, and C's block of round 2 is not here."""
    starved = "committee 4\n1 everybody\n2 A B: everybody\n  D: everybody except B\n"
    assert World(starved).plan() == Plan(at=NOW + 250), "C, the leader of round 2, is waited for besides"
    held = "committee 4\n1 everybody\n2 A C: everybody\n  D: everybody except B\n"
    assert World(held).plan() == Plan(at=NOW + 250), "C2 is here, and B2 would make a third vote"
    assert World(held).plan(NOW + 250) == Plan(3)


@pytest.mark.parametrize(
    ("round_2", "why"),
    [
        ("2 A B C: everybody", "three votes are a quorum"),
        ("2 A C: everybody\n  B D: everybody except B", "all blocks of round 2 are here"),
        ("2 A: everybody\n  C D: everybody except B", "B2 alone cannot make a quorum of votes"),
        ("2 A: everybody except B\n  C D: everybody", "A did not vote for B1 itself"),
    ],
)
def test_no_vote_is_waited_for_in_vain(round_2: str, why: str) -> None:
    assert World(f"committee 4\n1 everybody\n{round_2}").plan() == Plan(3), why


def test_the_vote_of_a_twin_that_is_not_referred_to_does_not_count() -> None:
    """D2, which came first and which A3 will refer to, does not vote; D2' does. B2 is worth waiting for."""
    world = World("committee 4\n1 everybody\n2 A C: everybody\n  D: everybody except B\n  D': everybody")
    assert world.plan() == Plan(at=NOW + 250)
    world = World("committee 4\n1 everybody\n2 A C: everybody\n  D: everybody\n  D': everybody except B")
    assert world.plan() == Plan(3)


def test_the_votes_for_every_leader_are_waited_for() -> None:
    """Two leaders a round, B and C in round 1: B1 has its votes, C1 lacks that of B."""
    drawing = "committee 4\n1 everybody\n2 A C: everybody\n  D: everybody except C"
    assert World(drawing).plan() == Plan(3)
    assert World(drawing, leaders=2).plan() == Plan(at=NOW + 250)


# No round is jumped over. ---------------------------------------------------------------------------------------------


def test_gaps_are_filled_one_by_one_at_once_and_empty() -> None:
    """P8, P11. A was away for rounds 2 to 4; neither delay nor leader is waited for until it has caught up."""
    drawing = "committee 4\n1 everybody\n2..4 B C D"
    world = World(drawing)
    assert world.clock.round == 5
    world.proposer.made_at = NOW
    for round_, ancestors in ((2, "A1 B1 C1 D1"), (3, "A2 B2 C2 D2"), (4, "A3 B3 C3 D3")):
        assert world.plan() == Plan(round_, empty=True)
        assert world.ancestors(round_) == ancestors
        ref = (round_, 0, f"A{round_}".encode().ljust(32, b"\0"))
        found = world.proposer.ancestors(round_)
        world.dag.add(ref, found)
        world.proposer.made(ref, found, NOW)
    assert world.plan() == Plan(at=NOW + 50)
    assert world.plan(NOW + 50).round in (0, 5)
    assert world.ancestors(5) == "A4 B4 C4 D4"


def test_a_gap_that_is_too_wide_is_jumped_over_once() -> None:
    drawing = "committee 4\n1 everybody\n2..8 B C D"
    assert World(drawing, jump=6).plan() == Plan(at=NOW + 250), "A, the leader of round 8, is not there"
    assert World(drawing, jump=6).plan(NOW + 250) == Plan(9)
    assert World(drawing, jump=7).plan() == Plan(2, empty=True)


def test_a_round_whose_blocks_are_gone_is_not_filled() -> None:
    world = World("committee 4\n1 everybody\n2..8 B C D")
    world.dag.drop(3)
    assert not world.plan(NOW + 250).empty


def test_seeing_one_block_of_a_round_means_entering_it() -> None:
    """P11: the clock of a member with all of round 1 goes to round 3 with the first block of it."""
    world = World("committee 4\n1 everybody\n2 B C D\n3 B")
    assert world.clock.round == 3
    assert world.plan() == Plan(2, empty=True)


# Whom to refer to. ----------------------------------------------------------------------------------------------------


def test_everything_newer_than_before_is_referred_to_and_nothing_again() -> None:
    """P7. D is slow: D2 came after A3 was made, and is the newest of D."""
    world = World("committee 4\n1 everybody\n2 A B C D: everybody\n3 A: everybody except D\n  B C: everybody")
    assert world.ancestors(4) == "A3 B3 C3 D2"
    world = World("committee 4\n1..2 everybody\n3 A B C")
    assert world.ancestors(4) == "A3 B3 C3", "D2 was referred to by A3"


def test_nothing_of_the_same_round_or_a_later_one_is_referred_to() -> None:
    assert World("committee 4\n1 everybody\n2 B C D\n3 B C D").ancestors(2) == "A1 B1 C1 D1"


def test_of_twins_the_one_that_came_first_is_referred_to() -> None:
    assert World("committee 4\n1 everybody\n  D': everybody").ancestors(2) == "A1 B1 C1 D1"


def test_what_is_at_the_horizon_is_not_referred_to() -> None:
    world = World("committee 4\n1 everybody\n2 D\n3 A B C: everybody except D, D1\n", last=0)
    assert "D2" in world.ancestors(4)
    world.dag.drop(2)
    assert "D" not in world.ancestors(4)


# Memory. --------------------------------------------------------------------------------------------------------------


def test_no_block_is_made_up_to_the_floor() -> None:
    world = World("committee 4\n1..4 everybody", last=1)
    world.proposer.floor = 6
    assert world.plan() == Plan()
    for author in range(1, 4):
        world.clock.note(6, author)
    assert world.clock.round == 7
    assert world.plan(NOW + 250) == Plan(7), "no gap is filled beneath it either"


def test_no_gap_is_filled_beneath_or_right_above_what_was_forgotten() -> None:
    """One jump to the present round: whatever lies between may have been made and forgotten."""
    world = World("committee 4\n1..4 everybody\n5..7 B C D", last=1)
    world.proposer.floor = 5
    assert world.clock.round == 8
    assert world.plan(NOW + 250) == Plan(8)


def test_a_block_of_ours_that_we_do_not_remember_raises_the_floor() -> None:
    world = World("committee 4\n1..4 everybody", last=1)
    world.proposer.met(world.refs["A3"])
    world.proposer.met(world.refs["A2"])
    assert world.proposer.own == world.refs["A3"]
    assert world.proposer.floor >= 3
    world.proposer.met(world.refs["A4"])
    assert world.plan(NOW + 250) == Plan(), "it may have made a block of round 5, or be asked of its own next"
    world.clock.note(7, 1)
    assert world.plan(NOW + 250).round == 7


def test_a_block_that_we_remember_raises_nothing() -> None:
    world = World("committee 4\n1..4 everybody")
    world.proposer.met(world.refs["A4"])
    assert world.proposer.floor == 0
    assert world.plan(NOW + 250) == Plan(5)
