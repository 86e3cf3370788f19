"""Four validators as processes, under load: one is killed, frozen or cut off, again and again. ``nox -s committee``.

Nothing acknowledged is lost or there twice, all come to the same state, and who was away takes part again. A full run
writes ``specs/results/committee.json``; ``SOMA_COMMITTEE_ROUNDS`` makes a shorter one.
"""

import os
import signal
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import results
from attrs import define, evolve, field
from kill_clients import Client, Promises, audit
from kill_world import HelpNeededError, Member, founded, until
from relays import Relays

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.cli._network import Plan
from soma_core.genesis import Genesis, read
from soma_core.node.development import BALANCE, DEVELOPMENT

ALL_ROUNDS: Final = 50
ROUNDS: Final = int(os.environ.get("SOMA_COMMITTEE_ROUNDS", ALL_ROUNDS))
SEED: Final = int(os.environ.get("SOMA_COMMITTEE_SEED", "2026"))
FAULTS: Final = ("kill -9", "freeze", "partition")
LONGEST: Final = 12.0
"""Seconds that a validator is away, at most: two epochs, and longer than its peers wait for a word of it."""
BACK_LIMIT: Final = 60.0
"""Seconds in which a validator that was away orders with the others again."""
BEHIND: Final = 5.0
"""Seconds after which any validator has what one of them promised."""
JOB_LIMIT: Final = 120.0
SHORT: Final = evolve(DEVELOPMENT, commit_ms=20_000)
PLAN: Final = Plan(encoder="encoder-numpy", encoders=("text",), parameters=SHORT)


def say(text: str) -> None:
    """To whoever watches (``pytest -s``)."""
    sys.stderr.write(f"{text}\n")


@define(eq=False)
class Trouble:
    """A committee at work, and what befell it. `back`: seconds until a validator that was away ordered again."""

    members: list[Member]
    relays: Relays
    promises: Promises
    genesis: Genesis
    random: Random
    tried: Counter[str] = field(factory=Counter)
    wrong: dict[str, Counter[str]] = field(factory=lambda: {fault: Counter() for fault in FAULTS})
    found: list[str] = field(factory=list)
    back: list[float] = field(factory=list)
    states: dict[int, bytes] = field(factory=dict)

    @property
    def validators(self) -> list[Member]:
        return [member for member in self.members if member.validates]

    def round(self, number: int) -> None:
        """One fault, and its end."""
        fault = FAULTS[number % len(FAULTS)]
        place = self.random.randrange(len(self.validators))
        away = self.random.uniform(0, LONGEST)
        victim, others = self.validators[place], [m for m in self.validators if m is not self.validators[place]]
        self.tried[fault] += 1
        time.sleep(self.random.uniform(0, 1.5))
        before = self.top(others)
        try:
            if fault == "kill -9":
                victim.kill(victim.family()[0])
                time.sleep(away)
                victim.start_again()
            elif fault == "freeze":
                frozen = victim.family()
                for seen in frozen:
                    os.kill(seen.pid, signal.SIGSTOP)
                time.sleep(away)
                for seen in frozen:
                    os.kill(seen.pid, signal.SIGCONT)
            else:
                self.relays.cut_off(place)
                time.sleep(away)
                self.relays.heal()
            if away > 4 and self.top(others) <= before:
                self.note(fault, "crash", f"three stood still while {victim.name} was away for {away:.1f} s")
            begun = time.monotonic()
            if not until(self.level, BACK_LIMIT, 0.1):
                self.note(fault, "crash", f"{victim.name} is not back {BACK_LIMIT:g} s after {fault} of {away:.1f} s")
            self.back.append(time.monotonic() - begun)
            say(f"{number:3} {fault:10} {victim.name:11} away {away:4.1f} s, back after {self.back[-1]:4.1f} s")
        except HelpNeededError as error:
            self.note(fault, "crash", str(error))
            victim.end()
            victim.start()
        self.check(fault, last=300)

    def top(self, members: list[Member]) -> int:
        """The last commit of any of them."""
        return max((status.index for member in members if (status := member.status()) is not None), default=0)

    def level(self) -> bool:
        """Whether all are up and within two commits of each other, and not because nothing moves."""
        before = self.heights()
        time.sleep(1.2)
        after = self.heights()
        moved = all(now > then for then, now in zip(before, after, strict=True))
        return moved and max(after) - min(after) <= 2

    def heights(self) -> list[int]:
        found = [member.status() for member in self.validators]
        for member, status in zip(self.validators, found, strict=True):
            if status is not None and self.states.setdefault(status.index, status.state) != status.state:
                self.note("any", "lost", f"{member.name} has another state {status.index}")
        return [status.index if status is not None else 0 for status in found]

    def check(self, fault: str, last: int | None = None) -> None:
        """Hold a validator against what was promised. It may be a commit behind another that has promised."""
        with Node(self.random.choice(self.validators).directory) as node:
            early = {one.what for one in self.promises.check(node, self.genesis, last)}
            if early:
                time.sleep(BEHIND)
            for one in self.promises.check(node, self.genesis, last) if early else ():
                if one.what in early:
                    self.note(fault, one.kind, one.what)
            if drift := node.ask(control.SUPPLY, control.Empty()).drift:
                self.note(fault, "double", f"the supply drifts by {drift}")
        for job in self.promises.open:
            if time.monotonic() - job.since > JOB_LIMIT:
                self.note(fault, "lost", f"job {job.key.hex()} is not over after {JOB_LIMIT:g} s")
        for member in self.members:
            for text in member.tracebacks():
                self.note(fault, "crash", f"in the log of {member.name}: {text}")

    def note(self, fault: str, kind: str, what: str) -> None:
        if what not in self.found:
            self.found.append(what)
            self.wrong.setdefault(fault, Counter())[kind] += 1
            say(f"{kind} after {fault}: {what}")


