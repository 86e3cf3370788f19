"""The commit rule again, written from its description alone: sets and recursion, nothing remembered, nothing clever.

It shares no line with the plugin. Blocks are anything with `id`, `author`, `round` and `parents` (ids, in order); the
id serves as the digest where a tie is broken. Wave length w: leader round r, voting round r+w-2, decision round r+w-1;
an anchor lies at r+w or above.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple, Protocol

Slot = tuple[int, int]
"""Round and author."""


class BlockLike(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def author(self) -> int: ...
    @property
    def round(self) -> int: ...
    @property
    def parents(self) -> Sequence[str]: ...


class Rule(NamedTuple):
    """`leaders(round)`: authors in rank order; asked only for rounds in which a wave begins."""

    stakes: tuple[int, ...]
    leaders: Callable[[int], Sequence[int]]
    wave_length: int = 3
    pipelined: bool = True
    blame: str = "block"
    gc_depth: int = 60

    @property
    def quorum(self) -> int:
        return thresholds(sum(self.stakes))["quorum"]


class Decision(NamedTuple):
    slot: Slot
    status: str
    block: str | None = None
    by: str | None = None
    anchor: Slot | None = None


class TwoCertifiedTwinsError(Exception):
    """More stake is faulty than the rule can bear."""


def round_robin(size: int, leaders_per_round: int) -> Callable[[int], Sequence[int]]:
    return lambda round_: [(round_ + rank) % size for rank in range(leaders_per_round)]


class View:
    """What one validator knows: some blocks, with everything that they reference or that is below the horizon."""

    def __init__(self, rule: Rule, blocks: Iterable[BlockLike]) -> None:
        self.rule = rule
        self.blocks: dict[str, BlockLike] = {block.id: block for block in blocks}
        self.highest = max((block.round for block in self.blocks.values()), default=0)
        self.rounds: dict[int, list[BlockLike]] = {}
        for block in sorted(self.blocks.values(), key=lambda block: (block.round, block.author, block.id)):
            self.rounds.setdefault(block.round, []).append(block)
        self.supported = cache(self._supported)

    def is_quorum(self, authors: Iterable[int]) -> bool:
        return sum(self.rule.stakes[author] for author in set(authors)) >= self.rule.quorum

    def in_round(self, round_: int) -> list[BlockLike]:
        return self.rounds.get(round_, [])

    def in_slot(self, slot: Slot) -> list[BlockLike]:
        return [block for block in self.in_round(slot[0]) if block.author == slot[1]]

    def parents(self, block: BlockLike) -> Iterator[BlockLike]:
        return (self.blocks[link] for link in block.parents if link in self.blocks)

    def history(self, id_: str) -> set[str]:
        """A block and all below it."""
        found, open_ = {id_}, [id_]
        while open_:
            for parent in self.parents(self.blocks[open_.pop()]):
                if parent.id not in found:
                    found.add(parent.id)
                    open_.append(parent.id)
        return found

    # The patterns. ----------------------------------------------------------------------------------------------------

    def _supported(self, id_: str, slot: Slot) -> str | None:
        """The block of `slot` that a block votes for: the first met going down its references, in order, deep first."""
        for parent in self.parents(self.blocks[id_]):
            if (parent.round, parent.author) == slot:
                return parent.id
            if parent.round > slot[0] and (found := self.supported(parent.id, slot)) is not None:
                return found
        return None

    def certifies(self, block: BlockLike, leader: BlockLike) -> bool:
        slot = leader.round, leader.author
        voting = leader.round + self.rule.wave_length - 2
        votes = [p for p in self.parents(block) if p.round == voting and self.supported(p.id, slot) == leader.id]
        return self.is_quorum(vote.author for vote in votes)

    def blames(self, slot: Slot) -> bool:
        """Whether a quorum is against the slot."""
        voters = self.in_round(slot[0] + self.rule.wave_length - 2)
        if self.rule.blame == "slot":
            return self.is_quorum(voter.author for voter in voters if self.supported(voter.id, slot) is None)
        if self.rule.blame == "author":
            return self.is_quorum(
                voter.author for voter in voters if all(parent.author != slot[1] for parent in self.parents(voter))
            )
        leaders: list[str | None] = [block.id for block in self.in_slot(slot)]
        return all(
            self.is_quorum(
                voter.author for voter in voters if leader is None or self.supported(voter.id, slot) != leader
            )
            for leader in leaders or [None]
        )

    # The rules. -------------------------------------------------------------------------------------------------------

    def direct(self, slot: Slot) -> Decision:
        if self.blames(slot):
            return Decision(slot, "skip", by="direct")
        deciding = self.in_round(slot[0] + self.rule.wave_length - 1)
        certified = [
            leader.id
            for leader in self.in_slot(slot)
            if self.is_quorum(block.author for block in deciding if self.certifies(block, leader))
        ]
        return self._only(slot, certified, "direct", None) or Decision(slot, "undecided")

    def indirect(self, slot: Slot, above: Iterable[Decision]) -> Decision:
        """`above`: the decisions of all higher slots, in order."""
        for decision in above:
            if decision.slot[0] < slot[0] + self.rule.wave_length or decision.status == "skip":
                continue
            if decision.status == "undecided":
                break
            assert decision.block is not None
            below = self.history(decision.block)
            deciding = [b for b in self.in_round(slot[0] + self.rule.wave_length - 1) if b.id in below]
            certified = [
                leader.id for leader in self.in_slot(slot) if any(self.certifies(block, leader) for block in deciding)
            ]
            found = self._only(slot, certified, "indirect", decision.slot)
            return found or Decision(slot, "skip", by="indirect", anchor=decision.slot)
        return Decision(slot, "undecided")

    @staticmethod
    def _only(slot: Slot, certified: Sequence[str], by: str, anchor: Slot | None) -> Decision | None:
        if len(certified) > 1:
            raise TwoCertifiedTwinsError(f"{' and '.join(certified)}")
        return Decision(slot, "commit", certified[0], by, anchor) if certified else None

    def slots(self) -> list[Slot]:
        """Every leader slot whose voting round may have begun, in order of round and rank."""
        step = 1 if self.rule.pipelined else self.rule.wave_length
        last = self.highest - self.rule.wave_length + 2
        return [(round_, author) for round_ in range(step, last + 1, step) for author in self.rule.leaders(round_)]

    @cached_property
    def decisions(self) -> list[Decision]:
        """Of every one of `slots`, in order. Of those above `decided_up_to` only a direct skip may be decided."""
        found: list[Decision] = []
        for slot in reversed(self.slots()):
            decision = self.direct(slot)
            if decision.status == "undecided":
                decision = self.indirect(slot, found)
            found.insert(0, decision)
        return found

    @property
    def decided_up_to(self) -> int:
        return self.highest - self.rule.wave_length + 1

    @cached_property
    def sequence(self) -> list[Decision]:
        """The longest beginning of the decisions without an undecided slot."""
        found = []
        for decision in self.decisions:
            if decision.status == "undecided":
                break
            found.append(decision)
        return found

    @cached_property
    def sub_dags(self) -> dict[str, list[str]]:
        """Committed leader → what its commit puts out, in order; the leaders in order."""
        found: dict[str, list[str]] = {}
        out: set[str] = set()
        before = 0
        for decision in self.sequence:
            if decision.block is None:
                continue
            horizon = gc_round(before, self.rule.gc_depth)
            new = [self.blocks[id_] for id_ in self.history(decision.block) - out if self.blocks[id_].round > horizon]
            found[decision.block] = [b.id for b in sorted(new, key=lambda b: (b.round, b.author, b.id))]
            out.update(found[decision.block])
            before = decision.slot[0]
        return found

    def later_twins(self) -> set[str]:
        """Blocks that are put out when another of their slot has been: their payload does not count."""
        slots: set[Slot] = set()
        found = set()
        for sub_dag in self.sub_dags.values():
            for id_ in sub_dag:
                slot = self.blocks[id_].round, self.blocks[id_].author
                if slot in slots:
                    found.add(id_)
                slots.add(slot)
        return found


# The auxiliary tables. ------------------------------------------------------------------------------------------------


def thresholds(total: int) -> dict[str, int]:
    fault = (total - 1) // 3
    return {"fault": fault, "quorum": total - fault, "validity": fault + 1}


def two_round_thresholds(total: int, malicious: int, crash: int) -> dict[str, int]:
    f = malicious * (total - 1) // (5 * malicious + 3 * crash)
    c = crash * (total - 1) // (5 * malicious + 3 * crash)
    return {"f": f, "c": c, "validity": f + 1, "certification": 2 * f + c + 1, "quorum": total - f - c}


def clock_after_each(stakes: Sequence[int], start: int, blocks: Iterable[tuple[int, int]]) -> list[int]:
    """The threshold clock after each of `blocks` (round, author)."""
    clock, authors, found = start, set[int](), []
    for round_, author in blocks:
        if round_ > clock:
            clock, authors = round_, set()
        if round_ == clock:
            authors.add(author)
            if sum(stakes[one] for one in authors) >= thresholds(sum(stakes))["quorum"]:
                clock, authors = clock + 1, set()
        found.append(clock)
    return found


def quorum_commit_index(stakes: Sequence[int], highest_voted: Sequence[int]) -> int:
    def voted(index: int) -> int:
        return sum(stake for stake, vote in zip(stakes, highest_voted, strict=True) if vote >= index)

    return max((i for i in {0, *highest_voted} if voted(i) >= thresholds(sum(stakes))["quorum"]), default=0)


def commit_timestamp(parents: Iterable[tuple[int, int]], previous: int) -> int:
    """`parents`: times and stakes of the leader's ancestors of the round before its own."""
    ordered = sorted(parents)
    total, below = sum(stake for _, stake in ordered), 0
    for time, stake in ordered:
        below += stake
        if below > total // 2:
            return max(time, previous)
    return previous


