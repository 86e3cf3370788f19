"""What a validator on a panel does: with good and bad data, with weights that are missing, after a stop."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, evolve, field
from audit_world import audit_of, audited, claims, deliver, dispute, number_of, result_of, sealed, shown, truth
from committee_world import Committee

from soma_core import chain, fixed
from soma_core.errors import EncoderError, RefusedError, UnreachableError
from soma_core.node import auditing
from soma_core.node.answering import Judged
from soma_core.node.auditing import NOTHING, Auditing
from soma_core.node.encoding import NoWorkerError


@define
class Outbox:
    """A wallet that only notes what it is asked to send."""

    address: bytes
    sent: list[tuple[str, Any]] = field(factory=list)
    on_send: Callable[[], None] = lambda: None

    async def send(self, kind: str, action: Any) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        self.on_send()
        self.sent.append((kind, action))
        return chain.TransactionDone(bytes(32), "applied", "", "")


@define
class Truthful:
    """Computes what the encoders of this world compute who do their work."""

    audit: chain.Audit
    fault: Exception | None = None
    asked: int = 0

    async def answer(self, item: chain.Item, data: bytes, seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        assert (data, seed) == (b"data", self.audit.key)
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        result = truth(self.audit)[self.audit.items.index(item)]
        return Judged(fixed.vector_from_bytes(result.vector, 8), result.loss)


@define
class Same:
    """Computes the same for every encoder."""

    result: chain.Result
    asked: int = 0

    async def answer(self, _item: chain.Item, _data: bytes, _seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return Judged(fixed.vector_from_bytes(self.result.vector, 8), self.result.loss)


class Here:
    """A store whose state a test sets, and the thread it is read in. Auditors look for things 50 ms."""

    def __init__(self, world: Committee) -> None:
        self._world = world
        parameters = evolve(world.genesis.parameters, audit_seal_ms=100)
        self.genesis = evolve(world.genesis, parameters=parameters)

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self._world.state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


Fetch = Callable[[bytes, int], Awaitable[bytes]]


async def good_data(_blob: bytes, _size: int) -> bytes:
    await trio.lowlevel.checkpoint()
    return b"data"


async def no_data(_blob: bytes, _size: int) -> bytes:
    await trio.lowlevel.checkpoint()
    raise UnreachableError("none of 3 peers gave it", "ask again later")


class Seat:
    """A validator's node on the panel of the one audit of `world`."""

    def __init__(self, world: Committee, job: bytes, directory: Path, fetch: Fetch = good_data) -> None:
        self.world, self.job, self.directory, self.fetch = world, job, directory, fetch
        self.audit = audit_of(world, job)
        self.outbox = Outbox(self.audit.panel[0].account)
        self.referee = Truthful(self.audit)

    async def run(self, *events: chain.Event, wanted: int, empty: bool = False) -> list[tuple[str, Any]]:
        """What is sent in answer to `events`, the first `wanted` of it, and a moment more of real time.

        `empty`: wait until nothing is left on disk.
        """
        here: Any = Here(self.world)
        one = Auditing(self.referee, self.outbox, here, here, self.fetch, self.directory, self.referee)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.run)
            await trio.testing.wait_all_tasks_blocked()
            one.note(applied(*events))
            with trio.move_on_after(5):
                while len(self.outbox.sent) < wanted or (empty and left(self.directory)):  # noqa: ASYNC110  # threads write to the disk: no event tells
                    await trio.sleep(0.002)
            await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
        return self.outbox.sent

    def changed(self, stage: str) -> chain.AuditChanged:
        return chain.AuditChanged("embed", self.job, stage, tuple(auditor.account for auditor in self.audit.panel))


