"""SIGKILL of any process of a network, at any moment, again and again, while clients keep it busy. ``nox -s kill``.

Writes ``specs/results/kill.json``. ``SOMA_KILL_ROUNDS`` and ``SOMA_KILL_SEED`` give another loop, which writes nothing.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest
import results
from attrs import define, evolve, field
from kill_clients import Client, Promises, audit
from kill_world import HelpNeededError, Member, Seen, founded, until

from soma_core.api import control
from soma_core.cli._client import Node
from soma_core.cli._network import Plan
from soma_core.errors import SomaError
from soma_core.genesis import Genesis, read
from soma_core.node.development import BALANCE, DEVELOPMENT

ALL_ROUNDS: Final = 200
ROUNDS: Final = int(os.environ.get("SOMA_KILL_ROUNDS", ALL_ROUNDS))
SEED: Final = int(os.environ.get("SOMA_KILL_SEED", "2026"))
FOUNDINGS: Final = max(1, ROUNDS // 10)
"""Of the rounds: a node is killed while it founds its network."""

SHORT: Final = evolve(DEVELOPMENT, attest_ms=8_000, draw_ms=8_000, commit_ms=15_000, reveal_ms=15_000)
PLAN: Final = Plan(validators=1, encoder="encoder-numpy", encoders=("text", "code"), parameters=SHORT)
JOB_LIMIT: Final = 120.0
"""Seconds in which a job that was acknowledged is over: its windows, and the restarts between."""
TARGETS: Final = (
    ("validator", "node"),
    ("validator", "signer"),
    ("encoder", "node"),
    ("encoder", "signer"),
    ("encoder", "guard"),
    ("encoder", "worker"),
)
WHILE_STARTING: Final = 0.5
"""Of the rounds: the victim dies before what was killed before it is up again."""
LATEST: Final = 2.0
"""Seconds until the victim dies, at most."""
LATEST_STARTING: Final = 0.8
"""The same where it shall not be up yet."""


def say(text: str) -> None:
    """To whoever watches the loop (``pytest -s``)."""
    sys.stderr.write(f"\n{text}\n")


@define
class Count:
    """What came of killing one kind of process."""

    killed: int = 0
    starting: int = 0
    lost: int = 0
    double: int = 0
    crash: int = 0


@define(eq=False)
class Table:
    """Kind of victim → what came of it; and what was found, in words."""

    counts: dict[str, Count] = field(factory=dict)
    found: dict[str, str] = field(factory=dict)

    def of(self, victim: str) -> Count:
        return self.counts.setdefault(victim, Count())

    def add(self, victim: str, kind: str, what: str) -> None:
        """Count a fault, once."""
        if what not in self.found:
            self.found[what] = f"{kind} after {victim} was killed: {what}"
            count = self.of(victim)
            setattr(count, kind, getattr(count, kind) + 1)
            say(self.found[what])

    def __str__(self) -> str:
        names = ("killed", "starting", "lost", "double", "crash")
        lines = [f"{'victim':24}" + "".join(f"{name:>10}" for name in names)]
        for victim, count in sorted(self.counts.items()):
            lines.append(f"{victim:24}" + "".join(f"{getattr(count, name):>10}" for name in names))
        return "\n".join(lines)


@define(eq=False)
class Loop:
    """A network whose processes are killed in turn."""

    members: list[Member]
    promises: Promises
    genesis: Genesis
    random: Random
    table: Table
    victim: str = "nothing"
    states: dict[int, bytes] = field(factory=dict)

    def round(self) -> None:
        """Kill one process at some moment, and start what has ended."""
        starting = self.random.random() < WHILE_STARTING
        if not starting:
            self.settle()
        time.sleep(self.random.uniform(0, LATEST_STARTING if starting else LATEST))
        member, seen = self.choose([m for m in self.members if starting and not m.ready()] or self.members)
        self.victim = f"{'validator' if member.validates else 'encoder'}'s {seen.kind}"
        count = self.table.of(self.victim)
        count.killed += 1
        count.starting += not member.ready()
        with self.watching(member):
            member.kill(seen)
        for each in self.members:
            if not each.running:
                with self.watching(each):
                    each.start_again()

    def choose(self, members: list[Member]) -> tuple[Member, Seen]:
        """A process of some kind, of one of `members`; of a node that is still starting perhaps its first one."""
        role, kind = self.random.choice(TARGETS)
        member = self.random.choice([m for m in members if m.validates == (role == "validator")] or members)
        if not until(member.family, 1):
            with self.watching(member):
                member.start_again()
        family = member.family()
        return member, next((seen for seen in family if seen.kind == kind), family[0])

    def settle(self) -> None:
        """Wait until all are up, and see what has become of what was promised."""
        for member in self.members:
            with self.watching(member):
                member.up()
        self.check(last=300)

    def check(self, last: int | None = None) -> None:
        """Hold the network against its promises."""
        try:
            with Node(self.members[0].directory) as node:
                for fault in self.promises.check(node, self.genesis, last):
                    self.table.add(self.victim, fault.kind, fault.what)
                if drift := node.ask(control.SUPPLY, control.Empty()).drift:
                    self.table.add(self.victim, "double" if drift > 0 else "lost", f"the supply drifts by {drift}")
        except SomaError as error:  # it went away by itself, or a receipt does not verify
            self.table.add(self.victim, "crash", f"asked for what was promised, the validator: {error}")
        for job in self.promises.open:
            if time.monotonic() - job.since > JOB_LIMIT:
                self.table.add(self.victim, "lost", f"job {job.key.hex()} is not over after {JOB_LIMIT:g} s")
        for member in self.members:
            status = member.status()
            if status is not None and self.states.setdefault(status.index, status.state) != status.state:
                self.table.add(self.victim, "lost", f"{member.name} has another state {status.index}")
            for text in member.tracebacks():
                self.table.add(self.victim, "crash", f"in the log of {member.name}: {text}")

    def watching(self, member: Member) -> "Watching":
        return Watching(self, member)


@define(eq=False)
class Watching:
    """Where a node needs help: it is written down, given, and the loop goes on."""

    loop: Loop
    member: Member

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, HelpNeededError):
            return False
        self.loop.table.add(self.loop.victim, "crash", str(error))
        self.member.end()
        self.member.start()
        return True


@pytest.fixture
def table() -> Iterator[Table]:
    table = Table()
    yield table
    say(str(table))


def test_nothing_is_lost_or_paid_twice_whoever_is_killed(tmp_path: Path, table: Table) -> None:
    begun = time.monotonic()
    founding(tmp_path, table)
    figures = running(tmp_path, table)
    figures["seconds"] = round(time.monotonic() - begun)
    say(json.dumps(figures, indent=2))
    if ROUNDS == ALL_ROUNDS and "SOMA_KILL_SEED" not in os.environ:
        write(table, figures)
    assert not table.found, "\n\n".join(table.found.values())


def founding(root: Path, table: Table) -> None:
    """Kill a node, or a child of it, while it founds a network of its own."""
    random = Random(SEED)
    took = 0.0
    for number in range(FOUNDINGS + 1):
        plugins = ("--plugin", "consensus-solo", "--plugin", "encoder-numpy")
        node = Member(f"founder {number}", root / f"founder-{number}", plugins)
        begun = time.monotonic()
        node.start()
        if number == 0:  # how long it takes where nobody disturbs it
            node.up()
            took = time.monotonic() - begun
            assert node.stop() == 0
            continue
        time.sleep(random.uniform(0, took))
        seen = random.choice(node.family())
        victim = f"founder's {seen.kind}"
        table.of(victim).killed += 1
        table.of(victim).starting += not node.ready()
        try:
            node.kill(seen)
            until(lambda n=node: not n.running, 3)
            if not node.running:
                node.start_again()
            node.up()
            with Node(node.directory) as asked:
                sent = control.Send(to=random.randbytes(32), amount=1 + number)
                assert not asked.ask(control.SEND, sent).code
                if asked.ask(control.BALANCE, control.AskBalance(sent.to)).balance != sent.amount:
                    table.add(victim, "lost", f"{node.name}: a transfer")
                if drift := asked.ask(control.SUPPLY, control.Empty()).drift:
                    table.add(victim, "double", f"{node.name}: the supply drifts by {drift}")
            if status := node.stop():
                table.add(victim, "crash", f"{node.name} ended with {status}: {node.last_words()}")
        except HelpNeededError as error:
            table.add(victim, "crash", str(error))
        finally:
            node.end()
        for text in node.tracebacks():
            table.add(victim, "crash", f"in the log of {node.name}: {text}")


def running(root: Path, table: Table) -> dict[str, object]:
    """Kill processes of a network at work. What was asked of it, in figures."""
    members = founded(root / "net", PLAN)
    genesis = read(members[0].directory / "genesis.cbor")
    promises, files = Promises(), root / "files"
    files.mkdir()
    loop = Loop(members, promises, genesis, Random(SEED + 1), table)
    clients = [Client(m.directory, promises, files, SEED + place, 0.15) for place, m in enumerate(members)]
    payers = {}
    try:
        for member in members:
            member.start()
        for member in members:
            member.up()
            if not member.validates:
                with Node(member.directory) as node:
                    payers[node.ask(control.STATUS, control.Empty()).account] = BALANCE
        for client in clients:
            client.start()
        for _ in range(ROUNDS - FOUNDINGS):
            loop.round()
        loop.settle()
        for client in clients:
            client.stop()
        for client in clients:
            client.finish()
        until(lambda: loop.check(last=1) or not promises.open, JOB_LIMIT, 0.5)
        loop.check()
        stop(loop)
    finally:
        for member in members:
            member.end()
    faults, books = audit(members, promises, payers)
    for fault in faults:
        table.add("any", fault.kind, fault.what)
    said = [transfer.said for transfer in promises.transfers]
    outcomes = [job.outcome for job in promises.jobs.values()]
    return {
        "commits": books.commits,
        "transfers": {word: said.count(word) for word in ("applied", "failed", "nothing")},
        "jobs": {word or "open": outcomes.count(word) for word in ("settled", "refunded", "")},
        "refused": dict(promises.refused),
    }


def stop(loop: Loop) -> None:
    """End every node politely. No process is left, and no control socket."""
    for member in reversed(loop.members):
        with loop.watching(member):
            if status := member.stop():
                raise HelpNeededError(f"{member.name} ended with {status}: {member.last_words()}")
            if (member.directory / "control.sock").exists():
                raise HelpNeededError(f"{member.name} left its control socket behind")


def write(table: Table, figures: dict[str, object]) -> None:
    """The results file."""
    faults = [{"fault": f"kill -9 of the {victim}", **counted(c)} for victim, c in sorted(table.counts.items())]
    results.write(
        "kill",
        "SIGKILL of any process of a network of three nodes under load, and of a node that founds its network",
        SEED,
        rounds=ROUNDS,
        **figures,
        faults=faults,
        found=list(table.found.values()),
    )


def counted(count: Count) -> dict[str, int]:
    """A row of the results. `starting`: of those that were tried, how many came before the node was up."""
    return {
        "tried": count.killed,
        "starting": count.starting,
        "lost": count.lost,
        "double": count.double,
        "crash": count.crash,
    }
