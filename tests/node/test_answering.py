"""What a drawn encoder does with good data, bad data, a failing model, and a stop at the wrong moment."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from attrs import define, field
from ledger_world import World, key, unit

from soma_core import chain, fixed
from soma_core.api import Evaluation
from soma_core.crypto import address_of, digest
from soma_core.errors import EncoderError, RefusedError, UnreachableError
from soma_core.node import wallet
from soma_core.node.answering import AT_ONCE, Answering, Judged, judge

ME = 1
JOB = digest("soma/job", b"one")
BLOB = digest("soma/blob", b"data")


@define
class Outbox:
    """A wallet that only notes what it is asked to send."""

    sent: list[tuple[str, Any]] = field(factory=list)
    address: bytes = address_of(key(ME).public)
    on_send: Callable[[], None] = lambda: None

    async def send(self, kind: str, action: Any) -> chain.TransactionDone:
        await trio.lowlevel.checkpoint()
        self.on_send()
        self.sent.append((kind, action))
        return chain.TransactionDone(bytes(32), "applied", "", "")


@define
class Model:
    fault: Exception | None = None
    asked: int = 0

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return Judged(unit(5), 3 << 16)


class Here:
    """A store whose state a test sets, and the thread it is read in."""

    def __init__(self, world: World) -> None:
        self.genesis = world.genesis
        self._world = world

    def read(self, look: Callable[[chain.State], Any]) -> Any:
        return look(self._world.state)

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


async def good_data(_blob: bytes, _size: int) -> bytes:
    await trio.lowlevel.checkpoint()
    return b"data"


async def no_data(_blob: bytes, _size: int) -> bytes:
    await trio.lowlevel.checkpoint()
    raise UnreachableError("none of 3 peers gave it", "ask again later")


def applied(*events: chain.Event) -> Any:
    return type("Applied", (), {"events": events})()


DRAWN = chain.ShardDrawn(JOB, BLOB, 4, (Outbox().address,), 10_000)
OPEN = chain.RevealsOpen(JOB, 20_000)


async def answered(
    world: World,
    directory: Path,
    *events: chain.Event,
    model: Model | None = None,
    fetch: Callable[[bytes, int], Awaitable[bytes]] = good_data,
    outbox: Outbox | None = None,
) -> list[tuple[str, Any]]:
    """What is sent in answer to `events`, each given until nothing of it is left to do."""
    outbox = outbox or Outbox()
    here: Any = Here(world)
    answering = Answering(model or Model(), outbox, here, here, fetch, directory)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answering.run)
        for event in events:
            answering.note(applied(event))
            with trio.fail_after(30):  # threads write to the disk: no virtual clock waits for them
                while answering._todo or answering._doing:  # noqa: ASYNC110
                    await trio.sleep(0.002)
        nursery.cancel_scope.cancel()
    return outbox.sent


def left(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_an_answer_is_sealed_and_then_shown(world: World, tmp_path: Path) -> None:
    (sealed, shown) = await answered(world, tmp_path, DRAWN, OPEN)
    assert (sealed[0], shown[0]) == ("commit_embedding", "reveal_embedding")
    reveal = shown[1]
    assert sealed[1].commitment == chain.commitment(JOB, Outbox().address, reveal.salt, reveal.loss, reveal.vector)
    assert reveal.vector == fixed.vector_bytes(unit(5))


async def test_the_answer_is_on_disk_before_its_seal_leaves(world: World, tmp_path: Path) -> None:
    found: list[bool] = []
    outbox = Outbox()
    outbox.on_send = lambda: found.append((tmp_path / JOB.hex()).exists())
    await answered(world, tmp_path, DRAWN, outbox=outbox)
    assert found == [True]


async def test_after_a_stop_the_same_answer_is_sealed_and_shown(world: World, tmp_path: Path) -> None:
    (first,) = await answered(world, tmp_path, DRAWN)
    model = Model()
    again, shown = await answered(world, tmp_path, DRAWN, OPEN, model=model)
    assert model.asked == 0
    assert again[1].commitment == first[1].commitment
    assert shown[0] == "reveal_embedding"


async def test_data_that_nobody_has_is_reported_unavailable(world: World, tmp_path: Path) -> None:
    model = Model()
    (only,) = await answered(world, tmp_path, DRAWN, model=model, fetch=no_data)
    assert only == ("report_unavailable", chain.ReportUnavailable(JOB))
    assert model.asked == 0


async def test_a_model_that_fails_says_so_and_stays_silent(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = EncoderError("encoder-x: vector 1 of 1 holds NaN", "report it to its author")
    assert await answered(world, tmp_path, DRAWN, OPEN, model=Model(fault)) == []
    assert "encoder-x: vector 1 of 1 holds NaN; report it to its author" in caplog.text
    assert left(tmp_path) == []


async def test_an_answer_that_finds_no_validator_is_sent_until_one_takes_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wallet, "INSIST_AFTER", 0.001)
    tries = iter(
        [UnreachableError("no validator is connected", "wait"), RefusedError("number 5 is used", "wait"), None]
    )

    def no_validator() -> None:
        if (error := next(tries)) is not None:
            raise error

    model = Model()
    ((kind, _),) = await answered(world, tmp_path, DRAWN, model=model, outbox=Outbox(on_send=no_validator))
    assert (kind, model.asked, [*tries]) == ("commit_embedding", 1, [])


@define
class Stuck:
    """A model that answers nothing until it is let go."""

    begun: list[bytes] = field(factory=list)
    go: trio.Event = field(factory=trio.Event)

    async def answer(self, data: bytes, seed: bytes, /) -> Judged:
        self.begun.append(seed)
        await self.go.wait()
        return Judged(unit(5), 3 << 16)


def drawn(number: int) -> chain.ShardDrawn:
    return chain.ShardDrawn(digest("soma/job", bytes([number])), BLOB, 4, (Outbox().address,), 10_000)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # threads write to the disk: no event tells
            await trio.sleep(0.002)


async def test_work_on_what_is_settled_is_dropped_and_what_waits_is_bounded_by_open_jobs(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, outbox, here = Stuck(), Outbox(), Here(world)
    answering = Answering(model, outbox, here, here, good_data, tmp_path)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answering.run)
        for number in range(200):  # far more than there is room for at a time, each settled as the chain does it
            answering.note(applied(drawn(number)))
            if number < AT_ONCE:
                await until(lambda n=number: len(model.begun) == n + 1)  # type: ignore[misc]
            if number >= 20:
                answering.note(applied(chain.Settled(drawn(number - 20).job, "refunded", b"")))
        assert len(answering._todo) == 20
        await until(lambda: len(model.begun) == 2 * AT_ONCE)
        for number in range(180, 198):
            answering.note(applied(chain.Settled(drawn(number).job, "refunded", b"")))
        model.go.set()
        await until(lambda: len(outbox.sent) == 2)
        nursery.cancel_scope.cancel()
    assert {action.job for _, action in outbox.sent} == {drawn(198).job, drawn(199).job}
    assert caplog.text.count("settled before it was answered") == 2 * AT_ONCE
    assert sorted(left(tmp_path)) == sorted(drawn(number).job.hex() for number in (198, 199))


async def test_several_jobs_are_worked_on_at_once(world: World, tmp_path: Path) -> None:
    model, outbox, here = Stuck(), Outbox(), Here(world)
    answering = Answering(model, outbox, here, here, good_data, tmp_path)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answering.run)
        await trio.testing.wait_all_tasks_blocked()  # all of them wait for work
        answering.note(applied(*map(drawn, range(9))))
        await until(lambda: len(model.begun) == AT_ONCE)
        model.go.set()
        await until(lambda: len(outbox.sent) == 9)
        nursery.cancel_scope.cancel()


async def test_what_concerns_others_is_left_to_them(world: World, tmp_path: Path) -> None:
    other = chain.ShardDrawn(JOB, BLOB, 4, (bytes(32),), 10_000)
    assert await answered(world, tmp_path, other, OPEN) == []


async def test_an_ended_job_leaves_nothing_on_disk(world: World, tmp_path: Path) -> None:
    await answered(world, tmp_path, DRAWN, chain.Settled(JOB, "settled", b""))
    assert left(tmp_path) == []


@pytest.mark.parametrize(("bits", "loss"), [(0.0, 0), (2.5, 163_840), (99.0, 16 << 16), (-1e-9, 0)])
def test_a_loss_becomes_an_integer_within_its_bounds(bits: float, loss: int) -> None:
    vectors = np.ones((1, 8), np.float32)
    judged = judge(Evaluation(vectors, np.array([bits])), np.arange(8, dtype=np.float64))
    assert judged.loss == loss
    assert fixed.is_vector(judged.vector, 8)


@pytest.mark.parametrize("vector", [np.zeros(8), np.full(8, np.nan), np.full(8, np.inf)])
def test_a_vector_without_direction_never_reaches_the_chain(vector: "np.ndarray[Any, Any]") -> None:
    with pytest.raises(EncoderError):
        judge(Evaluation(np.ones((1, 8), np.float32), np.zeros(1)), vector)
