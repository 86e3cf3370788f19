"""Wrong versions of `consensus-dag`: each a change of a few words in one module, and what it does wrong.

The plugin's own tests must find them. `apply` refuses a change whose words are not there once, so that a mutant does
not silently become the engine itself.
"""

import shutil
from pathlib import Path
from typing import Final

from attrs import frozen

PACKAGE: Final = (
    Path(__file__).resolve().parent.parent / "plugins" / "soma-consensus-dag" / "src" / "soma_consensus_dag"
)


@frozen
class Mutant:
    """`module`: without ``_`` and ``.py``. `old` becomes `new`."""

    name: str
    module: str
    old: str
    new: str

    @property
    def file(self) -> str:
        """The module's, in the package."""
        return f"_{self.module}.py"

    def planted(self) -> str:
        """The module with the change. Raises ValueError if it does not fit."""
        text = (PACKAGE / self.file).read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} is there {text.count(self.old)} times in {self.file}")
        return text.replace(self.old, self.new)

    def apply(self, directory: Path) -> None:
        """Put a changed copy of the package into `directory`. Raises ValueError if the change does not fit."""
        copy(directory)
        (directory / PACKAGE.name / self.file).write_text(self.planted(), "utf-8")


def copy(directory: Path) -> None:
    """Put a copy of the package, as it is, into `directory`."""
    shutil.copytree(PACKAGE, directory / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))


COMMITTEE: Final = (
    Mutant("a quorum is 2f + 1", "committee", "fault, total - fault, fault + 1", "fault, 2 * fault + 1, fault + 1"),
    Mutant("f is a third of the stake", "committee", "fault = (total - 1) // 3", "fault = total // 3"),
    Mutant("validity is f", "committee", "total - fault, fault + 1)", "total - fault, fault)"),
    Mutant(
        "more than a quorum is wanted",
        "committee",
        "self.weight(members) >= self.quorum",
        "self.weight(members) > self.quorum",
    ),
    Mutant("heads are counted, not stake", "committee", "if len(set(self.stakes)) == 1 else 0", "* 0 + 1"),
    Mutant(
        "only eight members have stake", "committee", "            members >>= _CHUNK\n", "            members = 0\n"
    ),
    Mutant("the quorum's commit is the lowest that is voted for", "committee", ", reverse=True)", ")"),
    Mutant("half of the stake makes the median", "committee", "if weight > half:", "if weight >= half:"),
    Mutant("commits may go back in time", "committee", "return max(time, previous)", "return time"),
    Mutant("times are not sorted", "committee", "ordered = sorted(times)", "ordered = list(times)"),
)

CLOCK: Final = (
    Mutant(
        "no quorum is looked for after a jump",
        "clock",
        "self.round, self.authors = round_, 0\n",
        "self.round, self.authors = round_, 1 << author\n            return True\n",
    ),
    Mutant("authors of the round before count after a jump", "clock", "= round_, 0\n", "= round_, self.authors\n"),
    Mutant("blocks of the round before count", "clock", "if round_ < self.round:", "if round_ < self.round - 1:"),
    Mutant("authors stay when the round ends", "clock", "self.round + 1, 0", "self.round + 1, self.authors"),
)

DAG: Final = (
    Mutant("a reference of any length is a vote", "dag", "if parent.round == before:", "if parent.round <= before:"),
    Mutant("twins are not noticed", "dag", "layer.twins |= bit", "layer.twins |= 0"),
    Mutant(
        "the first block of a slot is the only one",
        "dag",
        "layer.slots[author].append(vertex)",
        "layer.slots[author] = [vertex]",
    ),
    Mutant("the round that is settled is waited for", "manager", "ref[0] > self.settled]", "ref[0] >= self.settled]"),
)

