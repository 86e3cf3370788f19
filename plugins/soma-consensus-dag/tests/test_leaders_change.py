"""Leaders change with the commits, and all members make the same commits, in whatever order blocks come to them."""

from collections.abc import Sequence
from random import Random

import pytest
import random_dags
from drawn_blocks import blocks

from soma_consensus_dag._block import Block
from soma_consensus_dag._committee import Committee
from soma_consensus_dag._committer import Committer, Rule
from soma_consensus_dag._dag import Dag
from soma_consensus_dag._linearizer import Linearizer, Record
from soma_consensus_dag._manager import Manager
from soma_consensus_dag._ordering import Ordering
from soma_consensus_dag._schedule import Schedule


class Member:
    """What an engine has between the blocks that come and the commits that go."""

    def __init__(self, stakes: Sequence[int], *, count: int, interval: int, gc_depth: int) -> None:
        committee = Committee(stakes)
        self.dag = Dag()
        self.dag.drop(0)
        self.manager = Manager(self.dag)
        self.schedule = Schedule(committee, b"some chain", count=count, interval=interval, bad_percent=33)
        self.linearizer = Linearizer(self.dag, committee, gc_depth)
        committer = Committer(self.dag, committee, Rule(), self.schedule.leaders)
        self.ordering = Ordering(1, self.dag, self.manager, committer, self.linearizer, self.schedule)
        self.records: list[Record] = []

    def order(self) -> None:
        self.records += [made.record for made in self.ordering.by_rule()]
        horizon = self.linearizer.horizon
        self.manager.drop([vertex.ref for vertex in self.dag.drop(horizon)])
        self.manager.settle(horizon)

    def take(self, order: Sequence[Block], random: Random) -> None:
        eagerness = random.choice((0.0, 0.1, 1.0))
        for block in order:
            self.manager.offer(block)
            if random.random() < eagerness:
                self.order()
        self.order()


@pytest.mark.parametrize("seed", range(40))
def test_all_make_the_same_commits(seed: int) -> None:
    """Leaders change after every 2 to 5 commits: far more often than they would, and with liars and lost blocks."""
    random = Random(f"leaders {seed}")
    drawn = random_dags.draw(seed, longest=40)
    known = blocks(drawn.dag)
    count, interval = random.choice((1, 1, 2, 3)), random.randint(2, 5)
    gc_depth = random.choice((8, 60))
    members = []
    for _ in range(4):
        member = Member(drawn.dag.stakes, count=count, interval=interval, gc_depth=gc_depth)
        order = [known[one.id] for one in random_dags.shuffled(drawn.dag.blocks, random) if one.round]
        member.take(order[: random.choice((len(order), len(order) // 2))], random)
        members.append(member)
    longest = max((member.records for member in members), key=len)
    for member in members:
        assert member.records == longest[: len(member.records)], f"seed {seed}"
        assert [record.index for record in member.records] == list(range(1, len(member.records) + 1))


def test_leaders_do_change_and_the_silent_lose_their_turn() -> None:
    """D makes no blocks: after ten commits it leads no round any more."""
    member = Member((1, 1, 1, 1), count=1, interval=10, gc_depth=60)
    drawing = "committee 4\n1..60 A B C"
    before = [tuple(member.schedule.leaders(round_)) for round_ in range(1, 200)]
    assert {leader for (leader,) in before} == {0, 1, 2, 3}
    member.take(list(blocks(drawing).values()), Random(1))
    assert len(member.records) > 40
    later = [tuple(member.schedule.leaders(round_)) for round_ in range(60, 200)]
    assert {leader for (leader,) in later} == {0, 1, 2}
    kept = [(one, other) for one, other in zip(before[59:], later, strict=True) if one != (3,)]
    assert all(one == other for one, other in kept), "only D's turns went to others"
