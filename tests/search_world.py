"""A chain for tests whose commits settle what the test says, and an index in NumPy that a test can make fail or kill.

The store, the ledger, receipts and everything of the node around the index are the real ones.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from attrs import define, evolve, field
from audit_world import WINDOW, audited, deliver, hear_all
from driver_world import DictLedger, InlineThread
from ledger_world import DIM, PlainRule, make_genesis, unit

from soma_core import chain, codec, fixed
from soma_core.api import Commit, Context, Hit, IndexSpec, IndexStats, NoConfig
from soma_core.chain import lthash
from soma_core.crypto import digest
from soma_core.node import indexing
from soma_core.node.components import IndexOpener
from soma_core.node.events import Hub
from soma_core.node.indexing import Indexing
from soma_core.node.store import Store
from soma_core.plugins import Plugin
from soma_core.records import pack, unpack

GENESIS = make_genesis()
USER = b"\5" * 32


def job_name(number: int) -> bytes:
    return digest("soma/job", number.to_bytes(8, "big"))


def vector_of(seed: int) -> bytes:
    return fixed.vector_bytes(unit(seed))


def receipt_of(number: int, seed: int | None, index: int, **changes: Any) -> chain.JobReceipt:
    """Of job `number`; `seed` makes its vector, None means that it was refunded."""
    receipt = chain.JobReceipt(
        job=job_name(number),
        blob=digest("soma/blob", number.to_bytes(8, "big")),
        size=100 + number,
        requester=USER,
        nonce=0,
        epoch=3,
        time=1_000_000 + index,
        outcome="refunded" if seed is None else "settled",
        why="",
        final=False,
        due=0,
        sampled=False,
        dimension=DIM,
        vector=b"" if seed is None else vector_of(seed),
        shard=(),
        winner="" if seed is None else f"e{seed % 3}",
        weakest="",
        pot=0,
        commission=0,
        payments=(),
    )
    return evolve(receipt, **changes)


def scripted(_genesis: Any, _rule: Any, reader: Any, tip: chain.Tip, commit: Commit) -> chain.Applied:
    """What a commit comes to whose one item lists (job, seed of its vector or None)."""
    noise = chain.TransactionReceipt(id=bytes(32), sender=USER, sequence=commit.index, fee=1, code="")
    receipts, changes = [pack(noise)], {}
    for number, seed in codec.decode(commit.items[0][1]):  # type: ignore[union-attr, misc]
        receipt = receipt_of(number, seed, commit.index)  # type: ignore[arg-type]
        done = chain.DONE.record(outcome=receipt.outcome, index=commit.index, place=len(receipts))
        key = chain.DONE.key(receipt.job)
        changes[key] = (reader.get(key), pack(done))
        receipts.append(pack(receipt))
    record = chain.CommitRecord(
        index=commit.index,
        previous=tip.record,
        commit=commit.digest,
        time=commit.time,
        epoch=tip.epoch,
        receipts=bytes(32),
        state=bytes(32),
        committee=bytes(32),
    )
    after = chain.Tip(
        index=commit.index,
        record=chain.record_digest(record),
        time=commit.time,
        epoch=tip.epoch,
        lthash=lthash.updated(tip.lthash, changes),
    )
    return chain.Applied(record=record, tip=after, receipts=tuple(receipts), events=(), changes=changes)


class Killed(BaseException):
    """The process is gone; what it does while it unwinds reaches no disk."""


@define
class Machine:
    """What outlives a process. `events`: writes of index and position; the process is killed at the one named by `die`.

    A write is there or not when the process dies at it: the sign of `die` says which.
    """

    ledger: DictLedger = field(factory=lambda: DictLedger("chain", []))
    vectors: dict[bytes, tuple[bytes, dict[str, Any]]] = field(factory=dict)
    events: int = 0
    die: int = 0
    dead: bool = False
    added: int = 0

    def write(self, change: Callable[[], object]) -> None:
        if self.dead:
            raise Killed
        self.events += 1
        self.dead = self.events == abs(self.die)
        if not self.dead or self.die > 0:
            change()
        if self.dead:
            raise Killed


@define
class Twin:
    """An exact index. `held` is the disk's where it is durable, else its own. `faults`: raised by coming writes."""

    machine: Machine
    held: dict[bytes, tuple[bytes, dict[str, Any]]]
    faults: list[BaseException | None] = field(factory=list)
    calls: list[str] = field(factory=list)
    strangers: list[Hit] = field(factory=list)
    before: Callable[[str], None] = lambda _name: None

    def _begin(self, name: str) -> None:
        self.calls.append(name)
        self.before(name)
        if name in ("add", "remove") and self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault

    def add(self, ids: Sequence[bytes], vectors: Any, labels: Any = None, /) -> None:
        self._begin("add")
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(ids), DIM)
        assert len(set(ids)) == len(ids) == len(labels)
        self.machine.added += len(ids)
        rows = {i: (row.tobytes(), dict(label)) for i, row, label in zip(ids, vectors, labels, strict=True)}
        self.machine.write(lambda: self.held.update(rows))

    def remove(self, ids: Sequence[bytes], /) -> int:
        self._begin("remove")
        there = [i for i in ids if i in self.held]
        self.machine.write(lambda: [self.held.pop(i) for i in there])
        return len(there)

    def search(self, queries: Any, k: int, where: Any = None, /) -> list[list[Hit]]:
        self._begin("search")
        found = []
        for query in queries:
            hits = list(self.strangers)
            for name, (data, labels) in self.held.items():
                if (where or {}).items() <= labels.items():
                    row = np.frombuffer(data, np.float32)
                    cosine = float(row @ query / np.linalg.norm(row) / np.linalg.norm(query))
                    hits.append(Hit(name, cosine, labels))
            found.append(sorted(hits, key=lambda hit: (-hit.similarity, hit.id))[:k])
        return found

    def __len__(self) -> int:
        self._begin("__len__")
        return len(self.held)

    def stats(self) -> IndexStats:
        return IndexStats(count=len(self.held), dim=DIM, recall=1.0, sampled=0)

    def close(self) -> None:
        self._begin("close")


