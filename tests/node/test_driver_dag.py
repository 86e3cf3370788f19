"""Drivers of four validators with consensus-dag, on virtual time: the engine and its shell, as they run together."""

from random import Random
from typing import Any

import pytest
import trio
from committee_world import address
from members_world import Town, dag

from soma_core import chain


async def going(town: Town) -> None:
    """All order together."""
    before = [member.store.tip.index for member in town.members]
    await trio.sleep(6)
    after = [member.store.tip.index for member in town.members]
    assert all(now > then + 2 for then, now in zip(before, after, strict=True)), (before, after)
    assert max(after) - min(after) <= 2, after
    town.alike()


async def test_four_order_across_epochs_and_fetch_nothing(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery, dag)
        await trio.sleep(17)
        await going(town)
        assert min(member.epoch() for member in town.members) >= 3
        assert [member.fetched for member in town.members] == [[]] * 4
        nursery.cancel_scope.cancel()


async def test_transactions_of_any_member_are_ordered_once(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery, dag)
        await trio.sleep(1)
        for sequence in range(30):
            signed = town.transfer(sequence)
            for member in town.members[sequence % 4 :: 2]:
                member.mempool.add(signed)
                member.driver.payload_ready()
            await trio.sleep(0.2)
        await trio.sleep(2)
        for member in town.members:
            sender = member.store.read(lambda state: chain.account_of(state, address(5)))
            assert sender.sequence == 30
            assert len(member.mempool) == 0
        nursery.cancel_scope.cancel()


async def test_one_that_was_away_for_epochs_takes_part_again(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery, dag)
        await trio.sleep(3)
        late = town.members[2]
        late.crash()
        await trio.sleep(25)
        nursery.start_soon(late.run)
        await trio.sleep(6)
        assert late.fetched
        fetched = len(late.fetched)
        await going(town)
        assert len(late.fetched) == fetched
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(10))
async def test_crashes_cuts_and_losses_bring_no_fork_and_no_standstill(seed: int, autojump_clock: Any) -> None:
    random = Random(seed)
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery, dag)
        slow, loss = 0.05, 0.0
        town.delay = lambda: random.uniform(0.001, slow)
        town.lost = lambda *_: random.random() < loss
        for _ in range(4):
            await trio.sleep(random.uniform(0.5, 4))
            places = random.sample(range(4), random.choice([1, 2, 4]))
            match random.choice(["crash", "cut", "loss"]):
                case "crash":
                    for place in places:
                        town.members[place].crash()
                    await trio.sleep(random.choice([0.01, 1, 12]))
                    for place in places:
                        nursery.start_soon(town.members[place].run)
                case "cut":
                    town.cut_off(*places)
                    await trio.sleep(random.choice([0.5, 3, 12]))
                    town.reconnect(*places)
                case _:
                    slow, loss = 0.3, 0.2
                    await trio.sleep(3)
                    slow, loss = 0.05, 0.0
        await trio.sleep(10)
        await going(town)
        nursery.cancel_scope.cancel()
