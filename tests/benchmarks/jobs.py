"""Settled jobs per second of the chain on ``ledger-sqlite`` with ``scoring-soma``, against a bare loop.

64 jobs in four waves of 16, each with seven answers of 128 numbers, in commits made beforehand with their own virtual
time: no pacing, no network, no encoder counts. Ours is `Store.apply`, all a validator does with an ordered commit. The
bare loop does the same primitives on the same bytes with nothing around them: strict decoding of every item, the id and
one signature check of every transaction, the beacon's link and the record's signature, the rule's draws and settlements
with their arguments at hand, one encoding of each record that changed, the state sum over what changed, the Merkle
root, and the same rows in one synced transaction of `sqlite3`.
"""

import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import evolve, field, frozen
from benchmarks.harness import Row, interleaved
from benchmarks.ledger import PUT, bare
from ledger_world import World, key, make_genesis

from soma_core import chain, codec, fixed
from soma_core.api import Commit, LedgerContext
from soma_core.chain.lthash import updated
from soma_core.chain.receipts import leaf_hash, record_digest, root
from soma_core.crypto import address_of, digest, signing_digest, verify
from soma_core.genesis import Allocation, Encoder, Genesis
from soma_core.node.store import Store
from soma_scoring import Params, open_rule
from soma_sqlite import SqliteConfig, open_ledger

WAVES: Final = 4
WAVE: Final = 16
"""Jobs that are at the same stage."""
WAITING: Final = (0, 256)
"""Jobs that are open meanwhile and wait for their data."""
ENCODERS: Final = 12
DIM: Final = 128
REPEATS: Final = 9
USER: Final = 40
SALT: Final = digest("soma/chunk", b"salt")


def address(number: int) -> bytes:
    return address_of(key(number).public)


def genesis() -> Genesis:
    """A validator, whose account is 0, twelve encoders and a submitter who can pay."""
    random = np.random.default_rng(0)
    return evolve(
        make_genesis(dimension=DIM, shard_size=7, epoch_ms=86_400_000),
        allocations=tuple(Allocation(address=address(i), balance=10**15) for i in (*range(ENCODERS + 1), USER)),
        encoders=tuple(
            Encoder(
                name=f"e{i}",
                account=address(i),
                stake=10**11,
                weights=bytes([i]) * 32,
                frame=bytes([i]) * 32,
                architecture="byte-transformer-1",
            )
            for i in range(1, ENCODERS + 1)
        ),
        references=tuple(fixed.vector_bytes(fixed.quantise(random.normal(size=DIM))) for _ in range(40)),
    )


@frozen
class Remembered:
    """A scoring rule that keeps what it was asked."""

    rule: Any
    asked: list[tuple[str, tuple[Any, ...]]] = field(factory=list)

    def draw(self, *arguments: Any) -> Any:
        self.asked.append(("draw", arguments))
        return self.rule.draw(*arguments)

    def settle(self, *arguments: Any) -> Any:
        self.asked.append(("settle", arguments))
        return self.rule.settle(*arguments)


@frozen
class Work:
    """One commit, and the primitives it came to."""

    commit: Commit
    applied: chain.Applied
    asked: Sequence[tuple[str, tuple[Any, ...]]]
    records: Sequence[Any]
    batch: Mapping[bytes, bytes | None]


class Scene:
    """A world that plays the jobs and remembers every commit."""

    def __init__(self, seed: int, waiting: int, wave: int = WAVE) -> None:
        self.rule = Remembered(open_rule(Params()))
        self.world = World(genesis(), self.rule)
        self.random = np.random.default_rng(seed)
        self.commits: list[Commit] = []
        self.settled = 0
        self.applied: list[chain.Applied] = []
        self.asked: list[list[tuple[str, tuple[Any, ...]]]] = []
        for start in range(0, waiting, 32):
            self.step(*(self.request(1_000_000 + start + i) for i in range(32)))
        self.step()
        self.prologue = len(self.commits)
        for first in range(0, WAVES * wave, wave):
            self.wave(range(first, first + wave))

    def request(self, nonce: int) -> bytes:
        blob = digest("soma/blob", nonce.to_bytes(8, "big"))
        return self.world.transaction(
            USER, "request_embedding", chain.RequestEmbedding(blob=blob, size=4096, nonce=nonce)
        )

    def step(self, *payloads: bytes) -> chain.Applied:
        world = self.world
        index = world.tip.index + 1
        commit = Commit(
            index=index,
            digest=digest("soma/commit", index.to_bytes(8, "big")),
            time=world.tip.time + 20,
            round=index,
            leader=0,
            items=tuple((0, payload) for payload in payloads),
            leader_system=world.system(index),
        )
        applied = chain.apply(world.genesis, self.rule, world.reader, world.tip, commit)
        for name, (_, now) in applied.changes.items():
            if now is None:
                del world.reader.data[name]
            else:
                world.reader.data[name] = now
        world.trace.append(applied)
        assert {outcome for outcome, _ in world.outcomes(applied)} <= {"applied"}
        self.settled += sum(isinstance(e, chain.Settled) and e.outcome == "settled" for e in applied.events)
        self.commits.append(commit)
        self.applied.append(applied)
        self.asked.append(list(self.rule.asked))
        self.rule.asked.clear()
        return applied

    def wave(self, nonces: Sequence[int]) -> None:
        asked = self.step(*map(self.request, nonces))
        jobs = [event.job for event in asked.events if isinstance(event, chain.DataWanted)]
        self.step(*(self.world.transaction(0, "attest_data", chain.AttestData(job)) for job in jobs))
        drawn = [event for event in self.step().events if isinstance(event, chain.ShardDrawn)]
        numbers = {address(i): i for i in range(1, ENCODERS + 1)}
        seals, shows = [], []
        for event in drawn:
            middle = self.random.normal(size=DIM)
            for encoder in event.encoders:
                vector = fixed.vector_bytes(fixed.quantise(middle + self.random.normal(size=DIM) / 2))
                loss = int(self.random.integers(2 << 16, 4 << 16))
                sealed = chain.commitment(event.job, encoder, SALT, loss, vector)
                seals.append((numbers[encoder], chain.CommitEmbedding(job=event.job, commitment=sealed)))
                shows.append(
                    (numbers[encoder], chain.RevealEmbedding(job=event.job, salt=SALT, loss=loss, vector=vector))
                )
        self.step(*(self.world.transaction(number, "commit_embedding", action) for number, action in seals))
        self.step(*(self.world.transaction(number, "reveal_embedding", action) for number, action in shows))
        self.step()

    def work(self, batches: Sequence[Mapping[bytes, bytes | None]]) -> list[Work]:
        """What the bare loop is given: everything at hand that it need not find."""
        return [
            Work(
                commit,
                applied,
                asked,
                [codec.decode(now) for _, now in applied.changes.values() if now is not None],
                batch,
            )
            for commit, applied, asked, batch in zip(self.commits, self.applied, self.asked, batches, strict=True)
        ]


