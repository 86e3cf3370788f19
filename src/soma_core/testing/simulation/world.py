"""A whole network on virtual time: members, links, clients, what befalls them, and what is watched."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from random import Random
from typing import Final, final

from soma_core import chain
from soma_core.api import Action, Commit, Event, Setup
from soma_core.beacon import Chain
from soma_core.crypto import digest
from soma_core.errors import SomaError
from soma_core.node.store import Store, unpack_commit

from .accidents import Accidents
from .clients import Clients
from .clock import Clock
from .engines import Engines, Views
from .founding import ROUNDS, NoJobs, OnceForAll, committee, found, place_key
from .heap import MS, Heap
from .liars import Lies
from .links import Links
from .member import Member
from .oracles import BrokenError, Oracles
from .scenario import Scenario
from .schedules import SCHEDULES, Conditions, Schedule
from .shelf import Shelf
from .shell import Shell
from .signer import sign
from .tempo import Tempo, instant
from .tracing import Watcher

FOLLOW: Final = 500 * MS
"""Now and then who was left behind in an earlier epoch is given what others have signed."""
STILL: Final = 5_000 * MS
"""A member whose engine orders nothing for so long asks as well, as the driver does."""
FETCHED: Final = 64
"""Commits at a time."""


@final
class World:
    """`trace`: told of every step. `schedule`: instead of the scenario's. `hurry`: nothing but messages takes time."""

    def __init__(
        self,
        scenario: Scenario,
        engines: Engines,
        trace: Watcher | None = None,
        schedule: Callable[[Conditions], Schedule] | None = None,
        *,
        hurry: bool = False,
    ) -> None:
        self.scenario = scenario
        self.engines = engines
        self.heap = Heap()
        self.genesis = found(scenario.powers, scenario.epoch, engines.rule)
        self.committee = committee(self.genesis)
        self.view = Views(engines)
        self.oracles = Oracles(self.view)
        self.accusations: set[tuple[int, int]] = set()
        self._trace = trace
        self._random = Random(f"world {scenario.seed}")
        self._rule = NoJobs()
        self._compute = chain.apply if scenario.apart else OnceForAll()
        self._good: dict[bytes, bool] = {}
        self._beacons: dict[tuple[int, int], Chain] = {}
        self._signed: dict[int, int] = {}
        self._newest = (0, 1)  # epoch and its first commit
        self._leaders: dict[int, int] = {}
        random, size = self._random, scenario.nodes
        conditions = Conditions(
            heap=self.heap, random=random, size=size, view=self.view, leader=self.leader, liars=tuple(scenario.liars)
        )
        self.links = Links(self.heap, random, size, (schedule or SCHEDULES[scenario.schedule])(conditions))
        self.lies = Lies(self.links, random, scenario.powers, self.view, self.leader)
        self.members: list[Member] = []
        for place in range(size):
            self._seat(place, instant() if hurry else Tempo(Random(f"tempo {scenario.seed} {place}")))
        self.honest = [member for member in self.members if member.honest]
        self.clients = Clients(self.heap, random, self.honest, self.genesis.chain, scenario.gap * MS)
        self.accidents = Accidents(
            scenario,
            self.heap,
            Random(f"accidents {scenario.seed}"),
            [m for m in self.members if not m.voice],
            self.links,
        )

    def _seat(self, place: int, tempo: Tempo) -> None:
        lie = self.scenario.liars.get(place)
        for voice in (0, 1) if lie == "twins" else (0,):
            member = Member(self, place, place_key(place), tempo, Clock(), voice)
            member.honest = lie is None
            if lie == "hasty" and self.engines.hasty is not None:
                member.open = self.engines.hasty
            if lie is not None:
                member.filter = self.lies.filter(lie, member)
            self.members.append(member)
            self.links.members[place].append(member)

    def begin(self) -> None:
        """Everybody starts."""
        self.accidents.begin()
        for member in self.members:
            self.heap.post(0 if member.voice else self.accidents.first(), member.boot)
            if self.scenario.liars.get(member.place) == "flood":
                self.heap.post(MS, self.lies.flood, member)
        self.heap.post(1, self.links.connect_all)
        self.heap.post(FOLLOW, self._follow)
        self.clients.begin()

    def leader(self, round_: int) -> int:
        """Who leads a round, as far as an adversary knows: the engine's base schedule in the newest epoch."""
        known = self._leaders.get(round_)
        if known is None:
            known = self._leaders[round_] = self.engines.leader(self.setup(0, *self._newest), round_)
        return known

    # `Around`. --------------------------------------------------------------------------------------------------------

    def watch(self, shell: Shell, event: Event, now: int, actions: Sequence[Action]) -> None:
        """Trace and check a step."""
        if self._trace is not None:
            self._trace.step(self.heap.now, shell, event, now, actions)
        if shell.member.honest:
            self.oracles.stepped(shell, event, actions)

    def carry(self, sender: Member, place: int, epoch: int, message: bytes) -> None:
        """By the links."""
        if self.scenario.liars:
            self.lies.heard(epoch, message)
        self.links.carry(sender.place, place, epoch, message)

    def holds(self, signatures: tuple[tuple[bytes, bytes, bytes], ...], payload: tuple[bytes, ...]) -> bool:
        """Signatures are hashes; payload is checked once for all members."""
        return all(sign(key, named) == signature for key, named, signature in signatures) and all(
            map(self._is_good, payload)
        )

    def _is_good(self, item: bytes) -> bool:
        known = self._good.get(item)
        if known is None:
            try:
                known = chain.parse_wire(item).signature_holds()
            except SomaError:
                known = False
            self._good[item] = known
        return known

    def setup(self, place: int, epoch: int, first: int) -> Setup:
        """The committee is the same in every epoch."""
        return Setup(self.genesis.chain, epoch, self.committee, place, first)

    def open_store(self, ledger: Shelf) -> Store:
        """The chain."""
        return Store(self.genesis, self._rule, ledger, self._compute)

    def delivered(self, shell: Shell, commit: Commit) -> None:
        """Of honest members."""
        if shell.member.honest:
            self.oracles.delivered(shell, commit)

    def applied(self, member: Member, commit: Commit, applied: chain.Applied) -> None:
        """Of honest members."""
        if not member.honest:
            return
        self.oracles.applied(member, commit, applied)
        for event in applied.events:
            if isinstance(event, chain.TransactionDone):
                self.clients.decided(event.id)
            elif isinstance(event, chain.EpochBegan) and event.number > self._newest[0]:
                self._newest, self._leaders = (event.number, commit.index + 1), {}
        if self._trace is not None:
            self._trace.applied(self.heap.now, member, applied)

    def accused(self, member: int, whom: int) -> None:
        """Only those are accused who may have lied."""
        self.accusations.add((member, whom))
        if whom not in self.scenario.liars and self.scenario.losers.get(whom) != "record-lost":
            raise BrokenError(f"member {member} accuses member {whom}, which signed one body a slot")

    def beacon(self, place: int, epoch: int) -> Chain:
        """Made when it is needed."""
        name = (place, epoch)
        if name not in self._beacons:
            seed = digest("soma/beaconseed", place.to_bytes(8, "big"), epoch.to_bytes(8, "big"))
            self._beacons[name] = Chain(seed, ROUNDS)
        return self._beacons[name]

    def proved(self) -> int:
        """The last commit that a quorum has signed."""
        return self._signed_by(chain.quorum(self.scenario.powers))

    def vouched(self) -> int:
        """The last commit that enough have signed for one of them to be honest: members take it."""
        return self._signed_by(chain.validity(self.scenario.powers))

    def _signed_by(self, least: int) -> int:
        """The last commit that honest members with so much power have applied: as good as their signatures.

        No liar signs a record for anybody.
        """
        tips = sorted(((m.store.tip.index if m.up else 0, m.place) for m in self.honest), reverse=True)
        power = 0
        for index, place in tips:
            power += self.scenario.powers[place]
            if power >= least:
                self._signed[least] = max(self._signed.get(least, 0), index)
                break
        return self._signed.get(least, 0)

    def changed(self, place: int) -> None:
        """Links see to it."""
        if self.heap.now:
            self.links.changed(place)

    def pulled(self, items: tuple[bytes, ...]) -> None:
        """Whoever pulls, liars as well."""
        self.oracles.pulled(items)

    # What `net` does for those who were left behind. ------------------------------------------------------------------

    def _follow(self) -> None:
        for member in self.honest:
            peer = self._ahead(member)
            if peer is not None:
                delay = self.links.schedule.delay(peer.place, member.place, b"")
                self.heap.post(2 * delay, self._fetch, member, peer)
        self.heap.post(FOLLOW, self._follow)

    def _ahead(self, member: Member) -> Member | None:
        """Who can help a member that is left behind: in an earlier epoch, or with a chain that stands still."""
        if not member.up:
            return None
        helpers = [peer for peer in self.honest if peer.up and peer.place in member.told]
        if self.heap.now - member.ordered_at < STILL:
            helpers = [peer for peer in helpers if peer.present.epoch > member.present.epoch]
        return max(helpers, key=lambda peer: peer.store.tip.index, default=None)

    def _fetch(self, member: Member, peer: Member) -> None:
        """Commits that somebody honest has signed, as members get them."""
        for _ in range(FETCHED):
            if not (member.up and peer.up and peer.place in member.told):
                return
            index = member.store.tip.index + 1
            data = peer.store.commit_bytes(index)
            if data is None or index > self.vouched():
                return
            member.take(unpack_commit(data), peer.store.record(index))

    def fingerprint(self) -> str:
        """Of the order and all that it came to."""
        state = blake2b(digest_size=16)
        for index, record in self.oracles.records.items():
            state.update(index.to_bytes(8, "big") + record)
        return state.hexdigest()
