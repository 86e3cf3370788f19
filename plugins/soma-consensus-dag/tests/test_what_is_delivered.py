"""What a commit brings to the chain: whole blocks in order, each once, as much as one commit may hold."""

from collections.abc import Mapping, Sequence

from attrs import evolve
from drawn_blocks import blocks, id_of, refs

from soma_consensus_dag._block import COMMIT_BYTES
from soma_consensus_dag._committee import Committee
from soma_consensus_dag._committer import Committer, Rule
from soma_consensus_dag._dag import Dag
from soma_consensus_dag._linearizer import NO_DIGEST, Linearizer
from soma_consensus_dag._manager import Manager
from soma_consensus_dag._ordering import Made, Ordering
from soma_consensus_dag._schedule import Schedule

FULL = "committee 4\n1..9 everybody"


def ordering(
    drawing: str, payload: Mapping[str, Sequence[bytes]] | None = None, system: Mapping[str, bytes] | None = None
) -> Ordering:
    """What orders a drawing, all of it in the graph, with leaders B, C, D, A, ... and a horizon 60 rounds below."""
    dag, committee = Dag(), Committee([1] * 4)
    dag.drop(0)
    schedule = Schedule(committee, b"", count=1, interval=0, bad_percent=0)
    schedule.leaders = lambda round_: [round_ % 4]  # type: ignore[method-assign]
    manager, linearizer = Manager(dag), Linearizer(dag, committee, 60)
    committer = Committer(dag, committee, Rule(), schedule.leaders)
    for block in blocks(drawing, {}, payload, system).values():
        manager.offer(block)
    return Ordering(5, dag, manager, committer, linearizer, schedule)


def commits(
    drawing: str, payload: Mapping[str, Sequence[bytes]] | None = None, system: Mapping[str, bytes] | None = None
) -> list[Made]:
    """All commits of a drawing."""
    return ordering(drawing, payload, system).by_rule()


def test_commits_are_a_chain() -> None:
    made = commits(FULL)
    assert [id_of(one.record.leader) for one in made] == ["B1", "C2", "D3", "A4", "B5", "C6", "D7"]
    assert [one.record.index for one in made] == [one.commit.index for one in made] == list(range(5, 12))
    before = NO_DIGEST
    for one in made:
        assert one.record.previous == before
        assert one.commit.digest == one.record.digest
        assert (one.commit.round, one.commit.leader) == one.record.leader[:2]
        before = one.record.digest
    assert len({one.record.digest for one in made}) == 7


def test_items_are_in_the_order_of_blocks_with_their_authors() -> None:
    made = commits(FULL, {"A1": [b"a", b"b"], "C2": [b"c"], "D1": [b"d"], "A2": [b"e"]})
    assert [one.commit.items for one in made[:3]] == [
        (),
        ((0, b"a"), (0, b"b"), (3, b"d"), (2, b"c")),
        ((0, b"e"),),
    ]


def test_system_bytes_follow_the_items_of_their_block_but_those_of_the_leader_stand_alone() -> None:
    made = commits(FULL, {"A1": [b"a"], "C2": [b"c"]}, {"A1": b"of A1", "C2": b"of C2", "D2": b"of D2"})
    assert [(one.commit.items, one.commit.leader_system) for one in made[:3]] == [
        ((), b""),
        (((0, b"a"), (0, b"of A1"), (2, b"c")), b"of C2"),
        (((3, b"of D2"),), b""),
    ]


def test_of_twins_the_first_in_order_counts() -> None:
    """D1' comes in the commit after that of D1: it is in its sub-DAG, and neither its payload nor its system bytes."""
    drawing = (
        "committee 4\n1 everybody\n  D': everybody\n2 A C D: everybody\n  B: everybody except D, D'\n3..5 everybody"
    )
    made = commits(drawing, {"D1": [b"first"], "D1'": [b"second"]}, {"D1": b"system 1", "D1'": b"system 2"})
    assert [[id_of(ref) for ref in one.record.blocks] for one in made] == [
        ["B1"],
        ["A1", "C1", "D1", "C2"],
        ["D1'", "A2", "B2", "D2", "D3"],
    ]
    assert [one.commit.items for one in made] == [(), ((3, b"first"), (3, b"system 1")), ()]


def test_what_is_too_much_for_a_commit_comes_first_in_the_next() -> None:
    """Three blocks of three fifths of a commit each: one a commit, in order, and a small one behind them."""
    much = COMMIT_BYTES * 3 // 5
    payload = {"A1": [b"a" * much], "C1": [b"c" * much], "D1": [b"d" * much], "A2": [b"small"]}
    made = commits(FULL, payload)
    found = [[item[:1].decode() for _, item in one.commit.items] for one in made]
    assert found[:4] == [[], ["a"], ["c"], ["d", "s"]]
    assert not any(found[4:])
    waiting = [one.record.left for one in made]
    assert waiting[0] == 0
    assert waiting[1] == 3, "C1, D1 and the leader C2"
    assert waiting[-1] == 0
    for one in made:
        assert sum(len(item) for _, item in one.commit.items) <= COMMIT_BYTES


def test_a_block_that_is_too_much_alone_comes_alone() -> None:
    made = commits(FULL, {"A1": [b"a" * (COMMIT_BYTES + 1)], "C1": [b"c"]})
    assert [len(one.commit.items) for one in made[:3]] == [0, 1, 1]


def test_every_block_is_in_one_commit() -> None:
    made = commits(FULL)
    given = [ref for one in made for ref in one.record.blocks]
    assert len(given) == len(set(given))
    assert set(given) == {ref for ref in refs(FULL).values() if 0 < ref[0] < 7} | {made[-1].record.leader}


def test_a_certified_commit_keeps_its_time_also_after_a_start() -> None:
    """Whoever takes it up, or reads it back, may lack the blocks of which its time is the median."""
    first, *_ = (one.record for one in commits(FULL))
    certified = evolve(first, time=77)
    late = ordering(FULL)
    made = late.by_record(certified)
    assert made is not None
    assert (made.record, made.commit.time) == (certified, 77)
    again = ordering(FULL).resume([certified], base=4)
    assert again == [made.commit]
