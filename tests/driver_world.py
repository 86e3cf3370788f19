"""A driver for tests: a tiny engine, ledgers in dictionaries, the chain of `ledger_world`, and no processes."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from attrs import define, field
from ledger_world import DictReader, World, key

from soma_core import api, chain
from soma_core.crypto import address_of
from soma_core.node.driver import Driver
from soma_core.node.mempool import Mempool
from soma_core.node.outside import Outside
from soma_core.node.store import Store
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
    engine: type[TinyEngine] = TinyEngine
    ledger: DictLedger = field(init=False)
    records: DictLedger = field(init=False)
    clock: Callable[[], int] = lambda: 1_000_000 + int(trio.current_time() * 1000)

    def __attrs_post_init__(self) -> None:
        self.ledger = DictLedger("chain", self.trace)
        self.records = DictLedger("records", self.trace)

    def send(self, node: bytes, message: bytes) -> None:
        self.trace.append(f"send {message[8:].decode()}")

    def store(self) -> Store:
        return Store(self.world.genesis, self.world.rule, self.ledger)

    async def system(self, epoch: int, round_: int) -> bytes:
        links = self.world._chain(epoch)
        anchors = tuple((e, self.world._chain(e).anchor) for e in (epoch, epoch + 1))
        return pack(chain.System(link=links.link(round_), anchors=anchors, signatures=()))

    def open(self, setup: api.Setup) -> api.Engine:
        self.engines.append(self.engine(setup, self.seen, self.trace))
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
                verify_thread=InlineThread(),  # type: ignore[arg-type]
                mempool=self.mempool,
                peers=self,
                signing=None,  # type: ignore[arg-type]  # this engine signs nothing
                key=key(100).public,
                open=self.open,
                system=self.system,
                applied=note,
                now=self.clock,
            )
        )


async def quiet(_applied: chain.Applied, _fetched: bool) -> None:  # noqa: FBT001  # as `Applying` says it
    """Nobody is told."""


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
