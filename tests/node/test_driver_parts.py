"""The parts of the driver one by one: inbox, turns, signatures, group commits, lag, accusations."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import trio
from attrs import define, field
from driver_world import DictLedger, InlineThread
from ledger_world import World, key

from soma_core import api, chain
from soma_core.crypto import address_of, digest
from soma_core.errors import KeyStoreError
from soma_core.node._checker import REMEMBERED, TOGETHER, Checker
from soma_core.node._early import EARLY, EARLY_SIZE, Early
from soma_core.node._evidence import ACCUSATIONS, EVIDENCE_MOST, Evidence
from soma_core.node._inbox import INBOX, TURN, Inbox
from soma_core.node._lag import LATE, QUIET, STILL, Lag
from soma_core.node._recorder import Recorder
from soma_core.node._shell import UNAPPLIED, UNCHECKED, UNWRITTEN, Shell
from soma_core.node.mempool import Mempool

# The inbox. -----------------------------------------------------------------------------------------------------------


def test_an_inbox_gives_progress_then_members_then_answers_then_messages() -> None:
    inbox = Inbox()
    inbox.offer(api.Received(1, b"m"))
    inbox.answer(api.Durable(1))
    inbox.peer(2, up=True)
    inbox.progress(api.Applied(4))
    inbox.progress(api.Applied(5))
    expected = [api.Applied(5), api.PeerUp(2), api.Durable(1), api.Received(1, b"m")]
    assert inbox.has(messages=True)
    assert inbox.take(messages=True) == expected
    assert not inbox.has(messages=True)


def test_nothing_comes_after_the_end_of_an_epoch() -> None:
    inbox = Inbox()
    inbox.progress(api.EndEpoch(7))
    inbox.progress(api.Applied(8))
    assert inbox.take(messages=False) == [api.EndEpoch(7)]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("u", "u"),
        ("uu", "u"),
        ("ud", "ud"),
        ("udu", "u"),
        ("udud", "ud"),
        ("du", "du"),
        ("dud", "d"),
        ("dudududu", "du"),
    ],
)
def test_what_a_member_did_is_told_shortly_and_a_new_connection_is_never_missed(said: str, heard: str) -> None:
    inbox = Inbox()
    for letter in said:
        inbox.peer(3, up=letter == "u")
    kinds = {api.PeerUp: "u", api.PeerDown: "d"}
    assert "".join(kinds[type(event)] for event in inbox.take(messages=False)) == heard


async def test_messages_wait_for_room_and_answers_never_do(autojump_clock: Any) -> None:
    inbox = Inbox()
    for _ in range(INBOX):
        await inbox.put(api.Received(0, b""))
    assert not inbox.offer(api.Received(0, b""))
    with trio.move_on_after(10) as waiting:
        await inbox.put(api.Received(0, b"late"))
    assert waiting.cancelled_caught
    for number in range(INBOX + 1):
        inbox.answer(api.Durable(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, api.Received(0, b"last"))
        await trio.testing.wait_all_tasks_blocked()
        assert len(inbox.take(messages=True)) == INBOX + 1 + TURN
    got = [event for _ in range(INBOX // TURN) for event in inbox.take(messages=True)]
    assert len(got) == INBOX - TURN + 1
    assert got[-1] == api.Received(0, b"last")


async def test_all_who_wait_for_room_go_on() -> None:
    inbox = Inbox()
    for _ in range(INBOX):
        await inbox.put(api.Received(0, b""))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for message in (b"one", b"other"):
                nursery.start_soon(inbox.put, api.Received(0, message))
            await trio.testing.wait_all_tasks_blocked()
            inbox.take(messages=True)


async def test_a_closed_inbox_holds_nobody_up() -> None:
    inbox = Inbox()
    for _ in range(INBOX):
        await inbox.put(api.Received(0, b""))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, api.Received(0, b""))
        await trio.testing.wait_all_tasks_blocked()
        inbox.close()
    await inbox.put(api.Received(0, b""))


# The checker. ---------------------------------------------------------------------------------------------------------


@define
class Answers:
    """Whoever asks."""

    told: list[Any] = field(factory=list)

    def checked(self, identity: int, size: int, *, ok: bool) -> None:
        self.told.append((identity, ok))

    def recorded(self, barrier: int, size: int) -> None:
        self.told.append((barrier, size))


class CountingThread(InlineThread):
    """Takes a second for each call."""

    def __init__(self) -> None:
        self.calls: list[Sequence[Any]] = []

    async def run(self, work: Any, *arguments: Any) -> Any:
        await trio.sleep(1)
        self.calls.append(arguments)
        return work(*arguments)


@cache
def signature(number: int, good: bool = True) -> tuple[bytes, bytes, bytes]:  # noqa: FBT001, FBT002  # a test's word
    body = digest("soma/chunk", number.to_bytes(8, "big"))
    return key(number).public, body, key(number if good else number + 1).sign(body)


@cache
def transaction(sequence: int, **changes: Any) -> bytes:
    action = chain.Transfer(address_of(key(6).public), 7)
    return World().transaction(5, "transfer", action, sequence=sequence, **changes)


async def check(checker: Checker, asker: Answers, seconds: float = 100) -> None:
    with trio.move_on_after(seconds):
        await checker.run()


async def test_all_questions_that_wait_are_checked_in_one_call(autojump_clock: Any) -> None:
    thread, asker = CountingThread(), Answers()
    checker = Checker(thread, Mempool())  # type: ignore[arg-type]
    good, bad = transaction(0), transaction(1, signer=key(9))
    checker.ask(asker, 1, (signature(1), signature(2)), (good,))
    checker.ask(asker, 2, (signature(3, good=False),), ())
    checker.ask(asker, 3, (), (good, bad))
    checker.ask(asker, 4, (), (b"no transaction",))
    checker.ask(asker, 5, (), ())
    checker.ask(asker, 6, ((b"", b"", b""),), ())
    await check(checker, asker)
    assert asker.told == [(1, True), (2, False), (3, False), (4, False), (5, True), (6, False)]
    assert len(thread.calls) == 1


async def test_a_signature_or_two_do_not_take_the_way_to_the_thread(autojump_clock: Any) -> None:
    thread, asker = CountingThread(), Answers()
    checker = Checker(thread, Mempool())  # type: ignore[arg-type]
    checker.ask(asker, 1, (signature(1),), ())
    checker.ask(asker, 2, (signature(2, good=False),), ())
    await check(checker, asker)
    assert asker.told == [(1, True), (2, False)]
    assert thread.calls == []
    checker.ask(asker, 3, (signature(1), signature(2), signature(3), signature(4)), ())
    checker.ask(asker, 4, (), (transaction(0),))
    await check(checker, asker)
    assert [len(call[0]) for call in thread.calls] == [2]


async def test_a_call_is_bounded_and_one_question_always_fits(autojump_clock: Any) -> None:
    thread, asker = CountingThread(), Answers()
    checker = Checker(thread, Mempool())  # type: ignore[arg-type]
    sizes = [checker.ask(asker, n, (), (bytes(size),)) for n, size in enumerate((TOGETHER // 2,) * 3 + (2 * TOGETHER,))]
    assert sizes[-1] == 2 * TOGETHER
    await check(checker, asker)
    assert [len(call[0]) for call in thread.calls] == [2, 1, 1]
    assert asker.told == [(n, False) for n in range(4)]


async def test_what_held_or_waits_in_the_own_pool_is_not_checked_again(autojump_clock: Any) -> None:
    thread, asker, mempool = CountingThread(), Answers(), Mempool()
    checker = Checker(thread, mempool)  # type: ignore[arg-type]
    checker.ask(asker, 1, (signature(1),), (transaction(0),))
    await check(checker, asker)
    own = chain.parse_wire(transaction(1))
    mempool.add(own)
    checker.ask(asker, 2, (signature(1),), (transaction(0), own.wire))
    await check(checker, asker)
    assert asker.told == [(1, True), (2, True)]
    assert len(thread.calls) == 1
    mempool.forget(own.id)
    checker.ask(asker, 3, (), (own.wire,))
    await check(checker, asker)
    assert len(thread.calls) == 2


async def test_a_signature_that_failed_is_not_remembered_and_no_part_passes_for_another(autojump_clock: Any) -> None:
    thread, asker = CountingThread(), Answers()
    checker = Checker(thread, Mempool())  # type: ignore[arg-type]
    name, body, signed = signature(1)
    checker.ask(asker, 1, ((name, body, signed),), ())
    checker.ask(asker, 2, (signature(2), signature(3, good=False)), ())
    await check(checker, asker)
    for number, forged in enumerate(
        ((name, body[:-1], body[-1:] + signed), (name, body, bytes(64)), signature(3, good=False))
    ):
        checker.ask(asker, 10 + number, (forged,), ())
    checker.ask(asker, 13, (), (name + body + signed,))
    await check(checker, asker)
    assert asker.told == [(1, True), (2, False), (10, False), (11, False), (12, False), (13, False)]


async def test_what_is_remembered_is_bounded(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soma_core.node._checker.REMEMBERED", 2)
    assert REMEMBERED > 2
    thread, asker = CountingThread(), Answers()
    checker = Checker(thread, Mempool())  # type: ignore[arg-type]
    for number in (1, 2, 3, 1, 3):
        checker.ask(asker, number, (), (transaction(number),))
        await check(checker, asker)
    assert len(thread.calls) == 4  # the second 1 was forgotten, the second 3 was not


# The recorder. --------------------------------------------------------------------------------------------------------


async def test_all_that_waits_is_written_at_once_in_order(autojump_clock: Any) -> None:
    trace: list[str] = []
    ledger, one, other = DictLedger("records", trace), Answers(), Answers()
    recorder = Recorder(ledger, CountingThread())  # type: ignore[arg-type]
    assert recorder.put(one, 1, {b"a": b"1", b"b": b"1"}) == 4
    recorder.put(one, 2, {b"a": b"2", b"b": None})
    recorder.put(other, 1, {b"c": b"3"})
    with trio.move_on_after(10):
        await recorder.run()
    assert trace == ["write records"]
    assert ledger.data == {b"a": b"2", b"c": b"3"}
    assert one.told == [(2, 7)]
    assert other.told == [(1, 2)]


async def test_a_batch_is_bounded_and_what_came_during_a_write_is_the_next(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soma_core.node._recorder.TOGETHER", 10)
    trace: list[str] = []
    asker = Answers()
    recorder = Recorder(DictLedger("records", trace), CountingThread())  # type: ignore[arg-type]
    for barrier, size in enumerate((4, 4, 4, 40), 1):
        recorder.put(asker, barrier, {bytes([barrier]): bytes(size)})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        await trio.sleep(0.5)
        recorder.put(asker, 5, {b"z": b""})
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    assert asker.told == [(2, 10), (3, 5), (4, 41), (5, 1)]


async def test_a_write_that_fails_ends_the_recorder_and_nothing_is_called_durable(autojump_clock: Any) -> None:
    class Full(DictLedger):
        def write(self, batch: Any, /) -> None:
            raise OSError(28, "no space")

    asker = Answers()
    recorder = Recorder(Full("records", []), CountingThread())  # type: ignore[arg-type]
    recorder.put(asker, 1, {b"a": b""})
    with pytest.raises(OSError, match="no space"):
        await recorder.run()
    assert asker.told == []


async def test_what_waits_of_an_engine_that_is_gone_is_dropped(autojump_clock: Any) -> None:
    ledger, one, other = DictLedger("records", []), Answers(), Answers()
    recorder = Recorder(ledger, CountingThread())  # type: ignore[arg-type]
    recorder.put(one, 1, {b"a": b""})
    recorder.put(other, 1, {b"b": b""})
    recorder.forget(one)
    with trio.move_on_after(10):
        await recorder.run()
    assert list(ledger.data) == [b"b"]
    assert one.told == []


async def test_a_sweep_goes_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soma_core.node._recorder.SWEPT", 4)
    ledger = DictLedger("records", [])
    ledger.data = {bytes([n]): b"" for n in range(12)}
    recorder = Recorder(ledger, InlineThread())  # type: ignore[arg-type]
    assert [await recorder.sweep(b"\x0a") for _ in range(4)] == [True, True, True, False]
    assert sorted(ledger.data) == [b"\x0a", b"\x0b"]
    assert await recorder.load(b"", b"\xff", 1) == ((b"\x0a", b""),)


# A shell. -------------------------------------------------------------------------------------------------------------


@define
class Scripted:
    """An engine that does what a test says, once for each kind of event."""

    script: dict[type, list[Any]]
    seen: list[Any] = field(factory=list)

    def step(self, event: Any, now: int, /) -> Sequence[api.Action]:
        self.seen.append(event)
        actions = self.script.get(type(event), [])
        return actions.pop(0) if actions else []

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes, /) -> None:
        raise NotImplementedError


@define
class Room:
    """A shell in a room of its own: `done` is what left it."""

    script: dict[type, list[Any]]
    thread: Any = field(factory=CountingThread)
    ledger: DictLedger = field(factory=lambda: DictLedger("records", []))
    done: list[Any] = field(factory=list)
    refuses: set[int] = field(factory=set)
    engine: Scripted = field(init=False)
    shell: Shell = field(init=False)
    checker: Checker = field(init=False)
    recorder: Recorder = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.engine = Scripted(self.script)
        self.checker = Checker(CountingThread(), Mempool())  # type: ignore[arg-type]
        self.recorder = Recorder(self.ledger, self.thread)
        setup = api.Setup(bytes(32), 3, (api.Member(bytes(32), 1),) * 4, 0, 11)
        self.shell = Shell(self.engine, setup, self, self.checker, self.recorder)

    async def live(self, seconds: float, *, records: Mapping[bytes, bytes] | None = None, applied: int = 10) -> None:
        with trio.move_on_after(seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.checker.run)
                nursery.start_soon(self.recorder.run)
                await self.shell.run(records or {}, applied)

    def now(self) -> int:
        return int(trio.current_time() * 1000)

    def send(self, epoch: int, place: int, message: bytes) -> None:
        self.done.append((self.now(), "send", epoch, place, message))

    def deliver(self, shell: Shell, commit: api.Commit) -> None:
        self.done.append((self.now(), "deliver", commit.index))

    def accuse(self, epoch: int, accusation: api.Accuse) -> None:
        self.done.append(("accuse", epoch, accusation.member))

    def note(self, note: api.Note) -> None:
        self.done.append(note)

    async def payload(self, epoch: int, pull: api.Pull) -> tuple[api.Payload, bool]:
        await trio.sleep(1)
        return api.Payload((b"item",), b"system"), pull.limit == 1

    async def sign(self, epoch: int, slot: int, body: bytes) -> bytes:
        await trio.sleep(1)
        if slot in self.refuses:
            raise KeyStoreError(f"slot {slot} is past", "sign a later one")
        return b"signed" + body

    def at(self, kind: type) -> list[Any]:
        return [event for event in self.engine.seen if isinstance(event, kind)]


def commit(index: int) -> api.Commit:
    return api.Commit(index, bytes(32), 0, 1, 0, (), b"")


async def test_an_engine_goes_on_while_disk_signer_and_signatures_work(autojump_clock: Any) -> None:
    first = [
        api.Persist(1, {b"k": b"v"}),
        api.Persist(2, {b"k": b"w"}),
        api.Send((1, 2), b"after", after=2),
        api.Send((3,), b"at once"),
        api.Deliver(commit(11), after=1),
        api.Sign((5).to_bytes(8, "big"), b"body"),
        api.Verify(9, (signature(1), signature(2), signature(3)), ()),
        api.Pull(1, 4),
        api.SetTimer("soon", 10),
        api.Note("n", 1),
        api.Accuse(2, b"a", b"b"),
    ]
    room = Room({api.Start: [first]})
    await room.live(5)
    kinds = [type(event) for event in room.engine.seen]
    assert kinds[:2] == [api.Start, api.Timer]
    assert set(kinds[2:]) == {api.Verified, api.Signed, api.Payload, api.PayloadReady, api.Durable}
    assert room.at(api.Durable) == [api.Durable(2)]
    assert room.at(api.Signed) == [api.Signed((5).to_bytes(8, "big"), b"signedbody")]
    assert room.done[0] == (0, "send", 3, 3, b"at once")
    assert room.done[-3:] == [
        (1000, "send", 3, 1, b"after"),
        (1000, "send", 3, 2, b"after"),
        (1000, "deliver", 11),
    ]
    assert room.ledger.data == {(3).to_bytes(8, "big") + b"k": b"w"}


async def test_a_refused_signature_is_an_empty_one_and_the_node_goes_on(
    autojump_clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    slots = [number.to_bytes(8, "big") for number in (1, 2)]
    room = Room({api.Start: [[api.Sign(slot, b"") for slot in slots]]}, refuses={1})
    with caplog.at_level(logging.WARNING):
        await room.live(5)
    assert room.at(api.Signed) == [api.Signed(slots[0], b""), api.Signed(slots[1], b"signed")]
    assert "slot 1 of epoch 3 is not signed" in caplog.text


async def test_commits_are_delivered_in_order_whatever_they_wait_for(autojump_clock: Any) -> None:
    actions = [api.Deliver(commit(11), after=1), api.Deliver(commit(12)), api.Persist(1, {})]
    room = Room({api.Start: [actions]})
    await room.live(5)
    assert room.done == [(1000, "deliver", 11), (1000, "deliver", 12)]


async def test_what_is_loaded_is_what_was_persisted_before(autojump_clock: Any) -> None:
    key_ = b"\x80one"
    room = Room({api.Start: [[api.Persist(1, {key_: b"x"}), api.Load(4, b"\x80", b"\x81", 10)]]})
    await room.live(9)
    assert room.at(api.Loaded) == [api.Loaded(4, ((key_, b"x"),))]


async def test_timers_ring_once_and_one_that_was_cancelled_or_replaced_does_not(autojump_clock: Any) -> None:
    timers = [api.SetTimer("a", 10), api.SetTimer("b", 10), api.SetTimer("c", 10), api.SetTimer("c", 30)]
    room = Room({api.Start: [timers], api.Timer: [[api.CancelTimer("b"), api.SetTimer("a", 10)]]})
    await room.live(1)
    assert [event.name for event in room.at(api.Timer)] == ["a", "a", "c"]


async def test_a_flood_of_messages_keeps_no_timer_and_no_answer_waiting(autojump_clock: Any) -> None:
    room = Room({api.Start: [[api.SetTimer("t", 0)]]})
    for number in range(INBOX):
        room.shell.inbox.offer(api.Received(1, b"%d" % number))
    room.shell.inbox.answer(api.Durable(1))
    await room.live(1)
    assert [type(event) for event in room.engine.seen[:3]] == [api.Start, api.Timer, api.Durable]
    assert len(room.at(api.Received)) == INBOX


@pytest.mark.parametrize(
    ("action", "until"),
    [
        (api.Persist(1, {b"k": bytes(UNWRITTEN)}), api.Durable),
        (api.Verify(1, (), (bytes(UNCHECKED),)), api.Verified),
    ],
    ids=["disk", "signatures"],
)
async def test_no_message_is_heard_while_too_much_waits(action: Any, until: type, autojump_clock: Any) -> None:
    room = Room({api.Start: [[action, api.SetTimer("t", 500)]]})
    room.shell.inbox.offer(api.Received(1, b"m"))
    await room.live(5)
    assert [type(event) for event in room.engine.seen] == [api.Start, api.Timer, until, api.Received]


async def test_no_message_is_heard_and_nothing_loaded_while_commits_wait(autojump_clock: Any) -> None:
    commits = [api.Deliver(commit(11 + number)) for number in range(UNAPPLIED)]
    room = Room({api.Start: [[*commits, api.Load(1, b"", b"\xff", 1)]]})
    room.shell.inbox.offer(api.Received(1, b"m"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.live, 20)
        await trio.sleep(5)
        assert [type(event) for event in room.engine.seen] == [api.Start]
        room.shell.taken()
    assert {type(event) for event in room.engine.seen} == {api.Start, api.Received, api.Loaded}


async def test_an_engine_whose_epoch_has_ended_goes_on_and_nothing_it_orders_is_applied(autojump_clock: Any) -> None:
    late = [api.Sign(bytes(8), b""), api.Pull(1, 1), api.Deliver(commit(12)), api.Send((1,), b"old")]
    room = Room({api.Start: [[api.Deliver(commit(11), after=1)]], api.Received: [late]})
    room.shell.close(11)
    room.shell.inbox.offer(api.Received(1, b"ask"))
    room.shell.payload_ready()
    await room.live(5)
    first, *answers = [type(event) for event in room.engine.seen if not isinstance(event, api.Start)]
    assert (first, {*answers}) == (api.EndEpoch, {api.Received, api.Payload, api.Signed})
    assert [what[1] for what in room.done] == ["send"]
    assert room.shell.ended.is_set()


async def test_payload_is_announced_once_until_it_was_pulled(autojump_clock: Any) -> None:
    room = Room({api.PayloadReady: [[], [api.Pull(2, 1)]]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.live, 10)
        await trio.sleep(0.1)
        for _ in range(3):
            room.shell.payload_ready()
        await trio.sleep(0.1)
        assert len(room.at(api.PayloadReady)) == 1
    room = Room({api.PayloadReady: [[api.Pull(2, 1)]]})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.live, 10)
        await trio.sleep(0.1)
        room.shell.payload_ready()
        await trio.sleep(2)
        room.shell.payload_ready()
        await trio.sleep(0.1)
        assert len(room.at(api.PayloadReady)) == 2


# Lag. -----------------------------------------------------------------------------------------------------------------


def lag_of(members: int, *, seated: bool = True) -> Lag:
    lag = Lag()
    lag.sits({b"%d" % place: 1 for place in range(members)}, seated=seated)
    return lag


async def seconds_until(left: Any) -> float:
    begun = trio.current_time()
    with trio.move_on_after(1000):
        await left()
    return trio.current_time() - begun


async def test_a_chain_that_moves_is_not_left_behind(autojump_clock: Any) -> None:
    lag = lag_of(4)
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            for _ in range(5):
                await trio.sleep(STILL - 0.1)
                lag.ordered()

        nursery.start_soon(move)
        assert await seconds_until(lag.until_left_behind) == pytest.approx(5 * (STILL - 0.1) + STILL)


async def test_members_that_may_all_lie_are_not_believed_about_epochs(autojump_clock: Any) -> None:
    lag = lag_of(4)
    lag.begins(4)
    lag.heard(b"1", 9)
    lag.heard(b"1", 8)
    assert not lag.behind
    lag.heard(b"2", 5)
    assert lag.behind
    assert await seconds_until(lag.until_left_behind) == LATE
    lag.begins(5)
    assert not lag.behind


async def test_who_names_ever_later_epochs_keeps_nobody_waiting(autojump_clock: Any) -> None:
    lag = lag_of(4)
    lag.heard(b"1", 1)
    async with trio.open_nursery() as nursery:

        async def lie() -> None:
            for epoch in range(100):
                lag.heard(b"2", epoch)
                await trio.sleep(0.1)

        nursery.start_soon(lie)
        assert await seconds_until(lag.until_left_behind) == pytest.approx(0.1 + LATE)


async def test_it_is_going_when_the_own_engine_orders_in_the_newest_epoch(autojump_clock: Any) -> None:
    lag = lag_of(4)
    for node in (b"1", b"2"):
        lag.heard(node, 1)
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            await trio.sleep(1)
            lag.ordered()
            await trio.sleep(1)
            lag.begins(1)

        nursery.start_soon(move)
        assert await seconds_until(lag.until_going) == 2


async def test_who_has_no_seat_follows_at_once_and_who_is_alone_never(autojump_clock: Any) -> None:
    assert await seconds_until(lag_of(4, seated=False).until_left_behind) == 0
    assert await seconds_until(lag_of(1).until_left_behind) == 1000
    lag = lag_of(1, seated=False)
    lag.sits({b"0": 1, b"1": 1}, seated=True)
    assert await seconds_until(lag.until_left_behind) == STILL


async def test_only_the_present_committee_is_believed_about_epochs(autojump_clock: Any) -> None:
    lag = lag_of(4)
    lag.heard(b"1", 1)
    lag.heard(b"2", 1)
    lag.sits({b"0": 1, b"1": 1, b"3": 1, b"4": 1}, seated=True)
    assert not lag.behind
    lag.heard(b"4", 1)
    assert lag.behind


async def test_it_is_quiet_a_while_after_commits_of_peers_ended_an_epoch(autojump_clock: Any) -> None:
    lag = lag_of(1)
    assert await seconds_until(lag.until_quiet) == 0
    lag.passed()
    async with trio.open_nursery() as nursery:

        async def move() -> None:
            await trio.sleep(QUIET / 2)
            lag.passed()

        nursery.start_soon(move)
        assert await seconds_until(lag.until_quiet) == pytest.approx(1.5 * QUIET)


# Messages that came early. --------------------------------------------------------------------------------------------


def test_early_messages_are_kept_in_order_and_bounded_for_each_member() -> None:
    early = Early(4)
    for number in range(EARLY + 1):
        early.keep(b"1", b"%d" % number)
    early.keep(b"2", bytes(EARLY_SIZE - 1))
    early.keep(b"2", b"no")
    early.keep(b"2", b"y")
    kept = early.take()
    assert [message for node, message in kept if node == b"1"] == [b"%d" % number for number in range(EARLY)]
    assert [len(message) for node, message in kept if node == b"2"] == [EARLY_SIZE - 1, 1]
    assert early.take() == []
    early.keep(b"1", b"again")
    assert early.take() == [(b"1", b"again")]


# Accusations. ---------------------------------------------------------------------------------------------------------


def test_accusations_are_kept_and_told_once_and_bounded(caplog: pytest.LogCaptureFixture) -> None:
    evidence = Evidence()
    with caplog.at_level(logging.WARNING):
        for second in (b"b", b"c"):
            evidence.take(1, b"k2", api.Accuse(2, b"a", second))
        assert not evidence.take(1, b"k0", api.Accuse(0, bytes(EVIDENCE_MOST), b"x"))
    assert len(caplog.records) == 1
    (kept,) = evidence.accusations[b"k2"]
    assert (kept.epoch, kept.first, kept.second) == (1, b"a", b"b")
    assert b"k0" not in evidence.accusations
    for number in range(3 * ACCUSATIONS):
        evidence.take(2, b"k2", api.Accuse(2, b"%d" % number, b""))
    assert len(evidence.accusations[b"k2"]) == ACCUSATIONS