def applied(*events: chain.Event) -> Any:
    return type("Applied", (), {"events": events})()


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    world = audited(audit_quorum=1, pot=10**10)
    job, _ = deliver(world)
    return Seat(world, job, tmp_path)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not there is looked for again after 5 ms."""
    monkeypatch.setattr(auditing, "AGAIN", 0.005)


def left(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_what_was_computed_is_sealed_and_then_shown_and_the_chain_takes_both(seat: Seat) -> None:
    (commit, reveal) = await seat.run(seat.changed("showing"), wanted=2)
    assert (commit[0], reveal[0]) == ("commit_verdict", "reveal_verdict")
    assert reveal[1].results == truth(seat.audit)
    world, who = seat.world, number_of(seat.outbox.address)
    for kind, action in (commit, reveal):
        ((_, code),) = world.outcomes(world.step(world.transaction(who, kind, action)))
        assert code == ""
    delivery = world.state.need(chain.DELIVERIES, seat.job)
    assert {delivery.verdicts[item.member] for item in seat.audit.items} == {"honest"}


async def test_nothing_is_shown_before_all_have_sealed_and_the_verdict_is_on_disk_before_its_seal(seat: Seat) -> None:
    found: list[list[str]] = []
    seat.outbox.on_send = lambda: found.append(left(seat.directory))
    (only,) = await seat.run(wanted=1)
    assert only[0] == "commit_verdict"
    assert [len(names) for names in found] == [1]


async def test_after_a_stop_the_same_verdict_is_sealed_and_shown(seat: Seat) -> None:
    (first,) = await seat.run(wanted=1)
    again = Seat(seat.world, seat.job, seat.directory)
    commit, reveal = await again.run(again.changed("showing"), wanted=2)
    assert commit[1].commitment == first[1].commitment
    assert (again.referee.asked, reveal[0]) == (0, "reveal_verdict")


async def test_a_sealed_verdict_is_shown_after_a_stop_and_one_that_is_lost_is_not_computed_again(
    seat: Seat, caplog: pytest.LogCaptureFixture
) -> None:
    ((kind, action),) = await seat.run(wanted=1)
    seat.world.step(seat.world.transaction(number_of(seat.outbox.address), kind, action))
    again = Seat(seat.world, seat.job, seat.directory)
    (shown_,) = await again.run(wanted=1)
    assert (shown_[0], again.referee.asked) == ("reveal_verdict", 0)
    for path in seat.directory.iterdir():
        path.unlink()
    lost = Seat(seat.world, seat.job, seat.directory)
    assert await lost.run(wanted=0) == []
    assert "the sealed verdict is not on disk any more" in caplog.text


async def test_a_concluded_audit_leaves_nothing_on_disk(seat: Seat) -> None:
    await seat.run(wanted=1)
    await seat.run(seat.changed("concluded"), wanted=1, empty=True)
    assert left(seat.directory) == []


async def test_data_or_weights_that_nobody_has_are_said_to_be_missing(
    seat: Seat, caplog: pytest.LogCaptureFixture
) -> None:
    seat.fetch = no_data
    _, reveal = await seat.run(seat.changed("showing"), wanted=2)
    assert reveal[1].results == (NOTHING,) * len(seat.audit.items)
    assert "none of 3 peers gave it" in caplog.text


async def test_what_is_not_to_be_had_is_looked_for_again(seat: Seat) -> None:
    fetched, asked = seat.fetch, 0

    async def late(blob: bytes, size: int) -> bytes:
        nonlocal asked
        asked += 1
        return await (fetched if asked == 4 else no_data)(blob, size)

    seat.fetch = late
    _, reveal = await seat.run(seat.changed("showing"), wanted=2)
    assert asked == 4
    assert NOTHING not in reveal[1].results


async def test_weights_that_give_no_answer_count_as_missing(seat: Seat, caplog: pytest.LogCaptureFixture) -> None:
    seat.referee.fault = EncoderError("its weights are offered nowhere", "ask its operator")
    _, reveal = await seat.run(seat.changed("showing"), wanted=2)
    assert reveal[1].results == (NOTHING,) * len(seat.audit.items)
    assert "its weights are offered nowhere; ask its operator" in caplog.text


async def test_trouble_of_its_own_makes_an_auditor_silent(seat: Seat, caplog: pytest.LogCaptureFixture) -> None:
    """That accuses nobody."""
    seat.referee.fault = NoWorkerError("the worker ran out of its 600 MiB of memory", "give it more")
    assert await seat.run(seat.changed("showing"), wanted=0) == []
    assert "no verdict: the worker ran out of its 600 MiB of memory" in caplog.text

    async def no_room(_blob: bytes, _size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        raise RefusedError("the store of blobs is full", "free space")

    seat.fetch = no_room
    assert await seat.run(seat.changed("showing"), wanted=0) == []
    assert "no verdict: the store of blobs is full" in caplog.text
    assert left(seat.directory) == []


async def test_what_concerns_others_is_left_to_them(seat: Seat) -> None:
    seat.outbox.address = bytes(32)
    assert await seat.run(seat.changed("showing"), wanted=0) == []
    assert left(seat.directory) == []


async def test_an_audit_that_is_over_when_it_is_looked_at_is_let_go(seat: Seat) -> None:
    events = (evolve(seat.changed("sealing"), key=bytes(32)), evolve(seat.changed("showing"), key=bytes(32)))
    seat.outbox.sent.clear()
    ((kind, _),) = await seat.run(*events, wanted=1)
    assert kind == "commit_verdict", "of the audit that is open"


async def test_an_appeal_has_a_file_of_its_own(seat: Seat) -> None:
    """The drawn panel's results were shown: an appeal about the same answer is sealed with another salt."""
    world, who = seat.world, seat.outbox.address
    results = truth(seat.audit)
    world.step(sealed(world, seat.job, who, results))
    world.step(shown(world, seat.job, who, results))
    while world.state.get(chain.AUDITS, chain.subject("embed", seat.job)) is not None:
        audit = audit_of(world, seat.job)
        account = audit.panel[0].account
        world.step(sealed(world, seat.job, account, truth(audit)))
        world.step(shown(world, seat.job, account, truth(audit)))
    item = seat.audit.items[0]
    applied_ = world.step(dispute(world, 5, seat.job, number_of(item.encoder)))
    assert [code for _, code in world.outcomes(applied_)] == [""]
    later = Seat(world, seat.job, seat.directory)
    await later.run(wanted=1)
    assert [name.endswith("-appeal") for name in left(seat.directory)] == [True]
    assert claims(later.audit) == (result_of(item.loss, item.vector),)


async def test_once_a_hit_is_found_false_no_other_assigned_encoder_is_run(seat: Seat) -> None:
    """A lie costs the auditors one run each, not one for every encoder of the target."""
    here: Any = Here(seat.world)
    claim = seat.audit.items[0]
    others = tuple(evolve(claim, member=place, vector=b"") for place in (1, 2))
    true = truth(seat.audit)[0]
    for first, wanted in ((evolve(claim, loss=claim.loss + (1 << 16)), 1), (claim, 3)):
        audit = evolve(seat.audit, kind="target", items=(first, *(evolve(other, loss=first.loss) for other in others)))
        referee = Same(true)
        one = Auditing(referee, seat.outbox, here, here, good_data, seat.directory, referee)  # type: ignore[arg-type]
        results = await one._results(audit)
        assert referee.asked == wanted
        assert results == (true,) * wanted + (NOTHING,) * (3 - wanted)