def opener(make: Callable[[], Any], directory: Path, *, durable: bool = True) -> IndexOpener:
    """The index that `make` gives, as if a plugin were called index-twin."""
    spec = IndexSpec(
        api=1, config=NoConfig, open=lambda _config, _context: make(), features={"durable"} if durable else ()
    )
    plugin = Plugin("index-twin", "soma_twin", "soma-twin", "1", "soma-core")
    return IndexOpener(plugin, spec, NoConfig(), Context("index-twin", directory, logging.getLogger("index-twin")))


class InlineIndexThread(InlineThread):
    """The index's thread, in this one."""

    run_or_leave = InlineThread.run


def inline(patch: pytest.MonkeyPatch, machine: Machine) -> None:
    """No real threads for the index, and no real disk for a dead machine."""
    durably = indexing.write_durably

    @asynccontextmanager
    async def open_thread(_name: str) -> Any:
        yield InlineIndexThread()

    def write(path: Path, data: bytes) -> None:
        machine.write(lambda: durably(path, data))

    async def run_sync(work: Callable[..., Any], *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return work(*arguments)

    patch.setattr(indexing, "open_thread", open_thread)
    patch.setattr(indexing, "write_durably", write)
    patch.setattr(trio.to_thread, "run_sync", run_sync)


@define
class Life:
    """A node from its start to its end: the real store and index, on what is left of a machine."""

    machine: Machine
    directory: Path
    twin: Twin
    durable: bool = True
    make: Callable[[], Any] | None = None
    chain_thread: Any = field(factory=InlineThread)
    store: Store = field(init=False)
    hub: Hub = field(factory=Hub)
    indexing: Indexing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store = Store(GENESIS, PlainRule(), self.machine.ledger, scripted)
        made = opener(self.make or (lambda: self.twin), self.directory / "twin", durable=self.durable)
        self.indexing = Indexing(made, self.directory, self.store, self.chain_thread, self.hub)

    def commit(self, *settled: tuple[int, int | None], told: bool = True) -> None:
        """Apply the next commit; the node hears of it, or is killed first."""
        tip = self.store.tip
        item = codec.encode([list(pair) for pair in settled])
        commit = Commit(tip.index + 1, bytes(32), tip.time + 20, tip.index + 1, 0, ((0, item),), b"")
        applied = self.store.apply(commit)
        if told:
            self.hub.publish(applied)

    async def caught_up(self) -> None:
        while self.indexing.status.behind or self.indexing.status.state != indexing.READY:
            await self.indexing._moved.wait()


def live(machine: Machine, directory: Path, *, durable: bool = True, **changes: Any) -> Life:
    """A node that starts. An index that is not durable begins empty."""
    twin = Twin(machine, machine.vectors if durable else {})
    return Life(machine, directory, twin, durable=durable, **changes)


def expected(store: Store) -> dict[bytes, bytes]:
    """What an index must hold, job by job: float32 vectors, from the ledger alone."""

    def look(state: chain.State) -> dict[bytes, bytes]:
        found = {}
        for job, done in state.scan(chain.DONE):
            receipt = unpack(chain.JobReceipt, store.leaves(done.index)[done.place])
            if receipt.vector:
                found[job] = fixed.vector_from_bytes(receipt.vector, DIM).astype(np.float32).tobytes()
        return found

    return store.read(look)


def vectors(held: Iterable[tuple[bytes, tuple[bytes, Any]]]) -> dict[bytes, bytes]:
    return {job: data for job, (data, _) in held}


def audited_chain() -> tuple[Store, list[bytes]]:
    """A store after two jobs of the real rules, of which a verdict changed the second's vector; and the jobs."""
    world = audited()
    honest, _ = deliver(world)
    lied, _ = deliver(world, liars=1, nonce=1)
    before = world.state.need(chain.DONE, lied)
    hear_all(world, lied)
    world.step(after=WINDOW + 1)
    world.step(after=WINDOW + 1)
    assert world.state.need(chain.DONE, lied) != before
    store = Store(world.genesis, PlainRule(), DictLedger("chain", []))
    for commit in world.commits:
        store.apply(commit)
    assert store.tip == world.tip
    return store, [honest, lied]