def gc_round(last_commit_leader_round: int, gc_depth: int) -> int:
    return max(0, last_commit_leader_round - gc_depth)


def reference(text: Any) -> tuple[int, int]:
    """Round and author of ``D7``, or of a pair of them."""
    return (int(text[1:].rstrip("'")), ord(text[0]) - ord("A")) if isinstance(text, str) else (text[0], text[1])


def validity(stakes: Sequence[int], epoch: int, block: Mapping[str, Any], limits: Mapping[str, int]) -> str:
    """The label of a block: `ok`, or what is wrong with it first. `block`: epoch, round, author, ancestors and more."""
    size, own = len(stakes), block["author"]
    links = [reference(link) for link in block["ancestors"]]
    if block["epoch"] != epoch:
        return "wrong_epoch"
    if block["round"] < 1:
        return "genesis_not_allowed"
    if not 0 <= own < size:
        return "bad_author"
    sizes = block.get("tx_bytes", [])
    if len(sizes) > limits.get("max_count", 512):
        return "too_many_tx"
    if any(one > limits.get("max_tx", 256 << 10) for one in sizes):
        return "tx_too_large"
    if sum(sizes) > limits.get("max_total", 512 << 10):
        return "block_too_large"
    if len(links) > size:
        return "too_many_ancestors"
    for place, (round_, author) in enumerate(links):
        if not 0 <= author < size:
            return "bad_author"
        if (author == own) != (place == 0):
            return "own_not_first"
        if round_ >= block["round"]:
            return "bad_ancestor_round"
        if author in {other for _, other in links[:place]}:
            return "duplicate_author"
    if (
        sum(stakes[author] for round_, author in links if round_ == block["round"] - 1)
        < thresholds(sum(stakes))["quorum"]
    ):
        return "no_parent_quorum"
    return "ok" if block.get("signature") != "" else "bad_signature"


