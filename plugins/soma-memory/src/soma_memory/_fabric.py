"""What lies between memory transports: who reaches whom, and how long a message takes."""

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING

from attrs import define, field

from soma_core.api import PeerId

if TYPE_CHECKING:
    from ._lane import Lane
    from ._transport import MemoryTransport


@define(eq=False)
class Fabric:
    """A network in memory. Everything it does to messages follows from `seed` and from what is sent, never from chance.

    `delay_ms`: shortest and longest travel. `loss`: share of messages that vanish. `reorder`: share that may be
    overtaken by later ones. `queue`: messages a channel holds unread. Times are trio's, so a `MockClock` governs them.
    """

    seed: int = 0
    delay_ms: tuple[int, int] = (0, 0)
    loss: float = 0.0
    reorder: float = 0.0
    queue: int = 64
    transports: dict[str, "MemoryTransport"] = field(factory=dict, init=False)
    lanes: "set[Lane]" = field(factory=set, init=False)
    _groups: tuple[frozenset[PeerId], ...] = field(default=(), init=False)
    _opened: int = field(default=0, init=False)
    _links: dict[tuple[PeerId, PeerId], int] = field(factory=dict, init=False)

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Let peers reach only their own group; who is in none reaches nobody. Messages under way wait for `heal`.

        As on a real network nobody is told: a connection across the cut stays open and silent, even when its other end
        has closed, and a new one cannot be dialled.
        """
        self._groups = tuple(frozenset(group) for group in groups)
        self._poke()

    def heal(self) -> None:
        """Everybody reaches everybody again, and what waited arrives."""
        self._groups = ()
        self._poke()

    def reachable(self, one: PeerId, other: PeerId) -> bool:
        """Whether messages pass between these two."""
        return not self._groups or any(one in group and other in group for group in self._groups)

    def new_address(self) -> str:
        """Where the next transport listens."""
        self._opened += 1
        return f"/memory/{self._opened}"

    def new_link(self, source: PeerId, target: PeerId) -> str:
        """A name for the next connection between the two: the same in every run, whatever other peers do."""
        number = self._links[source, target] = self._links.get((source, target), 0) + 1
        return f"{source.hex()}/{target.hex()}/{number}"

    def random(self, name: str) -> Random:
        """Randomness for what is called `name`. Each lane has its own: tasks may run in any order."""
        return Random(f"{self.seed}/{name}")  # noqa: S311  # simulates a network, guards nothing

    def travel(self, random: Random) -> float:
        """Seconds that a message takes."""
        shortest, longest = self.delay_ms
        return random.uniform(shortest, longest) / 1000

    def _poke(self) -> None:
        for lane in self.lanes:
            lane.poke()
