"""Encoders that a hunter compares with: opened when they are first asked, kept at hand, given back in the end."""

from pathlib import Path

import pytest
import trio
import trio.testing
from lending_world import Workers, assigned, lender

from soma_core.errors import EncoderError
from soma_core.node.borrowing import AGAIN_AFTER, COMPARED, IDLE


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time that passes when nothing is done, threads included."""
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    return Workers().stand_in(monkeypatch)


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
