"""Two adversaries who only choose delays, all of them below the leader timeout, and the two rules that are for them.

Liars here run the real engine without patience: what they say does not vote for a leader whose block they have not
seen, and the schedule shows it to them too late. Honest members in turn lead, as in the published schedules: that is
the worst for an adversary's victims, because no liar's round interrupts what he does.
"""

import pytest
from attrs import evolve

from soma_consensus_dag._proposer import Proposer
from soma_consensus_dag._schedule import Schedule
from soma_core.testing.simulation import Scenario, plugin_engines
from soma_core.testing.simulation.heap import SECOND
from soma_core.testing.simulation.world import World

SECONDS = 8


def commits(schedule: str, nodes: int, led: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each honest member has ordered in the end. `led`: so many honest members lead, in turn."""
    monkeypatch.setattr(Schedule, "leaders", lambda _self, round_: (round_ % led,))
    liars = dict.fromkeys(range(nodes - (nodes - 1) // 3, nodes), "hasty")
    scenario = Scenario(
        seed=1, nodes=nodes, powers=(1,) * nodes, schedule=schedule, liars=liars, length=1000 * SECONDS, gap=20
    )
    engines = plugin_engines("consensus-dag", params={"schedule_commits": 0})
    world = World(scenario, evolve(engines, leader=lambda _setup, round_: round_ % led))
    world.begin()
    world.heap.run(SECONDS * SECOND)
    return [member.ordered for member in world.honest]


def without_filling_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Proposer.plan

    def jumping(self: Proposer, now: int, *, busy: bool, ordered: int) -> object:
        self._jump = 0
        return plan(self, now, busy=busy, ordered=ordered)

    monkeypatch.setattr(Proposer, "plan", jumping)


def without_waiting_for_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    def has_leaders(self: Proposer, round_: int) -> bool:
        leaders = self._schedule.leaders(round_ - 1) if round_ > 1 else ()
        return all(self._dag.slot(round_ - 1, leader) for leader in leaders)

    monkeypatch.setattr(Proposer, "_has_leaders", has_leaders)


def test_who_is_always_late_stalls_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(commits("late", 7, 4, monkeypatch)) > 5 * SECONDS


def test_who_is_always_late_stalls_all_who_jump_over_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    without_filling_gaps(monkeypatch)
    assert max(commits("late", 7, 4, monkeypatch)) <= 1


def test_late_votes_stall_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert min(commits("starved", 4, 3, monkeypatch)) > 5 * SECONDS


def test_late_votes_stall_all_who_do_not_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting_for_votes(monkeypatch)
    assert max(commits("starved", 4, 3, monkeypatch)) <= 1
