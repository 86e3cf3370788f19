"""What befalls members and the network until the scenario's calm: drawn at the beginning, all of it."""

from itertools import combinations
from random import Random
from typing import TYPE_CHECKING, Final, final

from .heap import MS
from .member import Death, Phase
from .scenario import Scenario
from .shelf import Loss

if TYPE_CHECKING:
    from .heap import Heap
    from .links import Links
    from .member import Member

HARMLESS: Final[tuple[Loss, ...]] = ("kept", "unsynced", "torn")
PHASES: Final[tuple[Phase, ...]] = ("before", "written", "synced")
AWAY: Final = (20, 3_000)
"""ms until who died is back."""


@final
class Accidents:
    """`members`: by place."""

    def __init__(
        self, scenario: Scenario, heap: "Heap", random: Random, members: "list[Member]", links: "Links"
    ) -> None:
        self._scenario, self._heap, self._random = scenario, heap, random
        self._members, self._links = members, links
        self._honest = [member for member in members if member.honest]

    def begin(self) -> None:
        """Post everything."""
        s = self._scenario
        if not s.calm:
            return
        befall = {
            "crashes": self._crashes,
            "clocks": self._clocks,
            "slow-disk": self._slow_disks,
            "slow-chain": self._slow_chains,
        }
        for fault in s.faults:
            if fault in befall and self._honest:
                befall[fault]()
        for place, loss in s.losers.items():
            self._crash(self._members[place], self._loss(loss))
        self._network()
        self._heap.post(s.calm * MS, self._calm)

    def first(self) -> int:
        """When a member comes up for the first time, in microseconds."""
        if "late-start" not in self._scenario.faults or not self._random.randrange(2):
            return 0
        return self._random.randrange(max(1, self._scenario.calm)) * MS

    def _crashes(self) -> None:
        for _ in range(self._random.randint(1, 2 + 2 * self._scenario.nodes)):
            member, loss = self._random.choice(self._honest), self._random.choice(HARMLESS)
            self._crash(member, Death(loss=loss, away=self._away()))

    def _clocks(self) -> None:
        for member in self._honest:
            self._clock(member)

    def _slow_disks(self) -> None:
        for member in self._some():
            member.tempo.syncs = (5 * MS, self._random.randint(10, 150) * MS)

    def _slow_chains(self) -> None:
        for member in self._some():
            member.tempo.applies = (20 * MS, self._random.randint(30, 400) * MS)

    def _network(self) -> None:
        s = self._scenario
        if s.nodes > 1 and ("partitions" in s.faults or s.schedule == "partition"):
            for _ in range(self._random.randint(1, 4)):
                self._partition()
        if s.nodes > 1 and s.schedule == "star":
            hub = self._random.randrange(s.nodes)
            self._links.cut(combinations([place for place in range(s.nodes) if place != hub], 2))
        if s.schedule == "unreliable":
            self._links.unordered = True
            self._links.losses, self._links.copies = self._random.randint(0, 200), self._random.randint(0, 100)

    def _some(self) -> "list[Member]":
        return self._random.sample(self._honest, self._random.randint(1, len(self._honest)))

    def _moment(self) -> int:
        return self._random.randrange(self._scenario.calm) * MS

    def _away(self) -> int:
        return self._random.randint(*AWAY) * MS

    def _loss(self, loss: str) -> Death:
        kept: Loss = "truncated" if loss == "truncated" else "lost"
        return Death(loss=kept, away=self._away(), chain=loss == "chain-lost", record=loss == "record-lost")

    def _crash(self, member: "Member", death: Death) -> None:
        """At a moment, or at one of the writes after it."""
        if self._random.randrange(3):
            phase = self._random.choice(PHASES)
            self._heap.post(self._moment(), member.doom, self._random.randint(1, 40), phase, death)
        else:
            self._heap.post(self._moment(), member.die, death)

    def _clock(self, member: "Member") -> None:
        member.clock.offset = self._random.randint(-500, 500) * MS
        member.clock.drift = self._random.randint(-2_000, 2_000)
        for _ in range(self._random.randrange(3)):
            self._heap.post(self._moment(), self._step, member, self._random.randint(-1_500, 1_500) * MS)

    def _step(self, member: "Member", by: int) -> None:
        member.clock.offset += by
        if member.up:
            for shell in (member.present, member.past):
                if shell is not None:
                    shell.wind()

    def _partition(self) -> None:
        """Two sides that do not hear each other, for a while; or only later."""
        size = self._scenario.nodes
        side = set(self._random.sample(range(size), self._random.randint(1, size - 1)))
        pairs = [(a, b) for a, b in combinations(range(size), 2) if (a in side) != (b in side)]
        start = self._moment()
        length = self._random.randint(100, 4_000) * MS
        if self._random.randrange(2):
            self._heap.post(start, self._links.stall, pairs, min(start + length, self._scenario.calm * MS))
        else:
            self._heap.post(start, self._links.cut, pairs)
            if self._scenario.schedule != "star":
                self._heap.post(start + length, self._links.heal)

    def _calm(self) -> None:
        """Nothing goes wrong any more but what Byzantine members do, and delays."""
        self._links.heal()
        self._links.losses = self._links.copies = 0
        for member in self._members:
            member.spare()
            member.tempo.soothe()
            member.clock.drift = 0