COMMITTER: Final = (
    Mutant(
        "f + 1 certificates commit",
        "committer",
        "certified = [v for v in candidates if self._committee.is_quorum(slot.certifiers.get(v, 0))]",
        "certified = [v for v in candidates if "
        "self._committee.weight(slot.certifiers.get(v, 0)) >= self._committee.validity]",
    ),
    Mutant(
        "f + 1 votes certify",
        "committer",
        "return self._committee.is_quorum(agreeing)",
        "return self._committee.weight(agreeing) >= self._committee.validity",
    ),
    Mutant(
        "f + 1 blames skip",
        "committer",
        "if all(self._committee.is_quorum(self._blame(slot, leader)) for",
        "if all(self._committee.weight(self._blame(slot, leader)) >= self._committee.validity for",
    ),
    Mutant("blame against one of two twins skips", "committer", "if all(self._committee", "if any(self._committee"),
    Mutant(
        "who votes and blames is not against",
        "committer",
        "            for author in members_of(layer.twins):\n",
        "            for author in ():\n",
    ),
    Mutant(
        "a twin's vote is taken from the other",
        "committer",
        "twins = self._dag.layer(vertex.round - 1).twins & vertex.below",
        "twins = 0",
    ),
    Mutant(
        "who has twins never votes",
        "committer",
        "and twins >> parent.author & 1 and self._votes_for(parent, leader)",
        "and not twins",
    ),
    Mutant(
        "the anchor is a round too close",
        "committer",
        "later.round >= slot.round + self._rule.wave and",
        "later.round >= slot.round + self._rule.wave - 1 and",
    ),
    Mutant(
        "the anchor is a round too far",
        "committer",
        "later.round >= slot.round + self._rule.wave and",
        "later.round > slot.round + self._rule.wave and",
    ),
    Mutant("an undecided slot is no obstacle", "committer", 'later.status != "skip":', 'later.status == "commit":'),
    Mutant("a skipped slot is an obstacle", "committer", ' and later.status != "skip":', ":"),
    Mutant(
        "the last anchor decides",
        "committer",
        "for later in self._slots[index + 1 :]:",
        "for later in reversed(self._slots[index + 1 :]):",
    ),
    Mutant(
        "the last rank of a round is the anchor",
        "committer",
        "for later in self._slots[index + 1 :]:",
        "for later in sorted(self._slots[index + 1 :], key=lambda one: (one.round, -one.rank)):",
    ),
    Mutant(
        "certificates count that the anchor does not know",
        "committer",
        "for vertex in self._history.layer(slot.round + self._rule.wave - 1):",
        "for vertex in self._dag.layer(slot.round + self._rule.wave - 1).vertices:",
    ),
    Mutant(
        "history has no weak links",
        "committer",
        "for parent in vertex.parents:\n                    self._layers",
        "for parent in (p for p in vertex.parents if p.round == self._lowest - 1):\n                    self._layers",
    ),
    Mutant(
        "the history of another anchor is taken",
        "committer",
        "if self._history is None or self._history.anchor is not anchor:",
        "if self._history is None:",
    ),
    Mutant(
        "an anchor without certificate decides nothing",
        "committer",
        'slot.status, slot.anchor = "skip", anchor',
        "slot.anchor = anchor",
    ),
    Mutant(
        "slots are looked at from the first",
        "committer",
        "range(len(self._slots) - 1, -1, -1)",
        "range(len(self._slots))",
    ),
    Mutant(
        "the order stops at a skipped slot",
        "committer",
        'self._slots[count].status != "undecided":',
        'self._slots[count].status == "commit":',
    ),
    Mutant(
        "what is undecided is left behind",
        "committer",
        'and self._slots[count].status != "undecided":',
        "and any(one.vertex for one in self._slots[count:]):",
    ),
    Mutant(
        "slots are given out again",
        "committer",
        "given, self._slots = self._slots[:count], self._slots[count:]",
        "given = self._slots[:count]",
    ),
    Mutant(
        "the cursor's own slot is given out again",
        "committer",
        "(self._next_round, rank) > self.decided",
        "(self._next_round, rank) >= self.decided",
    ),
    Mutant(
        "the cursor loses the rest of its round",
        "committer",
        "self._next_round = max(1, decided[0])",
        "self._next_round = decided[0] + 1",
    ),
    Mutant(
        "leaders are in order of places",
        "committer",
        "enumerate(self._leaders(self._next_round))",
        "enumerate(sorted(self._leaders(self._next_round)))",
    ),
    Mutant("waves begin one round late", "committer", "round_ % self.wave == 0", "round_ % self.wave == 1"),
    Mutant(
        "votes are looked for in the next round",
        "committer",
        "layer = self._dag.layer(leader.round + self._rule.wave - 2)",
        "layer = self._dag.layer(leader.round + 1)",
    ),
    Mutant(
        "the search goes the other way round", "committer", "waiting += reversed(at.parents)", "waiting += at.parents"
    ),
)

