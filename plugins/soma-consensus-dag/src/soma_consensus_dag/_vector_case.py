"""One committer case of a vector file: a graph, fed in many orders, and what must become of its leader slots."""

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final

from attrs import evolve, frozen

from ._committee import Committee
from ._committer import Blame, Committer, Leaders, Rule, Slot, TwoCertifiedError
from ._dag import Dag, Ref
from ._linearizer import Linearizer

ORDERS: Final = 100
"""In how many orders the blocks of a case are fed."""
_EAGERNESS: Final = (0.0, 0.05, 0.3, 1.0)
"""How often the committer is called while blocks come: drawn anew for each order."""

Decision = Mapping[str, Any]


@frozen
class Node:
    """A block of a case. Its `ref` has the id, filled up with zeros, for a digest."""

    ref: Ref
    parents: tuple[Ref, ...]


@frozen
class CommitterCase:
    """`cursor`: the place of the slot decided last. `expect`, `variants`: as the file has them, the slots as pairs."""

    name: str
    committee: Committee
    rule: Rule
    leaders: Leaders
    gc_depth: int
    cursor: tuple[int, int] | None
    nodes: tuple[Node, ...]
    decided_up_to: int
    decisions: Sequence[Decision]
    sequence: Sequence[Decision]
    sub_dags: Sequence[Sequence[str]]
    variants: Mapping[Blame, Sequence[Decision]]

    def run(self) -> list[str]:
        """What was found otherwise, in the first order in which anything was; nothing if all holds in all orders."""
        random = Random(self.name)  # noqa: S311 - any orders do, the same ones each time
        for number in range(ORDERS):
            dag = Dag()
            committer = self._committer(dag)
            if self.cursor:
                committer.move_to(self.cursor)
            try:
                given = self._feed(dag, committer, random)
                wrong = [*self._wrong_decisions(dag), *self._wrong_output(dag, given)]
            except TwoCertifiedError as error:
                wrong = [str(error)]
            if wrong:
                return [f"order {number}: {what}" for what in wrong]
        return []

    def _committer(self, dag: Dag, rule: Rule | None = None) -> Committer:
        return Committer(dag, self.committee, rule or self.rule, self.leaders)

    def _feed(self, dag: Dag, committer: Committer, random: Random) -> list[Slot]:
        """The slots that are given out while the blocks come in an order that respects their references."""
        given: list[Slot] = []
        eagerness = random.choice(_EAGERNESS)
        for node in topological(self.nodes, random):
            dag.add(node.ref, node.parents)
            if random.random() < eagerness:
                given += committer.try_commit()
        given += committer.try_commit()
        if again := committer.try_commit():
            given += again  # called once more it has nothing to give; what it repeats is found to be too much
        return given

    def _wrong_decisions(self, dag: Dag) -> Iterable[str]:
        """What differs where all is known, by each way to count blame that the file knows of."""
        for blame, wanted in {self.rule.blame: self.decisions, **self.variants}.items():
            committer = self._committer(dag, evolve(self.rule, blame=blame))
            looked = [slot for slot in committer.look() if slot.round <= self.decided_up_to]
            yield from _differences(f"decisions by {blame}", [_decision(slot) for slot in looked], wanted)

    def _wrong_output(self, dag: Dag, given: Sequence[Slot]) -> Iterable[str]:
        """A direct skip may be found a round before the file looks at its slot: more, never different."""
        due = [slot for slot in given if slot.round <= self.decided_up_to]
        early = [slot for slot in given[len(due) :] if slot.status != "skip" or slot.anchor]
        found = [
            {"slot": [slot.round, slot.author], "decision": slot.status, "block": _name(slot)} for slot in due + early
        ]
        yield from _differences("sequence", found, self.sequence)
        linearizer = Linearizer(dag, self.committee, self.gc_depth)
        before = [] if self.cursor is None else self._committer(dag).try_commit()
        for slot in before:
            if slot.vertex and slot.place <= (self.cursor or slot.place):
                linearizer.take(slot.vertex)
        sub_dags = [[_id(one.ref) for one in linearizer.take(slot.vertex)] for slot in due if slot.vertex]
        yield from _differences("sub-DAGs", sub_dags, self.sub_dags)


def topological(nodes: Sequence[Node], random: Random) -> list[Node]:
    """A random order in which parents come before children."""
    waiting = {node.ref: len(set(node.parents)) for node in nodes}
    children: dict[Ref, list[Node]] = {}
    for node in nodes:
        for parent in set(node.parents):
            children.setdefault(parent, []).append(node)
    ready = [node for node in nodes if not node.parents]
    found = []
    while ready:
        place = random.randrange(len(ready))
        ready[place], ready[-1] = ready[-1], ready[place]
        node = ready.pop()
        found.append(node)
        for child in children.get(node.ref, ()):
            waiting[child.ref] -= 1
            if not waiting[child.ref]:
                ready.append(child)
    return found


def ref_of(name: str, round_: int, author: int) -> Ref:
    """The reference that stands for a block of a file. Raises ValueError if its id is not 1 to 32 bytes."""
    digest = name.encode()
    if not 1 <= len(digest) <= 32 or b"\0" in digest:
        raise ValueError(f"{name!r:.40} is no id: 1 to 32 bytes belong there")
    return round_, author, digest.ljust(32, b"\0")


def _id(ref: Ref) -> str:
    return ref[2].rstrip(b"\0").decode()


def _name(slot: Slot) -> str | None:
    return _id(slot.vertex.ref) if slot.vertex else None


def _decision(slot: Slot) -> Decision:
    return {
        "slot": [slot.round, slot.author],
        "status": slot.status,
        "block": _name(slot),
        "by": None if slot.status == "undecided" else "indirect" if slot.anchor else "direct",
        "anchor": [slot.anchor.round, slot.anchor.author] if slot.anchor else None,
    }


def _differences(what: str, found: Sequence[Any], wanted: Sequence[Any]) -> Iterable[str]:
    """The first place where two lists differ, in words."""
    for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            yield f"{what}[{place}]: found {one}, not {other}"
            return
    if len(found) != len(wanted):
        yield f"{what}: found {len(found)}, not {len(wanted)}"
