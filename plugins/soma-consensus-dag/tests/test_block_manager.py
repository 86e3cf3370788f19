"""Blocks enter the graph when all they refer to is there, in whatever order they come; what waits is bounded."""

from random import Random

import pytest
import random_dags
from drawn_blocks import blocks, id_of, ids, ref_of, refs

from soma_consensus_dag._dag import Dag
from soma_consensus_dag._manager import SUSPENDED_MOST, Manager
from soma_core.testing.dag import Block as Drawn
from soma_core.testing.dag import Dag as Drawing
from soma_core.testing.dag import genesis, parse

FULL = "committee 4\n1..6 everybody"


def manager() -> Manager:
    """Over a graph that holds nothing; genesis lies at the horizon."""
    dag = Dag()
    dag.drop(0)
    return Manager(dag)


def test_a_block_enters_when_all_it_refers_to_has() -> None:
    some, here = blocks("committee 4\n1..2 everybody\n3 A"), manager()
    assert ids(here.offer(some["A3"])) == []
    assert ids(here.offer(some["A2"])) == []
    assert ids(here.offer(some["A1"])) == ["A1"]
    assert len(here) == 2
    for author in "BC":
        assert ids(here.offer(some[f"{author}1"])) == [f"{author}1"]
    assert ids(here.offer(some["D1"])) == ["D1", "A2"]
    assert ids(here.offer(some["B2"])) == ["B2"]
    assert ids(here.offer(some["C2"])) == ["C2"]
    assert ids(here.offer(some["D2"])) == ["D2", "A3"]
    assert len(here) == 0


def test_whom_is_waited_for() -> None:
    some, here = blocks(FULL), manager()
    named = refs(FULL)
    here.offer(some["A3"])
    assert here.misses(named["B2"])
    assert not here.misses(named["B1"])
    here.offer(some["B2"])
    assert not here.misses(named["B2"]), "it is here, and waits itself"
    assert here.misses(named["B1"])
    assert named["A3"] in here
    assert named["B2"] in here
    assert named["C2"] not in here


def test_a_second_block_of_a_slot_is_taken_like_the_first() -> None:
    drawing = "committee 4\n1 everybody\n  D': everybody\n2 A: everybody\n  B: everybody except D, D'"
    some, here = blocks(drawing), manager()
    entered = [one for id_ in ("D1", "D1'", "A1", "B1", "C1", "A2", "B2") for one in ids(here.offer(some[id_]))]
    assert entered == ["D1", "D1'", "A1", "B1", "C1", "A2", "B2"]


@pytest.mark.parametrize("seed", range(60))
def test_any_order_comes_to_the_same_graph(seed: int) -> None:
    """Blocks in any order, some more than once: at each moment what can be in is in, parents before children."""
    random = Random(seed)
    drawn = random_dags.draw(seed).dag
    some, here = blocks(drawn), manager()
    by_id = {block.id: block for block in drawn.blocks}
    order = random.sample(list(some), len(some))
    order = [id_ for id_ in order for _ in range(random.choice((1, 1, 2)))]
    if seed % 2:
        random.shuffle(order)
    given: set[str] = set()
    entered: list[str] = [block.id for block in drawn.blocks if not block.round]
    for id_ in order:
        given.add(id_)
        for new in ids(here.offer(some[id_])):
            assert new not in entered
            assert set(by_id[new].parents) <= set(entered)
            entered.append(new)
        waiting = given - set(entered)
        assert all(set(by_id[one].parents) - set(entered) for one in waiting), "one that could be in is not"
        assert len(here) == len(waiting)
        missing = {parent for one in waiting for parent in by_id[one].parents} - set(entered)
        named = {one: ref_of(by_id[one]) for one in by_id}
        assert {one for one in by_id if here.misses(named[one])} == missing - waiting
    assert sorted(entered) == sorted(by_id)
    assert len(here) == 0


# The horizon. ---------------------------------------------------------------------------------------------------------


