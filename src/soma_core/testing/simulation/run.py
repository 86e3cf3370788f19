"""One run: until all that the scenario holds has gone wrong, until all are well again, and what must be so then."""

import time
import traceback
from typing import Any, Final

from attrs import asdict, frozen

from soma_core import chain

from .accidents import AWAY
from .clients import IMPATIENT
from .engines import Engines
from .heap import MS, SECOND
from .member import Member
from .oracles import BrokenError
from .scenario import Scenario
from .tracing import Watcher
from .world import World

RECOVERED: Final = 8 * SECOND
"""After all are up and connected, the engine of every honest member orders new commits within this."""
QUIET: Final = 6 * SECOND
"""Before the end nothing new is given."""
APPLIED: Final = IMPATIENT + RECOVERED
"""What is given when nothing goes wrong any more is applied everywhere within this: the first asked may be a liar."""

MOST_UNAPPLIED: Final = 512
"""Commits that wait for a chain: what one message may bring beyond those for which an engine stops to be heard."""
MOST_RECORDS: Final = 64 << 20
"""Bytes that an engine keeps on disk."""
MOST_STATE: Final = 16 << 20
"""Bytes of an engine's snapshot: what it keeps in memory."""


@frozen(kw_only=True)
class Report:
    """`found`: what is not as it must be, or empty. Times are ms of the run, but for `cpu_ms`.

    `commits`: of the longest chain. `recovery`: the longest time from when all was well to a member's next new commit.
    `fingerprint`: of the order and what it came to.
    """

    scenario: Scenario
    found: str
    at: int
    commits: int
    epochs: int
    transactions: int
    messages: int
    deaths: int
    accusations: int
    recovery: int
    backlog: int
    records: int
    fingerprint: str
    cpu_ms: int

    @property
    def held(self) -> bool:
        """Whether everything was as it must be."""
        return not self.found

    def told(self) -> dict[str, Any]:
        """As JSON has it: what is the same in every run of the seed."""
        return {name: value for name, value in asdict(self).items() if name != "cpu_ms"}


def simulate(scenario: Scenario, engines: Engines, trace: Watcher | None = None) -> Report:
    """Run `scenario`."""
    began = time.process_time()
    world = World(scenario, engines, trace)
    found, recovery = "", 0
    try:
        recovery = _run(world)
    except BrokenError as error:
        found = str(error)
    except Exception as error:  # noqa: BLE001  # whatever an engine or the chain raised ends the run
        found = f"{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-3:])}"
    members = [member for member in world.members if member.life]
    return Report(
        scenario=scenario,
        found=found,
        at=world.heap.now // MS,
        commits=len(world.oracles.records),
        epochs=max((m.present.epoch for m in members if m.honest), default=0),
        transactions=len(world.oracles.applied_at),
        messages=world.links.carried,
        deaths=sum(member.deaths for member in members),
        accusations=len(world.accusations),
        recovery=recovery // MS,
        backlog=max((member.most_unapplied for member in members), default=0),
        records=max((member.records.size for member in members), default=0),
        fingerprint=world.fingerprint(),
        cpu_ms=int((time.process_time() - began) * 1000),
    )


def _run(world: World) -> int:
    """Returns the longest recovery."""
    s, heap = world.scenario, world.heap
    world.begin()
    mends = "crashes" in s.faults or s.losers
    well = s.calm * MS + (AWAY[1] + 100) * MS * bool(mends and s.calm)
    heap.run(well)
    for member in world.honest:
        if not member.up:
            raise BrokenError(f"member {member.place} is not up")
    recovery = _recover(world, well)
    heap.run(s.length * MS - QUIET)
    world.clients.stopped = True
    given = heap.now
    heap.run(s.length * MS)
    while (lacks := _lacking(world)) and heap.now < given + APPLIED:
        heap.run(heap.now + 10 * MS)
    if lacks:
        raise BrokenError(f"{APPLIED // MS} ms after the last transaction was given: {lacks}")
    for member in world.honest:
        _check_money(world, member)
        _check_bounds(member)
    return recovery


def _recover(world: World, well: int) -> int:
    head = max(member.store.tip.index for member in world.honest)
    waiting = list(world.honest)
    while waiting:
        if world.heap.now - well > RECOVERED:
            places = ", ".join(f"{m.place} at {m.ordered} of {m.store.tip.index}" for m in waiting)
            raise BrokenError(
                f"no progress in {RECOVERED // MS} ms after all was well: the last commit was {head}; members {places}"
            )
        world.heap.run(world.heap.now + 10 * MS)
        waiting = [member for member in waiting if member.ordered <= head]
    return world.heap.now - well


def _lacking(world: World) -> str:
    """What was given and is not applied everywhere, or empty."""
    missing = world.clients.missing()
    if missing:
        first = min(world.clients.given[identity] for identity in missing)
        return (
            f"{len(missing)} of {len(world.clients.given)} transactions are not applied; "
            f"the first was given at {first // MS} ms"
        )
    last = max((world.oracles.applied_at[identity] for identity in world.clients.given), default=0)
    behind = [member for member in world.honest if member.store.tip.index < last]
    return ", ".join(f"member {m.place} is at commit {m.store.tip.index}, and {last} is needed" for m in behind)


def _check_money(world: World, member: Member) -> None:
    spent = member.store.read(
        lambda state: sum(
            account.sequence + account.used.bit_count() for _address, account in state.scan(chain.ACCOUNTS)
        )
    )
    if spent != len(world.oracles.applied_at) and member.store.tip.index == len(world.oracles.records):
        raise BrokenError(
            f"member {member.place} has {spent} sequence numbers used, "
            f"and {len(world.oracles.applied_at)} transactions were applied"
        )


def _check_bounds(member: Member) -> None:
    """Whatever floods came, and whatever was slow."""
    state = len(member.present.engine.snapshot())
    for what, size, most in (
        ("commits that waited", member.most_unapplied, MOST_UNAPPLIED),
        ("bytes of records", member.records.size, MOST_RECORDS),
        ("bytes of state", state, MOST_STATE),
    ):
        if size > most:
            raise BrokenError(f"member {member.place} has {size} {what}, and {most} is the most")