# Case files. ----------------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    id: str
    author: int
    round: int
    parents: Sequence[str]


def rule_of(case: Mapping[str, Any], blame: str | None = None) -> Rule:
    """The rule of a committer case, perhaps with blame counted in another way."""
    given, stakes = case["rule"], tuple(case["committee"]["stakes"])
    schedule = given["leader_schedule"]
    if schedule["kind"] == "round_robin":
        leaders = round_robin(len(stakes), given["leaders_per_round"])
    else:
        table: Any = schedule["slots"]

        def leaders(round_: int) -> Sequence[int]:
            listed = table.get(str(round_), []) if isinstance(table, dict) else table[round_ : round_ + 1]
            return listed if isinstance(table, dict) else (listed[0] if listed else [])

    return Rule(stakes, leaders, given["wave_length"], given["pipelined"], blame or given["blame"], given["gc_depth"])


def nodes_of(case: Mapping[str, Any]) -> list[Node]:
    return [Node(one["id"], one["author"], one["round"], one["parents"]) for one in case["blocks"]]


def as_json(decision: Decision) -> dict[str, Any]:
    found = decision._asdict()
    return found | {key: list(found[key]) if found[key] else None for key in ("slot", "anchor")}


def expectation(case: Mapping[str, Any], blame: str | None = None) -> dict[str, Any]:
    """What the rule gives for a committer case, as a file has it under `expect`."""
    view = View(rule_of(case, blame), nodes_of(case))
    decided_up_to = view.decided_up_to
    after = tuple(case["last_decided"] or ())
    order = view.slots()
    place = order.index((after[0], after[1])) + 1 if after else 0
    due = [one for one in view.sequence[place:] if one.slot[0] <= decided_up_to]
    sub_dags = view.sub_dags
    return {
        "decided_up_to_round": decided_up_to,
        "decisions": [as_json(one) for one in view.decisions if one.slot[0] <= decided_up_to],
        "sequence": [{"slot": list(one.slot), "decision": one.status, "block": one.block} for one in due],
        "sub_dags": [sub_dags[one.block] for one in due if one.block is not None],
    }