LINEARIZER: Final = (
    Mutant(
        "the horizon is that of the leader itself",
        "linearizer",
        "        horizon = self.horizon\n",
        "        horizon = horizon_after(leader.round, self._depth)\n",
    ),
    Mutant("the horizon's round is ordered", "linearizer", "parent.round > horizon and", "parent.round >= horizon and"),
    Mutant("there is no horizon", "linearizer", "and parent.round > horizon and", "and parent.round > 0 and"),
    Mutant(
        "the horizon may be negative",
        "linearizer",
        "return max(0, leader_round - depth)",
        "return leader_round - depth",
    ),
    Mutant("the horizon stands still", "linearizer", "        self.leader_round = leader.round\n", ""),
    Mutant(
        "twins are in order of finding",
        "linearizer",
        "key=lambda vertex: vertex.ref)",
        "key=lambda vertex: vertex.ref[:2])",
    ),
    Mutant(
        "blocks are in order of authors",
        "linearizer",
        "key=lambda vertex: vertex.ref)",
        "key=lambda vertex: (vertex.author, vertex.ref))",
    ),
    Mutant("blocks are ordered again and again", "linearizer", "vertex.ordered = True", "leader.ordered = True"),
    Mutant(
        "only the round before is ordered",
        "linearizer",
        "if not parent.ordered and",
        "if parent.round == vertex.round - 1 and not parent.ordered and",
    ),
)

MANAGER: Final = (
    Mutant(
        "nobody is freed when the horizon advances",
        "manager",
        "            entered += self._release(ref)\n",
        "            pass\n",
    ),
    Mutant(
        "what lies below the horizon is waited for",
        "manager",
        "if ref not in self.blocks and ref[0] > self.settled]",
        "if ref not in self.blocks]",
    ),
    Mutant(
        "blocks at the horizon are taken",
        "manager",
        "block.round <= self._dag.horizon:",
        "block.round < self._dag.horizon:",
    ),
    Mutant("the nearest round is pushed out by a flood", "manager", "latest = max(mine)", "latest = min(mine)"),
    Mutant(
        "who comes last pushes out another",
        "manager",
        "        if latest <= block.ref:\n            return False\n",
        "",
    ),
    Mutant("whatever waits is kept", "manager", "if len(mine) < SUSPENDED_MOST:", "if len(mine) >= 0:"),
    Mutant("a block may wait twice", "manager", "if block.ref in self or", "if block.ref in self.blocks or"),
    Mutant("one ancestor is enough", "manager", "if not one.missing:", "if one.missing >= 0:"),
    Mutant("only one of those that wait is freed", "manager", "freed.append(one.block)", "freed = [one.block]"),
    Mutant(
        "what was dropped is waited for",
        "manager",
        "                    del self._waiting[ancestor]",
        "                    pass",
    ),
    Mutant(
        "a second block of a slot is refused",
        "manager",
        "if block.ref in self or",
        "if self._dag.slot(*block.ref[:2]) or block.ref in self or",
    ),
    Mutant(
        "what waits below the horizon stays",
        "manager",
        "for ref in [ref for ref in self._suspended if ref[0] <= horizon]:",
        "for ref in ():",
    ),
)

