"""How long messages take: microseconds from sending to arriving, drawn from the run's seed.

The last three know what a message is about, as an adversary would. `late` keeps the leader's block from one honest
member for about two rounds, so that it comes to each round when the others are done with it; `starved` lets votes of
honest members come after the blocks of those who do not vote. Random delays do neither.
"""

from collections.abc import Callable, Collection
from random import Random
from typing import Final, Protocol

from attrs import frozen

from .engines import View
from .heap import MS, Heap


class Schedule(Protocol):
    """Of a run."""

    def delay(self, place: int, other: int, message: bytes, /) -> int:
        """Microseconds that a message takes from `place` to `other`."""
        ...


@frozen(kw_only=True)
class Conditions:
    """What a schedule may look at. `leader`: of a round of the present epoch. `liars`: places that are Byzantine."""

    heap: Heap
    random: Random
    size: int
    view: Callable[[bytes], View | None]
    leader: Callable[[int], int]
    liars: Collection[int]

    @property
    def honest(self) -> list[int]:
        """Places that are not Byzantine."""
        return [place for place in range(self.size) if place not in self.liars]

    def span(self, least: int, most: int) -> int:
        """Between `least` and `most` ms, in microseconds."""
        return least * MS + int(self.random.random() * ((most - least) * MS))


@frozen
class Fixed:
    """Every message takes `one_way` microseconds."""

    one_way: int

    def delay(self, _place: int, _other: int, _message: bytes, /) -> int:
        return self.one_way


@frozen
class Uniform:
    """Between `least` and `most` ms."""

    conditions: Conditions
    least: int = 1
    most: int = 10

    def delay(self, _place: int, _other: int, _message: bytes, /) -> int:
        return self.conditions.span(self.least, self.most)


@frozen
class Bimodal:
    """Mostly 10 to 20 ms, now and then 30 to 40, one in a hundred 300 to 800."""

    conditions: Conditions

    def delay(self, _place: int, _other: int, _message: bytes, /) -> int:
        drawn = self.conditions.random.randrange(100)
        if drawn == 0:
            return self.conditions.span(300, 800)
        return self.conditions.span(30, 40) if drawn < 15 else self.conditions.span(10, 20)


class Asymmetric:
    """Every direction of every link has a delay of its own, 1 to 120 ms, give or take a fifth."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        size = conditions.size
        self._base = [[conditions.span(1, 120) for _ in range(size)] for _ in range(size)]

    def delay(self, place: int, other: int, _message: bytes, /) -> int:
        base = self._base[place][other]
        return base * 4 // 5 + int(self._conditions.random.random() * (base * 2 // 5))


@frozen
class SlowLeader:
    """The block of a round's leader takes 100 to 400 ms longer than others."""

    conditions: Conditions

    def delay(self, _place: int, _other: int, message: bytes, /) -> int:
        c = self.conditions
        view = c.view(message)
        led = view is not None and view.kind == "block" and c.leader(view.round) == view.author
        return c.span(100, 400) if led else c.span(1, 10)


class Late:
    """One honest member never gets to make blocks of two rounds in a row, unless it fills in what it jumped over.

    Of each round of which it has a block, those of the others come to it when they are a round further. Liars get
    leaders' blocks late, so that they do not vote for them. It takes a committee of seven.
    """

    FAST: Final = 5 * MS
    SLOW: Final = 150 * MS

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self.victim = conditions.honest[-1]
        self._made = 0

    def delay(self, place: int, other: int, message: bytes, /) -> int:
        c = self._conditions
        view = c.view(message)
        if view is None or view.kind != "block" or view.author != place:
            return self.FAST
        if place == self.victim:
            self._made = max(self._made, view.round)
        if other in c.liars:
            return self.SLOW if c.leader(view.round) == place else self.FAST
        late = other == self.victim and place not in c.liars and self._made != view.round - 1
        return self.SLOW if late else self.FAST


@frozen
class Starved:
    """Votes of honest members come after the blocks of liars, who do not vote: so few see a quorum of votes.

    Liars get the leader's block late, and are heard early. What honest members say who do not lead comes late. It takes
    a committee of four.
    """

    conditions: Conditions
    fast: int = 2 * MS
    slow: int = 100 * MS

    def delay(self, place: int, other: int, message: bytes, /) -> int:
        c = self.conditions
        view = c.view(message)
        if view is None or view.kind != "block" or view.author != place or place in c.liars:
            return self.fast
        return self.fast if (c.leader(view.round) == place) is (other not in c.liars) else self.slow


SCHEDULES: Final[dict[str, Callable[[Conditions], Schedule]]] = {
    "quick": Uniform,
    "uniform": lambda conditions: Uniform(conditions, 5, 60),
    "bimodal": Bimodal,
    "asymmetric": Asymmetric,
    "partition": Uniform,
    "star": Uniform,
    "slow-leader": SlowLeader,
    "unreliable": lambda conditions: Uniform(conditions, 1, 60),
    "late": Late,
    "starved": Starved,
}
"""By name. Those that also cut links are told apart in `accidents`."""
