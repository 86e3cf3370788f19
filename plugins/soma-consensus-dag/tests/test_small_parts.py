"""Stake, clock, votes for commits, times and horizons beside the slow reference, on random values."""

from random import Random

import pytest
import slow_committer as slow
from attrs import evolve
from drawn_blocks import blocks, ids, refs

from soma_consensus_dag import _messages as messages
from soma_consensus_dag import simulation_view
from soma_consensus_dag._block import assemble
from soma_consensus_dag._clock import Clock
from soma_consensus_dag._committee import Committee, members_of
from soma_consensus_dag._dag import Dag
from soma_consensus_dag._linearizer import Linearizer
from soma_consensus_dag._votes import Votes
from soma_core.api.encoding import encode

TRIALS = 300


def stakes_of(random: Random) -> list[int]:
    size = random.choice((1, 2, 3, 4, 7, 8, 9, 17, 40))
    return [random.randint(1, 9) for _ in range(size)] if random.random() < 0.6 else [random.randint(1, 5)] * size


@pytest.mark.parametrize("seed", range(TRIALS // 10))
def test_the_stake_of_a_set(seed: int) -> None:
    random = Random(seed)
    committee = Committee(stakes := stakes_of(random))
    limits = slow.thresholds(sum(stakes))
    assert (committee.total, committee.fault, committee.quorum, committee.validity) == (sum(stakes), *limits.values())
    assert committee.weight(committee.everybody) == sum(stakes)
    for _ in range(10):
        mask = random.getrandbits(len(stakes))
        members = [place for place in range(len(stakes)) if mask >> place & 1]
        assert list(members_of(mask)) == members
        assert committee.weight(mask) == sum(stakes[place] for place in members)
        assert committee.is_quorum(mask) == (committee.weight(mask) >= limits["quorum"])


@pytest.mark.parametrize("stakes", [[], [0], [1, -1, 1]])
def test_a_committee_has_members_with_stake(stakes: list[int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Committee(stakes)


@pytest.mark.parametrize("seed", range(TRIALS))
def test_the_clock(seed: int) -> None:
    random = Random(seed)
    stakes, start, round_ = stakes_of(random), random.randrange(4), 0
    clock = Clock(Committee(stakes), start)
    come = []
    for _ in range(60):
        round_ += random.choice((0, 0, 0, 0, 1, 1, 5)) if random.random() < 0.4 else 0
        come.append((max(0, round_ - random.choice((0, 0, 0, 0, 1, 2))), random.randrange(len(stakes))))
    wanted = slow.clock_after_each(stakes, start, come)
    before = start
    for (at, author), expected in zip(come, wanted, strict=True):
        assert clock.note(at, author) is (expected > before)
        assert clock.round == expected
        before = expected


@pytest.mark.parametrize("seed", range(TRIALS))
def test_the_commit_that_a_quorum_has_voted_for(seed: int) -> None:
    """Blocks of any round may come in any order, and may vote for several commits or none."""
    random = Random(seed)
    stakes = [random.randint(1, 9) for _ in range(4)]
    votes, highest = Votes(Committee(stakes)), [0, 0, 0, 0]
    some = list(blocks("committee 4\n1 everybody").values())
    for _ in range(40):
        block = random.choice(some)
        named = [random.randint(1, 30) for _ in range(random.choice((0, 1, 1, 3)))]
        votes.hear(evolve(block, votes=tuple((index, bytes(32)) for index in named)))
        highest[block.author] = max(highest[block.author], *named, 0)
        assert votes.highest == highest
        assert votes.agreed == slow.quorum_commit_index(stakes, highest)


def graph(drawing: str, times: dict[str, int]) -> tuple[Dag, dict[str, tuple[int, int, bytes]]]:
    dag = Dag()
    dag.drop(0)
    for block in blocks(drawing, times).values():
        dag.add(block.ref, block.ancestors, time=block.time)
    return dag, refs(drawing)


def test_the_time_of_a_commit_is_that_of_the_round_before_its_leader() -> None:
    """Neither the leader's own time counts nor that of a weak link; D, in round 2, has no block to be counted."""
    drawing = "stakes 3 2 2 2\n1 everybody\n2 A B C\n3 A: everybody, D1"
    dag, named = graph(drawing, {"A2": 100, "B2": 300, "C2": 200, "D1": 9000, "A3": 9999})
    linearizer = Linearizer(dag, Committee([3, 2, 2, 2]), 60)
    leader = dag.get(named["A3"])
    assert leader is not None
    assert linearizer.time_of(leader) == 200
    linearizer.time = 250
    assert linearizer.time_of(leader) == 250


def test_a_later_twin_is_told_whichever_commit_it_comes_in() -> None:
    drawing = "committee 4\n1 everybody\n  D': everybody\n2 A C D: everybody\n  B: everybody except D, D'\n3 everybody"
    dag, named = graph(drawing, {})
    linearizer = Linearizer(dag, Committee([1] * 4), 60)
    first, second = dag.get(named["A2"]), dag.get(named["B3"])
    assert first is not None
    assert second is not None
    assert {vertex.ref: vertex.late for vertex in linearizer.take(first)} == {
        named[id_]: False for id_ in ("A1", "B1", "C1", "D1", "A2")
    }
    assert {vertex.ref: vertex.late for vertex in linearizer.take(second)} == {
        named[id_]: id_ == "D1'" for id_ in ("D1'", "B2", "C2", "D2", "B3")
    }
    assert linearizer.leader_round == 3


def test_the_horizon_follows_the_last_leader() -> None:
    dag, named = graph("committee 4\n1..9 everybody", {})
    linearizer = Linearizer(dag, Committee([1] * 4), 3)
    assert linearizer.horizon == 0
    for id_, horizon in (("B3", 0), ("A4", 1), ("B9", 6)):
        leader = dag.get(named[id_])
        assert leader is not None
        linearizer.take(leader)
        assert linearizer.horizon == horizon


def test_what_is_dropped_is_forgotten_and_told() -> None:
    dag, named = graph("committee 4\n1..4 everybody", {})
    assert len(dag) == 16
    assert sorted(vertex.ref for vertex in dag.drop(2)) == sorted(ref for ref in named.values() if 0 < ref[0] < 3)
    assert len(dag) == 8
    assert dag.get(named["A2"]) is None
    assert not dag.slot(2, 0)
    kept = dag.get(named["A3"])
    assert kept is not None
    assert dag.drop(1) == []
    assert dag.highest == 4


def test_ids_of_drawn_blocks() -> None:
    assert ids(blocks("committee 2\n1 A A'").values()) == ["A1", "A1'"]


@pytest.mark.parametrize(("round_", "author"), [(-1, 0), (0, 0), (1 << 32, 0), (1, -1), (1, 1 << 16)])
def test_no_simulator_is_told_of_a_place_that_there_cannot_be(round_: int, author: int) -> None:
    def wire(*place: int) -> bytes:
        header = encode([1, 0, *place, 0, b"", b"", b"", b"", bytes(32)])
        return messages.pack(messages.Blocks((assemble(header, bytes(64), b""),)))

    assert simulation_view(wire(3, 2)) is not None
    assert simulation_view(wire(round_, author)) is None
    for any_bytes in (b"", b"\x01", b"\x01" + bytes(9), b"\x02" + bytes(38)):
        assert simulation_view(any_bytes) is None
