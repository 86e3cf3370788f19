"""Encoders that a hunter compares with: opened when they are first asked, kept at hand, given back in the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from attrs import define, field

from soma_core import chain, fixed
from soma_core.config import NodeConfig
from soma_core.errors import EncoderError
from soma_core.node import borrowing
from soma_core.node.answering import Judged
from soma_core.node.borrowing import AGAIN_AFTER, COMPARED, IDLE, Borrowing


def assigned(number: int) -> chain.Assigned:
    return chain.Assigned(bytes([number]) * 32, bytes([number]) * 32, bytes(32))


@define
class Workers:
    """Which encoders are open, and what was opened ever. `missing`: those whose weights are not to be had."""

    open: list[bytes] = field(factory=list)
    opened: list[bytes] = field(factory=list)
    missing: set[bytes] = field(factory=set)
    fetched: bytes = b""

    async def files(self, encoder: bytes, _weights: bytes, _frame: bytes) -> Any:
        await trio.lowlevel.checkpoint()
        if encoder in self.missing:
            raise EncoderError("its weights are offered nowhere", "wait")
        self.fetched = encoder
        return object()

    @asynccontextmanager
    async def worker(self, *_args: object, **_options: object) -> AsyncIterator[bytes]:
        encoder = self.fetched
        self.open.append(encoder)
        self.opened.append(encoder)
        try:
            yield encoder
        finally:
            self.open.remove(encoder)


class Hosted:
    """Says whose it is."""

    def __init__(self, _plugin: object, _spec: object, worker: bytes, _genesis: object) -> None:
        self.worker = worker

    async def answer(self, _data: bytes, _seed: bytes, /) -> Judged:
        await trio.lowlevel.checkpoint()
        return Judged(fixed.quant([1, 2, 3]), self.worker[0])


class Plugins:
    def find(self, name: str) -> str:
        return name

    def spec(self, _kind: str, name: str) -> str:
        return name


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time that passes when nothing is done, threads included."""
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    made = Workers()
    monkeypatch.setattr(borrowing, "open_worker", made.worker)
    monkeypatch.setattr(borrowing, "HostedEncoder", Hosted)
    monkeypatch.setattr(borrowing, "write_files", lambda directory, _files: directory / "weights")
    return made


def lender(workers: Workers, root: Path) -> Borrowing:
    plugins: Any = Plugins()
    store: Any = type("Here", (), {"genesis": None})()
    return Borrowing(plugins, workers.files, store, store, root, NodeConfig())


async def test_an_encoder_is_opened_once_and_given_back_when_nobody_asks(
    workers: Workers, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    one = lender(workers, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            assert (await one.compare(assigned(7), b"data", bytes(32))).loss == 7
        assert workers.opened == [bytes([7]) * 32]
        await trio.sleep(1.5 * IDLE)  # it was asked in the first of these minutes
        assert workers.open == [bytes([7]) * 32]
        await trio.sleep(IDLE)
        assert workers.open == []
        await one.compare(assigned(7), b"data", bytes(32))
        assert len(workers.opened) == 2
        nursery.cancel_scope.cancel()
    assert workers.open == []


async def test_whichever_was_asked_longest_ago_makes_room(
    workers: Workers, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    one = lender(workers, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        for number in [*range(COMPARED), 0, COMPARED]:
            await one.compare(assigned(number), b"data", bytes(32))
        await trio.testing.wait_all_tasks_blocked()
        assert {encoder[0] for encoder in workers.open} == {0, *range(2, COMPARED + 1)}
        nursery.cancel_scope.cancel()


async def test_what_is_not_to_be_had_is_said_at_once_and_tried_again_later(
    workers: Workers, tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    one = lender(workers, tmp_path)
    workers.missing.add(bytes([7]) * 32)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            with pytest.raises(EncoderError, match="offered nowhere"):
                await one.compare(assigned(7), b"data", bytes(32))
        workers.missing.clear()
        with pytest.raises(EncoderError, match="offered nowhere"):
            await one.compare(assigned(7), b"data", bytes(32))
        await trio.sleep(AGAIN_AFTER + 1)
        assert (await one.compare(assigned(7), b"data", bytes(32))).loss == 7
        nursery.cancel_scope.cancel()
