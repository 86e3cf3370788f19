"""What a scoring rule has to show, measured: steadiness of the race, spread of its work, no honest slash, routing."""

from collections import Counter
from collections.abc import Sequence
from math import exp, log
from typing import Any, Final

import numpy as np
from attrs import evolve, frozen

from soma_core import fixed
from soma_core.genesis import SHANNONS

from .cast import BEFORE, DIMENSION, Seat, Setting, rule_of
from .data import KINDS
from .models import Trained, generalist, specialist
from .players import STAKE, honest
from .race import Hunter
from .run import Economy, Income, simulate

GOAL: Final = 24
"""Hits of an epoch that are wanted where the race's steadiness is measured."""
AFTER: Final = 3
"""Epochs that may be needed to find the right difficulty."""


@frozen(kw_only=True)
class Steadiness:
    """`hits` of each epoch, where demand rises fourfold before the one numbered `step`."""

    hits: tuple[int, ...]
    step: int
    goal: int = GOAL

    @property
    def within(self) -> float:
        """Share of the epochs after the third in which the hits were within twice and half of the goal."""
        later = self.hits[AFTER:]
        return sum(self.goal <= 2 * hits and hits <= 2 * self.goal for hits in later) / len(later)


def steadiness(setting: Setting, epochs: int = 80, tries: int = 1_200) -> Steadiness:
    """Hits by epoch of hunters whose number of tries is multiplied by four after half of the `epochs`.

    The race has room for eight times its goal. Epoch 0 has no targets yet, and is left out. So many tries hit about as
    often as is wanted at the first difficulty: of each item the vector of one assigned encoder counts.
    """
    room = {"targets": 16, "target_goal": GOAL, "audit_quorum": 1}
    setting = evolve(setting, jobs=2, rounds=12, before=BEFORE, parameters={**setting.parameters, **room})
    seats = [generalist_seat(place) for place in range(4)]
    hunter = Hunter("hunter", tries=tries)
    economy = Economy(setting, seats, [hunter])
    for number in range(epochs + 1):
        if number == epochs // 2 + 1:
            hunter.tries *= 4
        economy.epoch()
    return Steadiness(hits=economy.report().hits[1:], step=epochs // 2)


def generalist_seat(place: int) -> Seat:
    """One of several alike."""
    return Seat(f"general{place}", generalist(900 + place, 0.1 * place))


def effective_encoders(setting: Setting, encoders: int = 100, points: int = 4_000, k: int = 3) -> float:
    """How many of so many encoders share the work of targets: the exponential of the entropy of their assignments.

    Stakes are lognormal with deviation 1; positions and points have nothing to do with one another.
    """
    _, rule = rule_of(setting)
    rng = np.random.default_rng([setting.seed, 40])
    stakes = [int(STAKE * each) for each in np.exp(rng.normal(size=encoders))]
    positions = [fixed.quantise(rng.normal(size=DIMENSION)) for _ in range(encoders)]
    drawn = [fixed.quantise(rng.normal(size=DIMENSION)) for _ in range(points)]
    counted = Counter(place for chosen in rule.assign(drawn, positions, stakes, k) for place in chosen)
    return perplexity(list(counted.values()))


def perplexity(counts: Sequence[int]) -> float:
    """How many equally frequent things are as uncertain as things of these counts."""
    total = sum(counts)
    return exp(-sum(count / total * log(count / total) for count in counts if count))


def honest_slashes(setting: Setting, jobs: int) -> dict[str, int]:
    """What became of honest encoders, on engines that differ, in so many jobs of which every winner is audited."""
    # Many jobs at a time: a commit costs the less for each of them. Pots are so large that every winner is audited.
    pot = 20
    parameters = {**setting.parameters, "pot": pot * SHANNONS}
    setting = evolve(setting, jobs=32, parameters=parameters, purse=max(setting.purse, 2 * pot * jobs))
    seats = honest()
    report = simulate(setting, seats, epochs=-(-jobs // setting.jobs))
    total: Counter[str] = Counter()
    for seat in seats:
        total.update({name: seat.seen[name] for name in ("draws", "false", "slashes", "out", "closed", "silent")})
    return {"jobs": report.settled + report.refunded, "settled": report.settled, **total}


def routing(setting: Setting, epochs: int = 60) -> dict[str, float]:
    """Mean loss of a shard's members among 32 specialists, with routing and without: bits per byte, second half.

    Elsewhere than in its own kind a specialist wastes as much as small trained ones were seen to: 4 bits per byte.
    """
    found: dict[str, float] = {}
    for name, sketched in (("routed", True), ("random", False)):
        seats = [
            Seat(f"{kind}{place}", _narrow(100 * number + place, kind, 0.05 * place))
            for number, kind in enumerate(KINDS)
            for place in range(8)
        ]
        economy = Economy(evolve(setting, jobs=8, sketched=sketched), seats)
        for _ in range(epochs):
            economy.epoch()
        losses = economy.market.losses
        found[name] = sum(losses[len(losses) // 2 :]) / (len(losses) - len(losses) // 2)
    return {**found, "better": 1 - found["routed"] / found["random"]}


def _narrow(seed: int, kind: str, skill: float) -> Trained:
    return Trained(seed, {each: skill if each == kind else skill + 4.0 for each in KINDS})


@frozen(kw_only=True)
class Party:
    """What a stake came to: SOMA an epoch, and in how many shards an encoder of it was."""

    income: Income
    draws: int


@frozen(kw_only=True)
class Splitting:
    """A `share` of all stake behind one encoder, and divided: with `equal` weights, and with `noisy` ones.

    Noisy weights differ a little, and nothing can tell them from independent ones unless they are compared.
    """

    share: float
    whole: Party
    equal: Party
    noisy: Party

    def told(self) -> dict[str, Any]:
        """What it found, for JSON."""
        parties = {"whole": self.whole, "equal": self.equal, "noisy": self.noisy}
        return {
            "share": self.share,
            **{name: {**one.income.told(), "draws": one.draws} for name, one in parties.items()},
        }


def splitting(setting: Setting, share: float, into: int = 5, epochs: int = 40) -> Splitting:
    """What an encoder with `share` of all stake earns, and what it earns divided `into` several."""
    from .models import Perturbed

    # Nothing but what it is good at, and pots alone: more to count, and no luck with which of its wins are audited.
    setting = evolve(setting, kinds=("text",), jobs=8, parameters={**setting.parameters, "emission": 0})
    others = honest()
    stake = int(share / (1 - share) * sum(seat.stake for seat in others))
    mine = specialist(1_000, "text", 0.05)
    parties = {
        "whole": [Seat("whole", mine, stake=stake)],
        "equal": [Seat(f"part{place}", mine, stake=stake // into) for place in range(into)],
        "noisy": [
            Seat(f"part{place}", Perturbed(5_000 + place, mine, 0.05), stake=stake // into) for place in range(into)
        ],
    }
    found = {}
    for name, party in parties.items():
        report = simulate(setting, [*honest(), *party], epochs=epochs)
        income = report.income([seat.name for seat in party])
        found[name] = Party(income=income, draws=sum(seat.seen["draws"] for seat in party))
    return Splitting(share=share, **found)
