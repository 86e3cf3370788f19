"""The simulator itself: an engine that does nothing wrong is found to do nothing wrong, and each fault is found."""

from collections.abc import Callable
from typing import Any

import pytest
import toy_engines as toys
from attrs import evolve

from soma_core.testing.simulation import Report, Scenario, Trace, draw, plugin_engines, simulate

PLAIN = Scenario(seed=1, nodes=4, powers=(1, 1, 1, 1), schedule="quick", length=16_000, gap=50)


def run(open_: Callable[..., Any] = toys.Dictator, **changes: Any) -> Report:
    return simulate(evolve(PLAIN, **changes), toys.engines(open_))


def test_nothing_goes_wrong_where_nothing_is_wrong() -> None:
    report = run()
    assert report.found == ""
    assert report.held
    assert report.commits > 100
    assert report.transactions > 100
    assert report.at == 16_000


@pytest.mark.parametrize(
    "schedule", ["uniform", "bimodal", "asymmetric", "partition", "star", "slow-leader", "unreliable"]
)
def test_the_toy_bears_networks(schedule: str) -> None:
    report = run(schedule=schedule, calm=4_000, length=19_000)
    assert report.found == ""
    assert report.commits > 50


@pytest.mark.parametrize("seed", range(3))
def test_the_toy_bears_what_befalls_the_honest(seed: int) -> None:
    faults = ("crashes", "partitions", "clocks", "slow-disk", "slow-chain", "late-start", "epochs")
    report = run(seed=seed, faults=faults, calm=6_000, length=22_000, epoch=2_500, gap=100)
    assert report.found == ""
    assert report.deaths >= 1
    assert report.epochs >= 3
    assert report.transactions > 50


@pytest.mark.parametrize("lie", ["mute", "flood", "withhold", "silent-leader", "liar"])
def test_the_toy_bears_liars_who_do_not_lead(lie: str) -> None:
    report = run(liars={3: lie})
    assert report.found == ""
    assert report.transactions > 100


@pytest.mark.parametrize(
    ("open_", "what"),
    [
        (toys.Hasty, "sends its block of round 1 before it is on disk"),
        (toys.Forgetful, "does not keep it"),
        (toys.Fickle, "asks for two signatures of the slot 0000000000000001"),
        (toys.Forking, "fork: member 1, epoch 0"),
        (toys.Skipping, "delivers commit 5 after 5"),
        (toys.Doubling, "an item is ordered more often than it was given"),
        (toys.Dropping, "transactions are not applied"),
        (toys.Stuck, "no progress"),
        (toys.Uncounted, "barrier 9 follows 7"),
        (toys.Backwards, "the round does not grow"),
        (toys.Eager, "delivers behind barrier"),
        (toys.Hoarding, "bytes of state, and 16777216 is the most"),
        (toys.Raising, "ZeroDivisionError: of no use"),
    ],
)
def test_each_fault_is_found(open_: Callable[..., Any], what: str) -> None:
    report = run(open_, calm=4_000, length=19_000)
    assert what in report.found
    assert not report.held


def test_a_dictator_with_two_voices_is_found() -> None:
    """What no engine of this kind bears: members hear different orders from the one who dictates."""
    found = [run(liars={0: "twins"}, seed=seed).found for seed in range(4)]
    assert any("fork" in one for one in found)


def test_a_dictator_whose_disk_forgets_is_found() -> None:
    found = [run(losers={0: "record-lost"}, seed=seed, calm=4_000, length=19_000).found for seed in range(4)]
    assert any("fork" in one for one in found)


def test_every_member_computes_what_one_computes_for_all() -> None:
    once, apart = run(epoch=2_000), run(epoch=2_000, apart=True)
    assert once.fingerprint == apart.fingerprint
    assert once.epochs > 3


def test_same_seed_same_trace() -> None:
    def traced() -> list[str]:
        lines: list[str] = []
        scenario = evolve(draw(5, nodes=4), liars={3: "liar"}, losers={})
        simulate(scenario, toys.engines(), Trace(lines.append))
        return lines

    first = traced()
    assert first == traced()
    assert len(first) > 1_000


def test_seeds_draw_all_there_is() -> None:
    drawn = [draw(seed) for seed in range(400)]
    assert {s.nodes for s in drawn} == {1, 4, 5, 7, 10}
    assert len({s.schedule for s in drawn}) == 10
    assert len({fault for s in drawn for fault in s.faults}) == 7
    assert len({lie for s in drawn for lie in s.liars.values()}) == 7
    assert len({loss for s in drawn for loss in s.losers.values()}) == 4
    for s in drawn:
        assert sum(s.powers[place] for place in {*s.liars, *s.losers}) <= s.bearable
    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


@pytest.mark.parametrize("seed", range(6))
def test_a_committee_of_one(seed: int) -> None:
    report = simulate(draw(seed, alone=True, seconds=16), plugin_engines("consensus-solo"))
    assert report.found == ""
    assert report.commits > 20
