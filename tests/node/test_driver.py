"""The driver: what an engine asks is done, in order, on disk before it leaves, across epochs and restarts."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from driver_world import BOB, Setting, TinyEngine, drive, transfer
from ledger_world import World, key

from soma_core import api, chain
from soma_core.crypto import address_of
from soma_core.errors import CorruptionError
from soma_core.node.driver import REMIND
from soma_core.node.mempool import AGAIN_AFTER
from soma_core.node.store import Store
from soma_core.node.threads import Thread
from soma_core.records import pack


async def test_what_an_engine_persists_is_on_disk_before_it_is_delivered_or_sent(autojump_clock: Any) -> None:
    setting = Setting()
    await drive(setting, 0.7, [], feed=1)
    kept = [line for line in setting.trace if line != "write chain"]
    assert kept[:3] == ["write records", "send commit", "applied 1"]


async def test_a_transaction_is_applied_once_and_leaves_the_pool(autojump_clock: Any) -> None:
    setting = Setting()
    applied: list[chain.Applied] = []
    store = await drive(setting, 3, applied, feed=3)
    assert len(setting.mempool) == 0
    assert [w.record.index for w in applied] == list(range(1, len(applied) + 1))
    bob = chain.account_of(store.read(lambda state: state), address_of(key(BOB).public))
    assert bob.balance == 10**12 + 3 * 7


async def test_each_epoch_has_its_engine_and_no_commit_is_lost_between(autojump_clock: Any) -> None:
    setting = Setting()
    applied: list[chain.Applied] = []
    await drive(setting, 150, applied)
    assert [engine.setup.epoch for engine in setting.engines] == [0, 1, 2]
    firsts = [engine.setup.first for engine in setting.engines]
    assert firsts[0] == 1
    assert [w.record.index for w in applied] == list(range(1, len(applied) + 1))
    epochs = {w.record.index: w.record.epoch for w in applied}
    assert [epochs[first] for first in firsts] == [0, 1, 2]
    assert all(name[:8] == (2).to_bytes(8, "big") for name in setting.records.data)


async def test_after_a_stop_at_any_point_the_next_run_goes_on(autojump_clock: Any) -> None:
    setting = Setting()
    applied: list[chain.Applied] = []
    for _ in range(40):
        await drive(setting, 1.9, applied)
    assert [w.record.index for w in applied] == list(range(1, len(applied) + 1))
    store = setting.store()
    assert store.tip.index == applied[-1].record.index


async def test_keys_from_0x80_come_back_by_load_only(autojump_clock: Any) -> None:
    setting = Setting()
    await drive(setting, 2, [])
    await drive(setting, 0.1, [])
    (start,) = [e for e in setting.seen if isinstance(e, api.Start)][1:]
    assert start.records
    assert all(name[:1] < b"\x80" for name in start.records)


async def test_a_store_refuses_another_network_and_a_damaged_state(autojump_clock: Any) -> None:
    setting = Setting()
    await drive(setting, 2, [])
    other = World(genesis=chain_with_another_name(setting.world))
    with pytest.raises(Exception, match="the data directory holds chain"):
        Store(other.genesis, other.rule, setting.ledger)
    account = bytes([0x11]) + address_of(key(BOB).public)
    setting.ledger.data[account] = pack(chain.Account(5, 0, 0))
    with pytest.raises(Exception, match="not that of commit"):
        setting.store()


def chain_with_another_name(world: World) -> Any:
    from attrs import evolve

    return evolve(world.genesis, name="another")


async def test_a_thread_hands_back_results_and_errors() -> None:
    thread = Thread("test")
    assert await thread.run(lambda a, b: a + b, 2, 3) == 5
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    thread.end()


class Again(TinyEngine):
    """Delivers its first commit once more when it starts; with `other` content, if that is set."""

    other = False

    def step(self, event: api.Event, now: int, /) -> Sequence[api.Action]:
        actions = super().step(event, now)
        if isinstance(event, api.Start) and event.applied:
            again = api.Commit(1, bytes([self.other]) * 32, 0, 1, 0, (), b"")
            return [api.Deliver(again), *actions]
        return actions


async def test_a_commit_that_the_chain_has_is_passed_over(autojump_clock: Any) -> None:
    setting = Setting()
    applied: list[chain.Applied] = []
    await drive(setting, 2, applied)
    setting.engine = Again
    await drive(setting, 2, applied)
    assert [w.record.index for w in applied] == list(range(1, len(applied) + 1))


async def test_an_engine_that_orders_otherwise_than_the_chain_ends_the_node(autojump_clock: Any) -> None:
    setting = Setting()
    await drive(setting, 2, [])
    setting.engine = type("Other", (Again,), {"other": True})
    with pytest.raises(BaseExceptionGroup) as raised:
        await drive(setting, 2, [])
    assert raised.group_contains(CorruptionError, match="ordered another commit 1", depth=1)


class Forgetful(TinyEngine):
    """Orders only what it is told of, and forgets the first payload it is given."""

    forgets = True

    def step(self, event: api.Event, now: int, /) -> Sequence[api.Action]:
        if isinstance(event, api.Timer):
            return []
        if isinstance(event, api.Payload) and self.forgets:
            self.forgets = False
            return []
        return super().step(event, now)


async def test_what_was_pulled_and_never_ordered_is_offered_again(autojump_clock: Any) -> None:
    setting = Setting(engine=Forgetful)
    setting.mempool.add(transfer(setting, 0))
    driver = setting.driver(setting.store(), [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await trio.sleep((AGAIN_AFTER - 100) / 1000)
        assert len(setting.mempool) == 1
        await trio.sleep(REMIND + 1)
        assert len(setting.mempool) == 0
        nursery.cancel_scope.cancel()


async def test_bytes_without_an_epoch_and_of_no_known_epoch_go_nowhere(autojump_clock: Any) -> None:
    setting = Setting()
    driver = setting.driver(setting.store(), [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await trio.sleep(0.1)
        for message in (b"", bytes(7), (1 << 60).to_bytes(8, "big") + b"x", bytes(8) + b"heard"):
            await driver.received(key(101).public, message)
        await trio.sleep(0.1)
        assert [e for e in setting.seen if isinstance(e, api.Received)] == [api.Received(0, b"heard")]
        nursery.cancel_scope.cancel()


async def test_what_an_engine_asked_for_when_its_epoch_ended_is_left_to_the_next(autojump_clock: Any) -> None:
    setting = Setting()
    setting.mempool.add(transfer(setting, 0))
    driver = setting.driver(setting.store(), [])
    payload, more = await driver.payload(7, api.Pull(1 << 20, 1))
    assert (payload.items, more) == ((), False)
    payload, _ = await driver.payload(0, api.Pull(1 << 20, 1))
    assert len(payload.items) == 1
