"""What every consensus engine must do. Inherit `ConsensusSuite` and name the plugin."""

from typing import Any

import pytest
from attrs import frozen

from soma_core.api import (
    Commit,
    Deliver,
    Durable,
    Engine,
    Payload,
    PayloadReady,
    Received,
    Setup,
    Signed,
    Start,
    Timer,
    Verified,
)
from soma_core.errors import SomaError

from .committee import BEGIN, SYSTEM, Committee, Seat, order_of, pairs_of, setup_of
from .component import Component, component
from .suite import Suite

ENOUGH = 20_000
"""Virtual ms in which any engine has ordered a handful of items."""


@frozen
class Unheard:
    """An event of an API to come."""


class ConsensusSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings.

    `members`: of the committees that it is tried with; 0 is four where a feature says that there are several, else one.
    """

    members: int = 0
    capabilities = frozenset({"catch-up", "byzantine"})

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        chosen = component(self.plugin, self.config)
        self.members = self.members or (4 if chosen.spec.features else 1)
        return chosen

    @pytest.fixture
    def opener(self, chosen: Component) -> "Opener":
        """Opens engines of the component, with the rule's default parameters."""
        return Opener(chosen)

    @pytest.fixture
    def committee(self, opener: "Opener") -> Committee:
        """A committee that has just started."""
        return Committee(opener, self.members)

    def test_rule_is_named(self, chosen: Component) -> None:
        assert chosen.spec.rule_id
        assert type(chosen.spec.rule_version) is int
        assert chosen.spec.rule_version >= 1

    def test_everything_is_ordered_once_and_everywhere_alike(self, committee: Committee) -> None:
        payload = [b"item %d" % number for number in range(40)]
        for number, item in enumerate(payload):
            committee.submit(committee.seats[number % self.members], item)
            committee.run(7)
        committee.run(ENOUGH)
        orders = [order_of(seat.commits) for seat in committee.seats]
        assert sorted(orders[0]) == sorted(payload)
        assert all(order == orders[0] for order in orders)
        shortest = min(len(seat.commits) for seat in committee.seats)
        assert all(seat.commits[:shortest] == committee.seats[0].commits[:shortest] for seat in committee.seats)

    def test_items_name_their_author(self, committee: Committee) -> None:
        for seat in committee.seats:
            committee.submit(seat, b"from %d" % seat.place)
        committee.run(ENOUGH)
        pairs = set(pairs_of(committee.seats[0].commits))
        assert pairs == {(seat.place, b"from %d" % seat.place) for seat in committee.seats}

    def test_commits_are_consecutive_and_time_does_not_go_back(self, opener: "Opener") -> None:
        committee = Committee(opener, self.members, first=41)
        committee.submit(committee.seats[0], b"a", b"b")
        committee.run(ENOUGH)
        for seat in committee.seats:
            _check_sequence(seat.commits, 41, self.members)

    def test_commits_come_with_nothing_to_order(self, committee: Committee) -> None:
        committee.run(ENOUGH)
        assert all(len(seat.commits) >= 2 for seat in committee.seats)
        assert order_of(committee.seats[0].commits) == []

    def test_system_bytes_do_not_hurry_it(self, committee: Committee) -> None:
        """The committee here gives system bytes with every answer: that alone must not make an engine spin."""
        committee.run(ENOUGH)
        assert all(len(seat.commits) <= ENOUGH // 100 for seat in committee.seats)
        assert all(commit.leader_system.startswith(SYSTEM) for commit in committee.seats[0].commits)

    def test_equal_events_give_equal_actions(self, opener: "Opener") -> None:
        first, second = (self._busy(Committee(opener, self.members, seed=3)) for _ in range(2))
        assert [seat.log for seat in first.seats] == [seat.log for seat in second.seats]

    def test_delivers_only_what_is_durable(self, committee: Committee) -> None:
        """Every commit is delivered behind a barrier that was asked for, or was on disk at the start."""
        for seat in self._busy(committee).seats:
            barriers = 0
            for event, _now, actions in seat.log:
                for action in actions:
                    barriers = max(barriers, getattr(action, "barrier", 0))
                    if isinstance(action, Deliver) and not isinstance(event, Start):
                        assert 1 <= action.after <= barriers

    def test_snapshot_and_restore_at_any_step(self, opener: "Opener") -> None:
        committee = self._busy(Committee(opener, self.members, seed=5))
        seat = committee.seats[0]
        original = opener(setup_of(self.members, 0))
        for place, (event, now, actions) in enumerate(seat.log):
            if place % 5 == 0:
                snapshot = original.snapshot()
                copy = opener(setup_of(self.members, 0))
                copy.restore(snapshot)
                assert copy.snapshot() == snapshot, "equal engines give equal bytes"
                original = copy
            assert tuple(original.step(event, now)) == actions

    def test_a_snapshot_that_is_none_is_refused(self, opener: "Opener") -> None:
        engine = opener(setup_of(self.members, 0))
        before = engine.snapshot()
        for bad in (b"", b"\x00", b"\xff" * 40, before[:-1], before + b"\x00"):
            with pytest.raises(SomaError):
                engine.restore(bad)
        assert engine.snapshot() == before

    def test_unknown_events_are_answered_with_nothing(self, committee: Committee) -> None:
        committee.run(100)
        unheard: Any = Unheard()
        assert list(committee.seats[0].engine.step(unheard, committee.now)) == []

    def test_answers_nobody_asked_for_do_no_harm(self, committee: Committee) -> None:
        committee.run(100)
        seat = committee.seats[0]
        answers = (Verified(1 << 40, True), Signed(b"none", b"s" * 64), Timer("none"), Durable(0))  # noqa: FBT003
        for event in answers:
            committee.tell(seat, event)
        committee.submit(seat, b"still")
        committee.run(ENOUGH)
        assert order_of(seat.commits) == [b"still"]
        _check_sequence(seat.commits, 1, self.members)

    def test_garbage_of_peers_changes_nothing(self, committee: Committee) -> None:
        committee.submit(committee.seats[0], b"before")
        committee.run(100)
        for seat in committee.seats:
            for peer in range(self.members):
                for message in (b"", b"\x00", b"\xff" * 100, bytes(range(256)), b"\x9f" * 4000):
                    committee.tell(seat, Received(peer, message))
        committee.submit(committee.seats[-1], b"after")
        committee.run(ENOUGH)
        for seat in committee.seats:
            assert sorted(order_of(seat.commits)) == [b"after", b"before"]

    @pytest.mark.parametrize("pause", [0, 1, 3, 30, 333])
    def test_restart_delivers_again_and_goes_on(self, opener: "Opener", pause: int) -> None:
        committee = Committee(opener, self.members, seed=pause)
        seat = committee.seats[0]
        committee.submit(seat, b"one")
        committee.run(ENOUGH)
        seat.applying = False  # the chain writes nothing any more, and the engine goes on for a while
        committee.submit(seat, b"two")
        committee.run(2000 + pause)
        before, seat.applying = len(seat.commits), True
        committee.crash(seat)
        committee.submit(seat, b"three")
        committee.run(ENOUGH)
        again = seat.commits[before:]
        assert again[0] in seat.commits[:before], "what was delivered is delivered again, unchanged"
        assert order_of(seat.commits) == [b"one", b"two", b"three"]
        _check_unchanged(seat)

    def test_what_the_chain_has_applied_is_not_kept_for_ever(self, committee: Committee) -> None:
        seat = committee.seats[0]
        for _ in range(100):
            committee.submit(seat, b"x" * 1000)
            committee.run(100)
        early = sum(map(len, seat.disk.values()))
        for _ in range(300):
            committee.submit(seat, b"x" * 1000)
            committee.run(100)
        assert sum(map(len, seat.disk.values())) <= 2 * early + 100_000

    def test_someone_outside_the_committee_stays_silent(self, opener: "Opener") -> None:
        engine = opener(setup_of(self.members, None))
        actions = [
            *engine.step(Start({}, 0), BEGIN),
            *engine.step(PayloadReady(), BEGIN + 1),
            *engine.step(Payload((b"x",), b""), BEGIN + 2),
            *engine.step(Timer("round"), BEGIN + 3),
        ]
        assert not [action for action in actions if type(action).__name__ in {"Sign", "Pull", "Deliver"}]

    def test_catch_up_as_declared(self, chosen: Component, opener: "Opener") -> None:
        """A member that was cut off while the others went on comes to have all that they have."""
        declared = "catch-up" in chosen.spec.features
        committee = Committee(opener, self.members, seed=9)
        *others, last = committee.seats
        committee.cut_off(last)
        for number in range(30):
            committee.submit(committee.seats[0], b"missed %d" % number)
            committee.run(30)
        committee.run(ENOUGH)
        went_on = bool(others) and order_of(others[0].commits) != order_of(last.commits)
        assert went_on or not declared, "nobody goes on without one member: declare no catch-up, or set `members`"
        committee.reconnect(last)
        committee.submit(committee.seats[0], b"then")
        committee.run(ENOUGH)
        if went_on:
            caught_up = order_of(last.commits) == order_of(others[0].commits)
            assert caught_up == declared, f"it came to have what it had missed: {caught_up}; declared: {declared}"

    def test_byzantine_as_declared(self, chosen: Component, opener: "Opener") -> None:
        """Whichever third of the committee says two things at a time, or nothing, the others agree and go on."""
        if "byzantine" not in chosen.spec.features:
            return
        bad = (self.members - 1) // 3
        assert bad, f"{self.members} members bear no liar: declare nothing, or set `members` to 4 or more"
        for start in range(self.members):
            liars = {(start + step) % self.members for step in range(bad)}
            for twins in (liars, set[int]()):
                committee = Committee(opener, self.members, seed=start, twins=twins)
                for place in liars - twins:
                    committee.cut_off(committee.seats[place])
                self._check_beside(committee, liars)

    def _check_beside(self, committee: Committee, liars: set[int]) -> None:
        honest = [seat for seat in committee.seats if seat.place not in liars]
        items = [b"honest %d" % number for number in range(12)]
        for number, item in enumerate(items):
            for voice, seat in enumerate((*(committee.seats[place] for place in liars), *committee.twins.values())):
                committee.submit(seat, b"voice %d says %d" % (voice, number))
            committee.submit(honest[number % len(honest)], item)
            committee.run(35)
        committee.run(2 * ENOUGH)
        shortest = min(len(seat.commits) for seat in honest)
        for seat in honest:
            assert seat.commits[:shortest] == honest[0].commits[:shortest], f"liars {liars}: two orders"
        for seat in honest:
            assert set(items) <= set(order_of(seat.commits)), f"liars {liars}: not everything was ordered"

    def _busy(self, committee: Committee) -> Committee:
        for number in range(12):
            committee.submit(committee.seats[number % self.members], b"busy %d" % number)
            committee.run(35)
        committee.run(1500)
        return committee


@frozen
class Opener:
    """`Setup` to engine, for one component."""

    chosen: Component

    def __call__(self, setup: Setup) -> Engine:
        engine: Engine = self.chosen.spec.open(self.chosen.config, self.chosen.spec.params(), setup)
        return engine


def _check_sequence(commits: list[Commit], first: int, members: int) -> None:
    assert [commit.index for commit in commits] == list(range(first, first + len(commits)))
    assert [commit.time for commit in commits] == sorted(commit.time for commit in commits)
    rounds = [commit.round for commit in commits]
    assert rounds[0] >= 1
    assert rounds == sorted(rounds)
    assert all(0 <= commit.leader < members for commit in commits)
    assert all(len(commit.digest) == 32 for commit in commits)
    assert len({commit.digest for commit in commits}) == len(commits)


def _check_unchanged(seat: Seat) -> None:
    seen: dict[int, Commit] = {}
    for commit in seat.commits:
        assert seen.setdefault(commit.index, commit) == commit, f"commit {commit.index} changed after it was delivered"
    assert sorted(seen) == list(range(1, 1 + len(seen)))
