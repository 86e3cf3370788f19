"""One simulated economy from its first epoch to its last, and what it came to."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import hypot, inf, sqrt
from statistics import mean, stdev
from typing import Any, Final

from attrs import define, field, frozen

from soma_core import chain
from soma_core.genesis import SHANNONS

from .cast import Seat, Setting, found
from .ledger import Wallet, World, wallet
from .market import Market
from .race import Hunter, Race

TOGETHER: Final = 24
"""Jobs at a time before the first epoch."""
LUCK: Final = 3
"""Standard errors of a difference that luck may explain."""


@frozen
class Income:
    """SOMA an epoch: the mean over the epochs that count, and its standard error, taking epochs for independent."""

    mean: float
    error: float

    def exceeds(self, other: "Income") -> bool:
        """Whether it is more than `other` by more than luck may explain."""
        return self.mean - other.mean > LUCK * hypot(self.error, other.error)

    def told(self) -> dict[str, float]:
        """For JSON."""
        return {"soma_an_epoch": round(self.mean, 4), "standard_error": round(self.error, 4)}


@frozen(kw_only=True)
class Account:
    """What somebody has come to. `earned`: SOMA, by epoch; `seen`: what was counted of it."""

    name: str
    what: str
    earned: tuple[float, ...]
    seen: Mapping[str, int]

    @property
    def total(self) -> float:
        """SOMA, up to the last epoch."""
        return self.earned[-1]


@frozen(kw_only=True)
class Report:
    """`supply_drift` was looked at after every commit, by the chain itself. `cpu_ms` is not the same every time."""

    setting: Setting
    epochs: int
    accounts: tuple[Account, ...]
    hits: tuple[int, ...]
    settled: int
    refunded: int
    refused: Mapping[str, int]
    commits: int
    transactions: int
    cpu_ms: int

    def of(self, name: str) -> Account:
        """The account of this name."""
        return next(account for account in self.accounts if account.name == name)

    def income(self, names: Sequence[str]) -> Income:
        """Of these together, after the first fifth: gates of genesis weights start open, those of later ones do not."""
        totals = [0.0, *(sum(each) for each in zip(*(self.of(name).earned for name in names), strict=True))]
        gained = [later - before for before, later in pairwise(totals)][self.epochs // 5 :]
        return Income(mean(gained), stdev(gained) / sqrt(len(gained)) if len(gained) > 1 else inf)

    def told(self) -> dict[str, Any]:
        """Everything, for JSON; the same for the same seed and options."""
        return {
            "seed": self.setting.seed,
            "rule": self.setting.rule,
            "epochs": self.epochs,
            "jobs": {"settled": self.settled, "refunded": self.refunded},
            "commits": self.commits,
            "transactions": self.transactions,
            "refused": dict(self.refused),
            "hits": list(self.hits),
            "accounts": [
                {"name": one.name, "what": one.what, "earned_soma": round(one.total, 6), "seen": dict(one.seen)}
                for one in self.accounts
            ],
        }


@define
class Economy:
    """A running economy: `seats` are the encoders, `hunters` those who race."""

    setting: Setting
    seats: Sequence[Seat]
    hunters: Sequence[Hunter] = ()
    world: World = field(init=False)
    market: Market = field(init=False)
    race: Race = field(init=False)
    _buyer: Wallet = field(factory=lambda: wallet("buyer"))
    _start: dict[bytes, int] = field(factory=dict)
    _earned: dict[str, list[float]] = field(factory=dict)
    _hits: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.world = found(self.setting, self.seats, [self._buyer, *(hunter.wallet for hunter in self.hunters)])
        self.market = Market(self.world, self.seats, self._buyer, sketched=self.setting.sketched)
        self.race = Race(self.world, self.market, self.setting.source, self.hunters)
        for first in range(0, self.setting.before, TOGETHER):
            count = min(TOGETHER, self.setting.before - first)
            self.market.buy([self.setting.source.item(first + place) for place in range(count)])
        self._start = {one.wallet.address: self._wealth(one.wallet) for one in self._everybody}

    @property
    def _everybody(self) -> list[Seat | Hunter]:
        return [*self.seats, *self.hunters]

    def epoch(self) -> None:
        """An epoch: its jobs, its race, its end."""
        number = self.world.epoch
        asked = self.market.asked
        self.market.buy([self.setting.source.item(asked + place) for place in range(self.setting.jobs)])
        if any(hunter.tries or hunter.way != "honest" for hunter in self.hunters):
            for _ in range(self.setting.rounds):
                self.race.round(1 / self.setting.rounds)
        self.market.finish()
        self.world.commit(max(1, self.world.epoch_end - self.world.now))
        self._hits.append(self.race.hits[number])
        for one in self._everybody:
            gained = self._wealth(one.wallet) - self._start[one.wallet.address]
            self._earned.setdefault(one.name, []).append(gained / SHANNONS)

    def _wealth(self, owner: Wallet) -> int:
        """Shannons of an account, of its pool, and in its bonds: what is its own whenever it asks."""
        held = sum(hit.bond for _, hit in self.world.state.scan(chain.HITS) if hit.submitter == owner.address)
        return self.world.worth(owner) + held

    def report(self, cpu_ms: int = 0) -> Report:
        """What it has come to so far."""
        refused: Counter[str] = Counter()
        for (kind, code), count in self.world.refused.items():
            refused[f"{kind}: {code}"] += count
        return Report(
            setting=self.setting,
            epochs=len(self._hits),
            accounts=tuple(
                Account(name=one.name, what=_what(one), earned=tuple(self._earned[one.name]), seen=dict(one.seen))
                for one in self._everybody
            ),
            hits=tuple(self._hits),
            settled=self.market.settled,
            refunded=self.market.refunded,
            refused=dict(sorted(refused.items())),
            commits=self.world.commits,
            transactions=self.world.transactions,
            cpu_ms=cpu_ms,
        )


def _what(one: Seat | Hunter) -> str:
    return f"hunter, {one.way}" if isinstance(one, Hunter) else f"encoder, {one.role}"


def simulate(
    setting: Setting,
    seats: Sequence[Seat],
    hunters: Sequence[Hunter] = (),
    *,
    epochs: int,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Run an economy for `epochs`. `progress` is told of every epoch that is over."""
    began = time.process_time()
    economy = Economy(setting, seats, hunters)
    for number in range(epochs):
        economy.epoch()
        if progress is not None:
            progress(number + 1)
    return economy.report(round(1000 * (time.process_time() - began)))
