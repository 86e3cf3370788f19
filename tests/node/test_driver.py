"""The driver: what an engine asks is done, in order, on disk before it leaves, across epochs and restarts."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from attrs import define, field
from ledger_world import DictReader, World, key

from soma_core import api, chain
from soma_core.crypto import address_of
from soma_core.node.driver import Driver, Outside
from soma_core.node.mempool import Mempool
from soma_core.node.store import Store
from soma_core.node.threads import Thread
from soma_core.records import pack

ALICE, BOB = 5, 6


class DictLedger(DictReader):
    """A ledger in a dictionary that notes every write in a shared trace."""

    def __init__(self, name: str, trace: list[str]) -> None:
        super().__init__()
        self.name, self.trace = name, trace

    def write(self, batch: Any, /) -> None:
        self.trace.append(f"write {self.name}")
        for name, value in batch.items():
            if value is None:
                self.data.pop(name, None)
            else:
                self.data[name] = value

    def close(self) -> None:
        self.data.clear()


@define
class TinyEngine:
    """Orders whatever is there, a commit a pull; keeps each commit under its index until it is applied."""

    setup: api.Setup
    seen: list[api.Event]
    trace: list[str]
    next: int = 0
    barrier: int = 0
    round: int = 0

    def step(self, event: api.Event, now: int, /) -> Sequence[api.Action]:
        self.seen.append(event)
        match event:
            case api.Start(records, applied):
                self.next = applied + 1
                self.round = self.next - self.setup.first
                assert all(key[:1] < b"\x80" for key in records)
                return [api.SetTimer("idle", now + 500)]
            case api.PayloadReady() | api.Timer():
                return [api.Pull(1 << 20, self.round + 1), api.SetTimer("idle", now + 500)]
            case api.Payload(items, system):
                self.barrier += 1
                self.round += 1
                commit = api.Commit(
                    self.next, bytes(32), now, self.round, 0, tuple((0, item) for item in items), system
                )
                self.next += 1
                name = commit.index.to_bytes(8, "big")
                return [
                    api.Deliver(commit, after=self.barrier),
                    api.Send((0,), b"commit", after=self.barrier),
                    api.Persist(self.barrier, {name: b"x", b"\x80" + name: b"y"}),
                    api.Note("commits", commit.index),
                ]
        return []

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes, /) -> None:
        raise NotImplementedError


@define
class Setting:
    """Everything around a driver, without processes."""

    world: World = field(factory=World)
    trace: list[str] = field(factory=list)
    engines: list[TinyEngine] = field(factory=list)
    seen: list[api.Event] = field(factory=list)
    mempool: Mempool = field(factory=Mempool)
    ledger: DictLedger = field(init=False)
    records: DictLedger = field(init=False)
    clock: Callable[[], int] = lambda: 1_000_000 + int(trio.current_time() * 1000)

    def __attrs_post_init__(self) -> None:
        self.ledger = DictLedger("chain", self.trace)
        self.records = DictLedger("records", self.trace)

    def send(self, place: int, message: bytes) -> None:
        self.trace.append(f"send {message.decode()}")

    def store(self) -> Store:
        return Store(self.world.genesis, self.world.rule, self.ledger)

    async def system(self, epoch: int, round_: int) -> bytes:
        links = self.world._chain(epoch)
        anchors = tuple((e, self.world._chain(e).anchor) for e in (epoch, epoch + 1))
        return pack(chain.System(link=links.link(round_), anchors=anchors, signatures=()))

    def open(self, setup: api.Setup) -> api.Engine:
        self.engines.append(TinyEngine(setup, self.seen, self.trace))
        return self.engines[-1]

    def driver(self, store: Store, applied: list[chain.Applied]) -> Driver:
        async def note(what: chain.Applied) -> None:
            applied.append(what)
            self.trace.append(f"applied {what.record.index}")

        return Driver(
            Outside(
                store=store,
                store_thread=InlineThread(),  # type: ignore[arg-type]  # the same calls, in this thread
                records=self.records,
                records_thread=InlineThread(),  # type: ignore[arg-type]
                mempool=self.mempool,
                peers=self,
                signing=None,  # type: ignore[arg-type]  # this engine signs nothing
                me=0,
                committee=(api.Member(key(100).public, 1),),
                open=self.open,
                system=self.system,
                applied=note,
                now=self.clock,
            )
        )


class InlineThread:
    """Does the work at once, so that the virtual clock never waits for a real thread."""

    async def run(self, work: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)


def transfer(setting: Setting, sequence: int) -> chain.SignedTransaction:
    action = chain.Transfer(address_of(key(BOB).public), 7)
    return chain.parse_wire(setting.world.transaction(ALICE, "transfer", action, sequence=sequence, expiry=100))


async def drive(setting: Setting, seconds: float, applied: list[chain.Applied], *, feed: int = 0) -> Store:
    store = setting.store()
    driver = setting.driver(store, applied)
    for sequence in range(feed):
        setting.mempool.add(transfer(setting, sequence))
    with trio.move_on_after(seconds):
        await driver.run()
    return store


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