def test_what_lies_at_the_horizon_is_waited_for_no_more() -> None:
    some, here = blocks(FULL), manager()
    for id_ in ("A3", "B3", "C3", "D3", "A4"):
        here.offer(some[id_])
    assert len(here) == 5
    assert here.settle(1) == []
    here._dag.drop(2)
    assert sorted(ids(here.settle(2))) == ["A3", "A4", "B3", "C3", "D3"]
    assert len(here) == 0
    assert not here.misses(refs(FULL)["A2"])


def test_what_lies_at_the_horizon_itself_is_not_taken_any_more() -> None:
    some, here = blocks(FULL), manager()
    here.offer(some["A2"])
    here.offer(some["A3"])
    here._dag.drop(2)
    assert ids(here.settle(2)) == ["A3"], "A2, which waited below the horizon, is gone"
    assert len(here) == 0
    assert ids(here.offer(some["B2"])) == []
    assert refs(FULL)["A2"] not in here
    assert refs(FULL)["A3"] in here.blocks


def test_a_block_above_the_horizon_comes_in_without_what_lies_below() -> None:
    some, here = blocks(FULL), manager()
    here._dag.drop(3)
    here.settle(3)
    assert ids(here.offer(some["A4"])) == ["A4"]


def test_after_a_start_the_graph_reaches_further_down_than_what_is_waited_for() -> None:
    some, here = blocks(FULL), manager()
    here.settle(2)
    assert ids(here.offer(some["A2"])) == ["A2"], "what A2 refers to had left the graph when it came"
    assert ids(here.offer(some["A3"])) == ["A3"]
    assert ids(here.offer(some["A4"])) == [], "of round 3 it lacks what later commits may bring"
    a3 = here._dag.get(refs(FULL)["A3"])
    assert a3 is not None
    assert [parent.ref for parent in a3.parents] == [refs(FULL)["A2"]]


# Bounds. --------------------------------------------------------------------------------------------------------------


def chain(author: int, rounds: range, twin: int = 0) -> list[Drawn]:
    """Blocks of one author that each lack a block nobody has."""
    letter = "ABCD"[author]
    return [Drawn(author=author, round=round_, twin=twin, parents=(f"{letter}{round_ - 1}'''",)) for round_ in rounds]


def with_phantoms(drawn: list[Drawn]) -> Drawing:
    """A drawing that has what they refer to as well."""
    phantoms = {
        Drawn(author=one.author, round=one.round - 1, twin=3, parents=(f"{'ABCD'[one.author]}0",)) for one in drawn
    }
    return Drawing((1, 1, 1, 1), [*genesis(4), *phantoms, *drawn])


def test_a_flood_of_the_far_future_does_not_push_out_what_is_near() -> None:
    far = chain(1, range(1000, 1000 + 3 * SUSPENDED_MOST))
    near, other = chain(1, range(5, 6))[0], chain(2, range(2000, 2001))[0]
    some, here = blocks(with_phantoms([*far, near, other])), manager()
    named = refs(with_phantoms([*far, near, other]))
    for one in far:
        here.offer(some[one.id])
        assert len(here) <= SUSPENDED_MOST
    assert named[far[0].id] in here
    assert named[far[SUSPENDED_MOST - 1].id] in here
    assert named[far[-1].id] not in here
    assert not here.misses(named[f"B{far[-1].round - 1}'''"]), "nobody waits for what a dropped block lacks"
    here.offer(some[near.id])
    here.offer(some[other.id])
    assert named[near.id] in here, "it takes the place of the latest"
    assert named[other.id] in here, "another's flood is nothing to it"
    assert named[far[SUSPENDED_MOST - 1].id] not in here
    assert not here.misses(named[f"B{far[SUSPENDED_MOST - 1].round - 1}'''"])
    assert len(here) == SUSPENDED_MOST + 1
    assert ids(here.offer(some["B4'''"])) == ["B4'''", "B5"]


def test_bytes_of_dropped_blocks_are_forgotten() -> None:
    some, here = blocks(FULL), manager()
    for one in some.values():
        here.offer(one)
    assert len(here.blocks) == 24
    here.drop([vertex.ref for vertex in here._dag.drop(2)])
    assert {id_of(ref) for ref in here.blocks} == {block.id for block in parse(FULL).blocks if block.round > 2}