PROPOSER: Final = (
    Mutant(
        "rounds are jumped over",
        "proposer",
        "following < present <= following + self._jump",
        "following < present <= following",
    ),
    Mutant(
        "gaps of any width are filled",
        "proposer",
        "following < present <= following + self._jump",
        "following < present",
    ),
    Mutant(
        "gaps are filled beneath what was forgotten",
        "proposer",
        "if self.floor <= self.last and following",
        "if following",
    ),
    Mutant("gaps are filled with payload", "proposer", "return Plan(following, empty=True)", "return Plan(following)"),
    Mutant("certificates are not waited for", "proposer", "        if round_ < 3 or not mine:", "        if round_:"),
    Mutant("certificates are waited for in vain", "proposer", " and missing and not hopeless:", ":"),
    Mutant(
        "certificates that cannot come are waited for", "proposer", " and missing and not hopeless:", " and missing:"
    ),
    Mutant(
        "certificates are waited for without a vote of ours", "proposer", "if vertex in mine[0].parents:", "if vertex:"
    ),
    Mutant(
        "a twin's vote that will not be referred to counts",
        "proposer",
        "votes &= ~(1 << author)",
        "votes |= 1 << author",
    ),
    Mutant(
        "leaders are not waited for",
        "proposer",
        "        if any(not self._dag.slot(round_ - 1, leader) for leader in leaders):\n            return False\n",
        "",
    ),
    Mutant(
        "one leader of several is enough",
        "proposer",
        "if any(not self._dag.slot(round_ - 1, leader) for leader in leaders):",
        "if leaders and all(not self._dag.slot(round_ - 1, leader) for leader in leaders):",
    ),
    Mutant(
        "leaders are waited for without end",
        "proposer",
        "if now < deadline and not self._has_leaders(present):",
        "if not self._has_leaders(present):",
    ),
    Mutant("there is no round delay", "proposer", "        if now < due:\n            return Plan(at=due)\n", ""),
    Mutant(
        "an idle member hurries",
        "proposer",
        "self._config.min_round_ms if busy else",
        "self._config.min_round_ms if True else",
    ),
    Mutant(
        "the timeout does not wait for the delay",
        "proposer",
        "max(self.entered_at, due) + (self._config",
        "self.entered_at + (self._config",
    ),
    Mutant(
        "the timeout runs from the last block",
        "proposer",
        "max(self.entered_at, due) + (self._config",
        "due + (self._config",
    ),
    Mutant("leaders are never waited for longer", "proposer", "leader_timeout_ms << doublings", "leader_timeout_ms"),
    Mutant("leaders are waited for longer and longer", "proposer", "// PATIENCE, DOUBLINGS", "// PATIENCE, 60"),
    Mutant(
        "older blocks are referred to again",
        "proposer",
        "max(self.included[author], self._dag.horizon)",
        "self._dag.horizon",
    ),
    Mutant(
        "blocks of the same round are referred to",
        "proposer",
        "for round_ in range(below - 1, max(",
        "for round_ in range(below, max(",
    ),
    Mutant(
        "only the round before is referred to",
        "proposer",
        "for round_ in range(below - 1, max(self.included[author], self._dag.horizon), -1):",
        "for round_ in (below - 1,):",
    ),
    Mutant(
        "the last of twins is referred to",
        "proposer",
        "                return slot[0]",
        "                return slot[-1]",
    ),
    Mutant(
        "our own block is not first",
        "proposer",
        "return (self.own, *(vertex.ref for vertex in found if vertex is not None))",
        "return (*(vertex.ref for vertex in found if vertex is not None), self.own)",
    ),
    Mutant(
        "a block is made beneath the floor",
        "proposer",
        "return self._clock.round > self.last and self._clock.round > self.floor",
        "return self._clock.round > self.last",
    ),
    Mutant(
        "two blocks are made for a round",
        "proposer",
        "return self._clock.round > self.last and self._clock.round > self.floor",
        "return self._clock.round >= self.last and self._clock.round > self.floor",
    ),
    Mutant(
        "a block of ours that was forgotten changes nothing",
        "proposer",
        "if own[0] > self.own[0]:",
        "if own[0] > self.own[0] + 1_000_000:",
    ),
)

RECOVERY: Final = (
    Mutant(
        "f + 1 answers are enough",
        "recovery",
        "return self._committee.is_quorum(self.answered)",
        "return self._committee.weight(self.answered) >= self._committee.validity",
    ),
    Mutant("nobody is asked", "recovery", "return self._committee.is_quorum(self.answered)", "return True"),
    Mutant("our own stake does not count", "recovery", "self.answered = 1 << me", "self.answered = 0"),
    Mutant(
        "the last answer is believed", "recovery", "self.highest = max(self.highest, round_)", "self.highest = round_"
    ),
    Mutant("the forgotten round itself is free", "recovery", "ABOVE: Final = 2", "ABOVE: Final = -1"),
    Mutant("it goes on right above what was forgotten", "recovery", "ABOVE: Final = 2", "ABOVE: Final = 0"),
    Mutant(
        "what was forgotten sets no floor",
        "recovery",
        "return self.highest + ABOVE if self.highest > last else 0",
        "return 0",
    ),
)

VOTES: Final = (
    Mutant("a vote may be taken back", "votes", "if highest > self.highest[block.author]:", "if highest:"),
    Mutant(
        "the first vote of a block counts",
        "votes",
        "highest = max(block.votes)[0]",
        "highest = block.votes[0][0]",
    ),
    Mutant(
        "f + 1 votes are the quorum's",
        "votes",
        "self.highest, self._committee.quorum)\n\n    def gather",
        "self.highest, self._committee.validity)\n\n    def gather",
    ),
)

ORDER: Final = (
    Mutant(
        "votes that are not ordered count for leaders",
        "schedule",
        "            if vertex.ordered:\n                ordered.setdefault",
        "            if vertex:\n                ordered.setdefault",
    ),
    Mutant(
        "nobody loses the turn to lead",
        "schedule",
        "self._bad_most = committee.total * bad_percent // 100",
        "self._bad_most = 0",
    ),
    Mutant(
        "the best lose their turn",
        "schedule",
        "key=lambda author: (self._points[author],",
        "key=lambda author: (-self._points[author],",
    ),
    Mutant(
        "what was decided by former leaders stays",
        "ordering",
        "                if self._changed:",
        "                if self._changed is None:",
    ),
    Mutant("commits hang on nothing", "ordering", "        self.digest = record.digest\n", ""),
    Mutant("a twin's payload counts", "ordering", "        if self.late:\n            return []\n", ""),
    Mutant("the leader's system bytes come twice", "ordering", "if system and not self.leads:", "if system:"),
)

