"""How many message delays a block takes from its making until a member commits it, where nothing else takes time."""

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, final

from attrs import frozen

from soma_core.api import Action, Deliver, Event, Payload

from .engines import Engines
from .heap import MS, SECOND
from .scenario import Scenario
from .schedules import Fixed
from .world import World

if TYPE_CHECKING:
    from soma_core import chain

    from .member import Member
    from .shell import Shell

SETTLED: Final = 2 * SECOND
"""Blocks made before this, or in the last part of the run of this length, are not counted."""


@frozen
class Delays:
    """In units of the one-way delay, over all blocks and all members that committed them.

    `leaders`: mean of blocks that lead a commit, `leaders_most` the longest; `blocks`: mean of all `counted` ones.
    """

    leaders: Fraction
    blocks: Fraction
    leaders_most: Fraction
    counted: int


@final
class Stopwatch:
    """`took`: (leader's, microseconds). Blocks are told apart by their system bytes, which hold a round's link."""

    def __init__(self) -> None:
        self.took: list[tuple[int, bool, int]] = []
        self._made: dict[bytes, int] = {}

    def step(self, at: int, shell: "Shell", event: Event, now: int, actions: Sequence[Action]) -> None:
        """A block is made when its payload is there, and committed when it is delivered."""
        del shell, now
        if isinstance(event, Payload):
            self._made[event.system] = at
        for action in actions:
            if isinstance(action, Deliver):
                made = self._made[action.commit.leader_system]
                self.took.append((made, True, at - made))
                for _author, item in action.commit.items:
                    if item in self._made:
                        self.took.append((self._made[item], False, at - self._made[item]))

    def applied(self, at: int, member: "Member", applied: "chain.Applied") -> None:
        """Of no matter here."""


def measure(engines: Engines, nodes: int, one_way: int = 100, seconds: int = 30) -> Delays:
    """A network of `nodes` without faults, under load, in which a message takes `one_way` ms and all else nothing."""
    watch = Stopwatch()
    scenario = Scenario(
        seed=0, nodes=nodes, powers=(1,) * nodes, schedule="quick", length=1000 * seconds, gap=10 + one_way // nodes
    )
    world = World(scenario, engines, watch, lambda _conditions: Fixed(one_way * MS), hurry=True)
    world.begin()
    world.heap.run(seconds * SECOND)
    counted = [one for one in watch.took if SETTLED < one[0] < seconds * SECOND - SETTLED]
    leaders = [took for _made, led, took in counted if led]
    unit = one_way * MS
    return Delays(
        leaders=Fraction(sum(leaders), unit * len(leaders)),
        blocks=Fraction(sum(took for _made, _led, took in counted), unit * len(counted)),
        leaders_most=Fraction(max(leaders), unit),
        counted=len(counted),
    )
