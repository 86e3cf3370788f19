"""Encoders that a node borrows for a hunt: those that most of the open targets are assigned to, for as long."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing
from lending_world import Store, Workers, assigned, lender

from soma_core.errors import EncoderError, RefusedError
from soma_core.node.borrowing import AGAIN_AFTER, LOOK_EVERY, MOST, Borrowing
from soma_core.node.racing import OwnEncoder


@pytest.fixture
def clock(autojump_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time that passes when nothing is done, threads included."""
    autojump_clock.autojump_threshold = 0.05
    return autojump_clock


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    return Workers().stand_in(monkeypatch)


@pytest.fixture
def store() -> Store:
    return Store()


@asynccontextmanager
async def lending(workers: Workers, root: Path, store: Store) -> AsyncIterator[Borrowing]:
    one = lender(workers, root, store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.testing.wait_all_tasks_blocked()
        yield one
        nursery.cancel_scope.cancel()


def numbers(encoders: tuple[OwnEncoder, ...]) -> list[int]:
    return [encoder.address[0] for encoder in encoders]


async def test_those_of_most_targets_are_borrowed_and_no_others(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    store.target(0, 5, 6)
    store.target(1, 6, 7)
    store.target(2, 7, 8)
    store.target(3, 9, 9, epoch=2)  # of an epoch that is over
    store.target(4, 9, 9, closed=True)  # hit
    async with lending(workers, tmp_path, store) as one:
        found = await one.encoders()
        assert numbers(found) == [6, 7]
        assert len(found) == MOST
        judged = [await encoder.encoder.answer(b"data", bytes(32)) for encoder in found]
        assert [each.loss for each in judged] == [6, 7]
        assert numbers(await one.encoders()) == [6, 7]
        assert len(workers.opened) == MOST  # they were at hand
    assert workers.open == []


async def test_who_is_assigned_no_more_is_given_back_and_kept_while_no_target_is_open(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    store.target(0, 5)
    async with lending(workers, tmp_path, store) as one:
        (early,) = await one.encoders()
        store.target(0, 5, closed=True)
        assert numbers(await one.encoders()) == [5]
        store.target(1, 6)
        assert numbers(await one.encoders()) == [6]
        await trio.testing.wait_all_tasks_blocked()
        assert workers.open == [bytes([6]) * 32]
        with pytest.raises(EncoderError, match="not at hand any more"):
            await early.encoder.answer(b"data", bytes(32))


async def test_new_weights_are_another_loan(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    store.target(0, 5)
    async with lending(workers, tmp_path, store) as one:
        await one.encoders()
        store.target(0, 5)
        await one.compare(assigned(5), b"data", bytes(32))
        assert len(workers.opened) == 1  # what is borrowed is compared with too
        await one.compare(assigned(6), b"data", bytes(32))
        store.target(0, 6)
        assert numbers(await one.encoders()) == [6]
        assert len(workers.opened) == 2  # and the other way round


async def test_a_target_that_opens_soon_is_waited_for(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    async with lending(workers, tmp_path, store) as one, trio.open_nursery() as nursery:

        async def later() -> None:
            await trio.sleep(3 * LOOK_EVERY)
            store.target(0, 5)

        nursery.start_soon(later)
        assert numbers(await one.encoders()) == [5]


async def test_without_a_target_nothing_can_be_borrowed(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    async with lending(workers, tmp_path, store) as one:
        with pytest.raises(RefusedError, match="no target is open"):
            await one.encoders()
    assert workers.opened == []


async def test_what_is_missing_is_left_out_and_tried_again_later(
    workers: Workers, tmp_path: Path, store: Store, clock: trio.testing.MockClock
) -> None:
    store.target(0, 5, 6)
    workers.missing |= {bytes([5]) * 32, bytes([6]) * 32}
    async with lending(workers, tmp_path, store) as one:
        with pytest.raises(RefusedError, match="offered nowhere"):
            await one.encoders()
        workers.missing.clear()
        await trio.sleep(AGAIN_AFTER + 1)
        workers.missing.add(bytes([6]) * 32)
        assert numbers(await one.encoders()) == [5]
