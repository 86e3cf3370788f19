"""The random DAGs are what they say: valid, without more lies than the committee bears, and of every kind."""

from collections import Counter
from random import Random

import random_dags
import slow_committer as slow

COUNT = 200


def test_equal_seeds_give_equal_dags() -> None:
    assert str(random_dags.draw(7)) == str(random_dags.draw(7))
    assert str(random_dags.draw(7)) != str(random_dags.draw(8))


def test_every_block_is_valid_and_few_lie() -> None:
    for seed in range(COUNT):
        drawn = random_dags.draw(seed)
        stakes = drawn.dag.stakes
        places = [(block.round, block.author) for block in drawn.dag.blocks]
        twinned = {author for (_, author), count in Counter(places).items() if count > 1}
        assert sum(stakes[author] for author in twinned) <= slow.thresholds(sum(stakes))["fault"]
        known = {block.id: block for block in drawn.dag.blocks}
        assert len(known) == len(drawn.dag.blocks)
        for block in drawn.dag.blocks:
            assert all(known[parent].round < block.round for parent in block.parents)
            if block.round:
                said = {"epoch": 0, "round": block.round, "author": block.author, "ancestors": block.parents}
                assert slow.validity(stakes, 0, said, {}) == "ok", block.id
            if block.round and block.author not in drawn.liars:
                own = [one for one in known.values() if one.author == block.author and one.round < block.round]
                assert block.parents[0] == max(own, key=lambda one: one.round).id


def test_every_kind_is_drawn() -> None:
    """Over a few hundred of them, every status comes by every rule, at slots with and without twins."""
    seen: Counter[str] = Counter()
    for seed in range(COUNT):
        drawn = random_dags.draw(seed)
        view = slow.View(drawn.rule, drawn.dag.blocks)
        seen[f"size {len(drawn.dag.stakes)}"] += 1
        seen[f"wave {drawn.rule.wave_length}"] += 1
        seen[f"blame {drawn.rule.blame}"] += 1
        seen["later twin"] += bool(view.later_twins())
        put_out = {id_ for sub_dag in view.sub_dags.values() for id_ in sub_dag}
        reached = {id_ for leader in view.sub_dags for id_ in view.history(leader)}
        seen["cut"] += any(view.blocks[id_].round for id_ in reached - put_out)
        seen["weak link"] += any(view.blocks[p].round < b.round - 1 for b in drawn.dag.blocks for p in b.parents[1:])
        for decision in view.decisions:
            twins = "twins" if len(view.in_slot(decision.slot)) > 1 else "one"
            seen[f"{decision.status} {decision.by} {twins}"] += 1
    kinds = ["commit direct", "commit indirect", "skip direct", "skip indirect", "undecided None"]
    wanted = [f"{kind} {slot}" for kind in kinds for slot in ("one", "twins")]
    wanted += [f"size {size}" for size in range(4, 11)]
    wanted += [
        "wave 3",
        "wave 4",
        "wave 5",
        "blame block",
        "blame slot",
        "blame author",
        "later twin",
        "cut",
        "weak link",
    ]
    assert {kind: seen[kind] for kind in wanted if seen[kind] < 5} == {}


def test_an_order_respects_references() -> None:
    for seed in range(20):
        blocks = random_dags.draw(seed).dag.blocks
        order = random_dags.shuffled(blocks, Random(seed))
        assert sorted(order, key=lambda block: block.place) == list(blocks)
        places = {block.id: place for place, block in enumerate(order)}
        assert all(places[parent] < places[block.id] for block in blocks for parent in block.parents)
