"""The engine's committer and linearizer beside the slow reference, on one random DAG seen in part and whole."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from random import Random
from typing import Any

import random_dags
import slow_committer as slow

from soma_consensus_dag._committee import Committee
from soma_consensus_dag._committer import Committer, Rule, Slot
from soma_consensus_dag._dag import Dag, Ref
from soma_consensus_dag._linearizer import Linearizer
from soma_core.testing.dag import Block


class Fast:
    """The engine's parts, put together as the engine does: blocks come, slots and sub-DAGs go."""

    def __init__(self, drawn: random_dags.Drawn, *, drops: bool) -> None:
        rule = drawn.rule
        self.drops = drops
        self.dag = Dag()
        self.rule = Rule(rule.wave_length, rule.pipelined, rule.blame)  # type: ignore[arg-type]
        self.committee = Committee(rule.stakes)
        self.leaders = rule.leaders
        self.committer = self.new_committer()
        self.linearizer = Linearizer(self.dag, self.committee, rule.gc_depth)
        self.slots: list[Slot] = []
        self.sub_dags: dict[str, list[str]] = {}
        self.late: set[str] = set()
        if drops:
            self.dag.drop(0)  # the engine keeps no genesis blocks

    def new_committer(self) -> Committer:
        return Committer(self.dag, self.committee, self.rule, self.leaders)

    def add(self, block: Block, parents: Sequence[Block]) -> None:
        if block.round > self.dag.horizon:
            self.dag.add(ref(block), [ref(parent) for parent in parents])

    def commit(self) -> None:
        for slot in self.committer.try_commit():
            self.slots.append(slot)
            if slot.vertex is not None:
                sub_dag = self.linearizer.take(slot.vertex)
                self.sub_dags[id_of(slot.vertex.ref)] = [id_of(vertex.ref) for vertex in sub_dag]
                self.late |= {id_of(vertex.ref) for vertex in sub_dag if vertex.late}
        if self.drops:
            self.dag.drop(self.linearizer.horizon)


def ref(block: Block) -> Ref:
    return block.round, block.author, block.id.encode().ljust(32, b"\0")


def id_of(ref: Ref) -> str:
    return ref[2].rstrip(b"\0").decode()


def difference(seed: int) -> str:
    """What the two find otherwise, with the drawing; empty if nothing. A few views, and slots decided along the way."""
    drawn = random_dags.draw(seed)
    random = Random(f"views {seed}")
    order = random_dags.shuffled(drawn.dag.blocks, random)
    by_id = {block.id: block for block in order}
    views = {random.randrange(len(order) // 2, len(order)), len(order) - 1}
    fast = Fast(drawn, drops=drawn.rule.blame == "block" and random.random() < 0.4)
    eagerness = random.choice((0.0, 0.1, 1.0))
    for place, block in enumerate(order):
        fast.add(block, [by_id[parent] for parent in block.parents])
        if place in views or random.random() < eagerness:
            fast.commit()
        if place in views:
            seen = slow.View(drawn.rule, order[: place + 1])
            if found := next(differences(fast, seen), ""):
                return f"{found}, of the first {place + 1} blocks of {[one.id for one in order]}\n{drawn}"
    return ""


def differences(fast: Fast, seen: slow.View) -> Iterator[str]:
    """Where slots given out, sub-DAGs, later twins and, if all is kept, decisions and how they came about differ."""
    given = [(*place(slot), slot.status, name(slot)) for slot in fast.slots]
    yield from unequal("slot", given, [(*one.slot, one.status, one.block) for one in seen.sequence])
    yield from unequal("sub-DAG", list(fast.sub_dags.items()), list(seen.sub_dags.items()))
    yield from unequal("later twin", sorted(fast.late), sorted(seen.later_twins()))
    if not fast.drops:
        looked = [
            slow.Decision(
                place(slot),
                slot.status,
                name(slot),
                None if slot.status == "undecided" else "indirect" if slot.anchor else "direct",
                (slot.anchor.round, slot.anchor.author) if slot.anchor else None,
            )
            for slot in fast.new_committer().look()
        ]
        beyond = [slow.Decision(one.slot, "undecided") for one in looked[len(seen.decisions) :]]
        yield from unequal("decision", looked, [*seen.decisions, *beyond])


def place(slot: Slot) -> slow.Slot:
    return slot.round, slot.author


def name(slot: Slot) -> str | None:
    return id_of(slot.vertex.ref) if slot.vertex else None


def unequal(what: str, found: Sequence[Any], wanted: Sequence[Any]) -> Iterator[str]:
    for number, (one, other) in enumerate(zip_longest(found, wanted)):
        if one != other:
            yield f"{what} {number}: found {one}, not {other}"