SHELL: Final = (
    Mutant(
        "the timeout is not armed anew in a new round",
        "intake",
        "parts.proposer.entered_at = now",
        "parts.proposer.entered_at += 0",
    ),
    Mutant(
        "forged blocks are believed",
        "intake",
        "            if ok:\n                for block in what.blocks:\n                    self.take",
        "            if what:\n                for block in what.blocks:\n                    self.take",
    ),
    Mutant(
        "answers about our blocks bind us to nothing",
        "intake",
        "        parts.proposer.floor = max(parts.proposer.floor, parts.recovery.floor(parts.proposer.last))\n",
        "",
    ),
    Mutant(
        "twins are not reported",
        "intake",
        "if len(twins) > 1 and place not in self._accused:",
        "if len(twins) > 2 and place not in self._accused:",
    ),
    Mutant(
        "blocks of others are taken unasked",
        "intake",
        "elif ref in parts.fetcher or (block.author == peer and",
        "elif ref in parts.fetcher or (True and",
    ),
    Mutant("of a liar any number of twins is taken", "intake", "(*ref[:2])) < TWINS_MOST)", "(*ref[:2])) < 99)"),
    Mutant(
        "who has just started is not asked again",
        "engine",
        "self._asker.ask_for_ours(1 << peer)  # it has",
        "pass  # it has",
    ),
    Mutant(
        "blocks of a round that lasts are not asked for",
        "asker",
        "if now >= parts.proposer.entered_at + STILL_MS:",
        "if now < 0:",
    ),
    Mutant(
        "blocks of a round that lasts are asked only of who has shown none of it",
        "asker",
        "for peer in members_of(self.connected):\n                known",
        "for peer in set(members_of(self.connected)) - set(self._intake.latest):\n                known",
    ),
    Mutant("what was before a start stays for ever", "library", "self._unlisted = list(ends)", "self._unlisted = []"),
    Mutant("a block is sent before it is on disk", "author", "after=draft.barrier)", "after=0)"),
    Mutant(
        "a block is signed before it is on disk",
        "author",
        "and self._draft.barrier <= barrier:",
        "and self._draft.barrier <= barrier + 1_000:",
    ),
    Mutant(
        "a refused round is tried again",
        "author",
        "            parts.proposer.floor = max(parts.proposer.floor, draft.block.round)\n",
        "",
    ),
    Mutant("blocks go back in time", "author", "self.time = max(self.time, now)", "self.time = now"),
    Mutant("blocks are made before anybody was asked", "engine", "if self._parts.recovery.done and not", "if not"),
    Mutant(
        "no commit is waited for to be applied",
        "engine",
        "self._parts.ordering.index - self._delivery.applied < AHEAD",
        "self._delivery.applied >= 0",
    ),
    Mutant(
        "commits are delivered before those that the chain lacks",
        "delivery",
        "if not self.waits:\n            self._out",
        "if True:\n            self._out",
    ),
    Mutant("a held commit is lost", "delivery", "        self._held.append(deliver)\n", ""),
    Mutant("ever more commits are held", "delivery", "if len(self._held) > HELD:", "if False:"),
    Mutant(
        "what is held is passed over",
        "delivery",
        "            for deliver in held:\n                self.give(deliver.commit, deliver.after)\n",
        "",
    ),
    Mutant("what was held before a jump is delivered after it", "delivery", "        self._held.clear()\n", ""),
    Mutant(
        "an ended epoch stands still",
        "engine",
        "        self._apply_up_to(event.last)",
        "        self._apply_up_to(event.last)\n        self._running = False",
    ),
    Mutant(
        "an ended epoch goes on for ever",
        "engine",
        "        self._apply_up_to(event.last)",
        "        self._apply_up_to(1 << 62)",
    ),
    Mutant(
        "commits are handed on before they are on disk",
        "library",
        "delivery.give(one.commit, barrier)",
        "delivery.give(one.commit)",
    ),
    Mutant(
        "a missing block is asked for once",
        "fetcher",
        "                    one.due = now + AGAIN_MS",
        "                    one.due = now + 1_000_000_000",
    ),
)

MUTANTS: Final = (
    *COMMITTEE,
    *CLOCK,
    *DAG,
    *COMMITTER,
    *LINEARIZER,
    *MANAGER,
    *PROPOSER,
    *RECOVERY,
    *VOTES,
    *ORDER,
    *SHELL,
)
