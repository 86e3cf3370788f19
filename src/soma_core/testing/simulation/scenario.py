"""What a seed stands for: committee, network, load, and what goes wrong. All of it is drawn here or from here."""

from random import Random
from typing import Any, Final

from attrs import asdict, field, frozen

from .schedules import SCHEDULES

SIZES: Final = (1, 4, 5, 7, 10)
FAULTS: Final = ("crashes", "partitions", "clocks", "slow-disk", "slow-chain", "late-start", "epochs")
"""What befalls honest members. Each is drawn on its own, so that any of them may come together."""
LIES: Final = ("twins", "withhold", "silent-leader", "mute", "flood", "liar", "hasty")
"""What Byzantine members do, one of them each."""
LOSSES: Final = ("truncated", "lost", "chain-lost", "record-lost")
"""What a member's disk may lose of what was synced: as many members as may lie in all."""
CALM: Final = 14_000
"""Virtual ms at the end in which nothing new goes wrong."""


@frozen(kw_only=True)
class Scenario:
    """Times in ms. `calm`: when the last accident is over. `gap`: between transfers, on average.

    `liars`: place → what it does. `losers`: place → what its disk loses. `apart`: every member computes what commits
    come to by itself, else the first does for all. `params`: of the rule, where they are not its defaults.
    """

    seed: int
    nodes: int
    powers: tuple[int, ...]
    schedule: str
    faults: tuple[str, ...] = ()
    liars: dict[int, str] = field(factory=dict)
    losers: dict[int, str] = field(factory=dict)
    calm: int = 0
    length: int = 20_000
    gap: int = 100
    epoch: int = 10**9
    apart: bool = False
    params: dict[str, int] = field(factory=dict)

    @property
    def bearable(self) -> int:
        """The power that may lie."""
        return (sum(self.powers) - 1) // 3

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def recall(told: dict[str, Any]) -> Scenario:
    """The scenario that was `told`, after its way through JSON."""
    places = {name: {int(place): what for place, what in told[name].items()} for name in ("liars", "losers")}
    return Scenario(**{**told, **places, "powers": tuple(told["powers"]), "faults": tuple(told["faults"])})


def draw(seed: int, *, nodes: int | None = None, seconds: int | None = None, alone: bool = False) -> Scenario:
    """The scenario of `seed`. `alone`: for an engine whose committees have one member."""
    random = Random(f"scenario {seed}")
    size = 1 if alone else nodes or random.choice(SIZES)
    powers = (1,) * size if random.randrange(3) else tuple(random.randint(1, 9) for _ in range(size))
    length = 1_000 * (seconds or random.randint(CALM // 1_000 + 4, CALM // 1_000 + 14))
    faults = tuple(fault for fault in FAULTS if not random.randrange(3))
    bearable = (sum(powers) - 1) // 3
    liars: dict[int, str] = {}
    losers: dict[int, str] = {}
    places = list(range(size))
    random.shuffle(places)
    for place in places:
        if powers[place] > bearable or not random.randrange(3):
            continue
        bearable -= powers[place]
        if random.randrange(3):
            liars[place] = random.choice(LIES)
        else:
            losers[place] = random.choice(LOSSES)
    schedule = random.choice(sorted(SCHEDULES))
    return Scenario(
        seed=seed,
        nodes=size,
        powers=powers,
        schedule=schedule,
        faults=faults,
        liars=liars,
        losers=losers,
        calm=max(0, length - CALM),
        length=length,
        gap=random.choice((20, 100, 400)),
        epoch=random.randint(2_000, 6_000) if "epochs" in faults else 10**9,
        apart=not random.randrange(8),
        params={"gc_depth": random.choice((8, 20, 60)), "schedule_commits": random.choice((0, 10, 40, 300))},
    )