def test_nothing_is_lost_or_doubled_whoever_of_four_is_away(tmp_path: Path) -> None:
    members = founded(tmp_path / "net", PLAN)
    relays = Relays([member for member in members if member.validates])
    promises, files = Promises(), tmp_path / "files"
    files.mkdir()
    genesis = read(members[0].directory / "genesis.cbor")
    trouble = Trouble(members, relays, promises, genesis, Random(SEED))
    clients = [Client(m.directory, promises, files, SEED + place, 0.15) for place, m in enumerate(members)]
    payers = {}
    try:
        for member in members:
            member.start()
        for member in members:
            member.up()
        with Node(members[-1].directory) as node:  # the encoder's node pays, and earns under another account
            payers[node.ask(control.STATUS, control.Empty()).account] = BALANCE
        assert until(trouble.level, BACK_LIMIT)
        for client in clients:
            client.start()
        for number in range(ROUNDS):
            trouble.round(number)
        for client in clients:
            client.stop()
        for client in clients:
            client.finish()
        until(lambda: trouble.check("any", last=1) or not promises.open, JOB_LIMIT, 0.5)
        trouble.check("any")
        assert until(trouble.level, BACK_LIMIT)
        for member in reversed(members):
            assert member.stop() == 0, member.last_words()
    finally:
        relays.close()
        for member in members:
            for seen in member.left():
                os.kill(seen.pid, signal.SIGCONT)
            member.end()
    faults, books = audit(members, promises, payers)
    for one in faults:
        trouble.note("any", one.kind, one.what)
    said = Counter(transfer.said for transfer in promises.transfers)
    back = {"median": round(statistics.median(trouble.back), 1), "most": round(max(trouble.back), 1)}
    figures = {
        "rounds": ROUNDS,
        "commits": books.commits,
        "transfers": dict(said),
        "jobs": dict(Counter(job.outcome or "open" for job in promises.jobs.values())),
        "refused": dict(promises.refused),
        "seconds_until_back": back,
    }
    say(f"{figures}")
    if ROUNDS == ALL_ROUNDS and "SOMA_COMMITTEE_SEED" not in os.environ:
        rows = [
            {"fault": f"{fault} of one validator of four", "tried": trouble.tried[fault]}
            | {kind: trouble.wrong[fault][kind] for kind in ("lost", "double", "crash")}
            for fault in FAULTS
        ]
        what = "one of four validators, processes over libp2p, is killed, frozen or cut off under load, and comes back"
        results.write("committee", what, SEED, **figures, faults=rows, found=trouble.found)
    assert trouble.found == []
    assert said["applied"] > ROUNDS
