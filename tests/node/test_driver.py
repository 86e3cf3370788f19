"""The driver: what an engine asks is done, in order, on disk before it leaves, across epochs and restarts."""

from typing import Any

import pytest
from driver_world import BOB, Setting, drive
from ledger_world import World, key

from soma_core import api, chain
from soma_core.crypto import address_of
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
