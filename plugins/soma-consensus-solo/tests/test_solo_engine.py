"""The engine of one: pace, persistence, back-pressure, and that no crash loses, doubles or changes a commit."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from soma_consensus_solo import Config, open_engine
from soma_consensus_solo._engine import AHEAD, PULL_LIMIT, Solo
from soma_consensus_solo._record import key_of, make, pack, unpack
from soma_core.api import (
    Action,
    Applied,
    Commit,
    Deliver,
    Durable,
    EndEpoch,
    Engine,
    Event,
    Member,
    NoParams,
    Payload,
    PayloadReady,
    Persist,
    Pull,
    SetTimer,
    Setup,
    Start,
    Timer,
)
from soma_core.api.encoding import digest, encode
from soma_core.errors import CorruptionError, DecodeError, SomaError
from soma_core.testing.committee import Committee, order_of, setup_of

NOW = 1_000_000


def engine(first: int = 1, me: int | None = 0) -> Engine:
    return open_engine(Config(), NoParams(), setup_of(1, me, first))


def only(actions: Sequence[Action], kind: type[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


# One commit -----------------------------------------------------------------------------------------------------------


def test_the_way_of_one_commit() -> None:
    solo = engine(first=7)
    assert list(solo.step(Start({}, 6), NOW)) == [SetTimer("round", NOW + 500)]
    assert list(solo.step(PayloadReady(), NOW + 5)) == [SetTimer("round", NOW + 20)]
    assert list(solo.step(Timer("round"), NOW + 20)) == [Pull(PULL_LIMIT, 1)]
    persist, deliver = solo.step(Payload((b"a", b"b"), b"link"), NOW + 21)
    commit = make(7, NOW + 21, 1, 0, (b"a", b"b"), b"link")
    assert persist == Persist(1, {key_of(7): pack(commit)})
    assert deliver == Deliver(commit, after=1)
    assert list(solo.step(Durable(1), NOW + 25)) == [SetTimer("round", NOW + 520)]


def test_digest_is_of_the_content() -> None:
    commit = make(7, 5, 1, 0, (b"a", b"b"), b"link")
    assert commit.items == ((0, b"a"), (0, b"b"))
    assert commit.digest == digest("soma/commit", encode([7, 5, 1, 0, [[0, b"a"], [0, b"b"]], b"link"]))
    assert unpack(key_of(7), pack(commit)) == commit


def test_payload_is_not_ordered_faster_than_the_shortest_round() -> None:
    committee = Committee(lambda setup: open_engine(Config(min_round_ms=50, idle_ms=200), NoParams(), setup), 1)
    for number in range(100):
        committee.submit(committee.seats[0], b"%d" % number)
        committee.run(3)
    committee.run(300)
    times = [now for event, now, actions in committee.seats[0].log for _ in only(actions, Pull)]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 50
    assert order_of(committee.seats[0].commits) == [b"%d" % number for number in range(100)]


def test_empty_commits_come_at_the_idle_pace() -> None:
    committee = Committee(lambda setup: open_engine(Config(), NoParams(), setup), 1)
    committee.run(10_000)
    pulls = [now for _, now, actions in committee.seats[0].log for _ in only(actions, Pull)]
    assert {b - a for a, b in itertools.pairwise(pulls)} == {500}
    assert all(commit.items == () for commit in committee.seats[0].commits)


def test_idle_is_never_faster_than_the_shortest_round() -> None:
    solo = open_engine(Config(min_round_ms=300, idle_ms=100), NoParams(), setup_of(1, 0))
    assert list(solo.step(Start({}, 0), NOW)) == [SetTimer("round", NOW + 300)]


def test_time_stands_still_when_the_clock_goes_back() -> None:
    late = make(3, NOW + 10_000, 3, 0, (), b"")
    solo = engine()
    solo.step(Start({key_of(3): pack(late)}, 3), NOW)
    solo.step(Timer("round"), NOW + 500)
    persist, deliver = solo.step(Payload((), b""), NOW + 501)
    assert isinstance(deliver, Deliver)
    assert deliver.commit.time == NOW + 10_000
    assert isinstance(persist, Persist)
    assert persist.batch[key_of(3)] is None, "what is applied goes with the next commit"


def test_an_answer_that_was_not_asked_for_is_dropped() -> None:
    solo = engine()
    solo.step(Start({}, 0), NOW)
    assert not only(solo.step(Payload((b"x",), b""), NOW + 1), Deliver)


def test_a_chain_that_falls_behind_is_waited_for() -> None:
    committee = Committee(lambda setup: open_engine(Config(), NoParams(), setup), 1)
    seat = committee.seats[0]
    seat.applying = False
    committee.run(60_000)
    assert len(seat.commits) == AHEAD
    seat.applying = True
    for commit in list(seat.commits):
        seat.applied = commit.index
        committee.tell(seat, Applied(commit.index))
    committee.run(2_000)
    assert len(seat.commits) > AHEAD


def test_the_end_of_the_epoch_is_the_end() -> None:
    solo = engine()
    solo.step(Start({}, 0), NOW)
    solo.step(PayloadReady(), NOW + 20)
    assert list(solo.step(EndEpoch(0), NOW + 21)) == []
    for event in (Payload((b"x",), b""), Timer("round"), PayloadReady(), Applied(3)):
        assert list(solo.step(event, NOW + 5_000)) == []


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_committee_of_another_size(size: int) -> None:
    members = tuple(Member(bytes([place]) * 32, 1) for place in range(size))
    with pytest.raises(SomaError, match=rf"for a committee of one, and this one has {size} members; use consensus-dag"):
        open_engine(Config(), NoParams(), Setup(bytes(32), 0, members, None, 1))


def test_a_chain_older_than_the_records() -> None:
    records = {key_of(index): pack(make(index, NOW, index, 0, (), b"")) for index in (5, 6)}
    with pytest.raises(CorruptionError, match=r"has applied commit 3, the next one kept is 5; the chain's database"):
        engine().step(Start(records, 3), NOW)


def test_records_lost_while_the_chain_went_on() -> None:
    solo = engine()
    assert not only(solo.step(Start({}, 9), NOW), Deliver)
    (pull,) = solo.step(Timer("round"), NOW + 500)
    assert pull == Pull(PULL_LIMIT, 10)
    _, deliver = solo.step(Payload((), b""), NOW + 500)
    assert isinstance(deliver, Deliver)
    assert (deliver.commit.index, deliver.commit.round) == (10, 10)


@pytest.mark.parametrize(
    "record",
    [b"", b"\xff", encode([1, 2]), encode([5, 1, 1, 0, [], b"", 0]), encode(["5", 1, 1, 0, [], b""]), encode(5)],
)
def test_a_record_that_is_no_commit(record: bytes) -> None:
    with pytest.raises(
        CorruptionError, match=r"^consensus-solo: the record under 01[0-9a-f]+ is not a commit; restore"
    ):
        engine().step(Start({key_of(5): record}, 4), NOW)


def test_a_record_under_another_key() -> None:
    with pytest.raises(CorruptionError):
        engine().step(Start({key_of(5): pack(make(6, NOW, 6, 0, (), b""))}, 4), NOW)


@pytest.mark.parametrize("snapshot", [encode(5), encode([[1], [], []]), encode([[1] * 6, [True] * 3, ["x"]])])
def test_a_snapshot_that_is_none(snapshot: bytes) -> None:
    with pytest.raises(DecodeError, match=r"^not a snapshot of consensus-solo"):
        engine().restore(snapshot)


# Any order of events, and a crash anywhere ----------------------------------------------------------------------------


class Crashes(RuleBasedStateMachine):
    """A node of one whose disk, chain and engine stand where hypothesis wants them, and which may lose its memory.

    Writing, answering and applying happen one by one, in any order; what waits for a barrier waits in memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.disk: dict[bytes, bytes] = {}
        self.applied: list[Commit] = []
        self.delivered: dict[int, Commit] = {}
        self.submitted: list[bytes] = []
        self.mempool: list[bytes] = []

    @initialize(first=st.integers(1, 3))
    def begin(self, first: int) -> None:
        self.first = first
        self.boot()

    def boot(self) -> None:
        self.engine = Solo(Config(), setup_of(1, 0, self.first))
        self.writes: list[Persist] = []
        self.queue: list[Commit] = []
        self.held: list[Deliver] = []
        self.pulls: list[Pull] = []
        self.durable = 0
        ordered = {item for commit in self.delivered.values() for _, item in commit.items}
        self.mempool = [item for item in self.submitted if item not in ordered]
        self.tell(Start(dict(self.disk), self.first - 1 + len(self.applied)))
        if self.mempool:
            self.tell(PayloadReady())

    def tell(self, event: Event) -> None:
        for action in self.engine.step(event, self.now):
            match action:
                case Persist():
                    self.writes.append(action)
                case Deliver():
                    self.held.append(action)
                case Pull():
                    self.pulls.append(action)
        self.release()

    def release(self) -> None:
        while self.held and self.held[0].after <= self.durable:
            commit = self.held.pop(0).commit
            known = self.delivered.setdefault(commit.index, commit)
            assert known == commit, "a delivered commit changed"
            self.queue.append(commit)

    @rule(milliseconds=st.sampled_from([0, 1, 20, 500, 700]))
    def pass_time(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.tell(Timer("round"))

    @rule(size=st.integers(1, 4))
    def submit(self, size: int) -> None:
        for _ in range(size):
            item = b"%d" % len(self.submitted)
            self.submitted.append(item)
            self.mempool.append(item)
        self.tell(PayloadReady())

    @precondition(lambda self: self.pulls)
    @rule(most=st.integers(0, 3))
    def answer(self, most: int) -> None:
        self.pulls.pop(0)
        items, self.mempool = self.mempool[:most], self.mempool[most:]
        self.tell(Payload(tuple(items), b"s"))

    @precondition(lambda self: self.writes)
    @rule()
    def write(self) -> None:
        persist = self.writes.pop(0)
        for key, value in persist.batch.items():
            self.disk.pop(key, None)
            if value is not None:
                self.disk[key] = value
        self.durable = persist.barrier
        self.release()
        self.tell(Durable(persist.barrier))

    @precondition(lambda self: self.queue)
    @rule()
    def apply(self) -> None:
        commit = self.queue.pop(0)
        expected = self.first + len(self.applied)
        if commit.index >= expected:
            assert commit.index == expected, "the chain misses a commit"
            self.applied.append(commit)
            self.tell(Applied(commit.index))

    @rule()
    def crash(self) -> None:
        self.boot()

    @rule()
    def move_to_another_engine(self) -> None:
        snapshot = self.engine.snapshot()
        self.engine = Solo(Config(), setup_of(1, 0, self.first))
        self.engine.restore(snapshot)
        assert self.engine.snapshot() == snapshot

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        applied = [item for commit in self.applied for _, item in commit.items]
        assert len(applied) == len(set(applied))
        assert [commit.time for commit in self.applied] == sorted(commit.time for commit in self.applied)
        assert [commit.round for commit in self.applied] == list(range(1, 1 + len(self.applied)))

    @invariant()
    def only_what_may_be_needed_is_kept(self) -> None:
        assert len(self.disk) <= 2 * AHEAD + 2

    def teardown(self) -> None:
        """Let it run to its end: then everything submitted has been applied, once."""
        if not hasattr(self, "first"):
            return
        for _ in range(20 + 4 * len(self.submitted)):
            self.pass_time(20)
            while self.pulls or self.writes or self.queue:
                if self.pulls:
                    self.answer(3)
                if self.writes:
                    self.write()
                if self.queue:
                    self.apply()
            if self.mempool:
                self.tell(PayloadReady())
        applied = [item for commit in self.applied for _, item in commit.items]
        assert sorted(applied) == sorted(self.submitted)


Crashes.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestCrashes = Crashes.TestCase