class Watched:
    """A ledger that keeps every batch that is written through it."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.batches: list[Mapping[bytes, bytes | None]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        self.batches.append(batch)
        self._ledger.write(batch)


def ledger_in(directory: str) -> Any:
    return open_ledger(SqliteConfig(), LedgerContext("ledger-sqlite", Path(directory), logging.getLogger(), "node"))


def ours(scene: Scene) -> float:
    """Jobs settled per second."""
    with tempfile.TemporaryDirectory() as directory, closing(ledger_in(directory)) as ledger:
        store = Store(scene.world.genesis, scene.rule.rule, ledger)
        for commit in scene.commits[: scene.prologue]:
            store.apply(commit)
        start = time.perf_counter()
        for commit in scene.commits[scene.prologue :]:
            store.apply(commit)
        took = time.perf_counter() - start
        assert store.tip == scene.world.tip
    return scene.settled / took


def loop(scene: Scene, work: Sequence[Work]) -> float:
    """The same by the bare loop."""
    with tempfile.TemporaryDirectory() as directory, closing(bare(Path(directory, "bare.sqlite"))) as connection:
        for piece in work[: scene.prologue]:
            connection.executemany(PUT, [(k, v) for k, v in piece.batch.items() if v is not None])
        lthash = work[scene.prologue - 1].applied.tip.lthash
        start = time.perf_counter()
        for piece in work[scene.prologue :]:
            lthash = primitives(scene, piece, lthash)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(PUT, [(k, v) for k, v in piece.batch.items() if v is not None])
            connection.executemany(
                "DELETE FROM entries WHERE key = ?", [(k,) for k, v in piece.batch.items() if v is None]
            )
            connection.execute("COMMIT")
        took = time.perf_counter() - start
        assert lthash == scene.world.tip.lthash
    return scene.settled / took


def primitives(scene: Scene, work: Work, lthash: bytes) -> bytes:
    network = scene.world.genesis.chain
    validator = scene.world.genesis.validators[0].key
    for _, payload in work.commit.items:
        unsigned, signature = codec.decode(payload)
        fields = codec.decode(unsigned)
        digest("soma/tx", unsigned)
        assert verify(fields["key"], signing_digest("soma/tx", network, fields["expiry"], unsigned), signature)
    system = codec.decode(work.commit.leader_system)
    digest("soma/beacon", system["link"])
    ((_, signature),) = (tuple(s.values()) if isinstance(s, dict) else s for s in system["signatures"])
    verify(validator, signing_digest("soma/checkpoint", network, 0, work.applied.record.previous), signature)
    for name, arguments in work.asked:
        getattr(scene.rule.rule, name)(*arguments)
    for record in work.records:
        codec.encode(record)
    root([leaf_hash(receipt) for receipt in work.applied.receipts])
    record_digest(work.applied.record)
    return updated(lthash, work.applied.changes)


def rows(seed: int) -> list[Row]:
    out = []
    for waiting in WAITING:
        scene = Scene(seed, waiting)
        assert scene.settled == WAVES * WAVE
        with tempfile.TemporaryDirectory() as directory, closing(ledger_in(directory)) as ledger:
            watched = Watched(ledger)
            store = Store(scene.world.genesis, scene.rule.rule, watched)
            for commit in scene.commits:
                store.apply(commit)
        work = scene.work(watched.batches[1:])  # the first founds the network
        taken = interleaved({"ours": lambda s=scene: ours(s), "bare": lambda s=scene, w=work: loop(s, w)}, REPEATS)
        ratio, low, high = taken.ratio("ours", "bare")
        out.append(
            Row(
                what=f"jobs: settled, shards of 7, {waiting} others open",
                measured=f"chain on ledger-sqlite, {taken.median('ours'):,.0f} jobs/s",
                against=f"bare loop over the same primitives, {taken.median('bare'):,.0f} jobs/s",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
            )
        )
    return out
