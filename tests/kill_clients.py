"""Clients of nodes that are being killed: they write down what they were promised, and see whether it was kept."""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final

from attrs import define, field, frozen
from kill_world import Member

from soma_core import chain, codec
from soma_core.api import LedgerContext, control
from soma_core.chain.proofs import load
from soma_core.cli._client import Node, RemoteError
from soma_core.errors import UnreachableError
from soma_core.genesis import Genesis, read
from soma_core.node.components import scoring_of
from soma_core.node.store import Store, unpack_commit
from soma_core.plugins import Plugins
from soma_core.records import structure, unpack

FINISH_LIMIT: Final = 100.0
"""Seconds until any answer, or the end of the connection."""
JOBS_MOST: Final = 8
"""Jobs of one client that may be under way."""


@define(eq=False)
class Transfer:
    """Money to a fresh address. `said`: ``applied``, ``failed``, or ``nothing`` where no answer came."""

    to: bytes = field(repr=bytes.hex)
    amount: int
    said: str = "nothing"
    id: bytes | None = field(default=None, repr=False)


@define(eq=False)
class Job:
    """A job that a node said there is. `paid`: how many answers said that this request paid for it."""

    key: bytes
    since: float
    paid: int = 0
    outcome: str = ""
    receipt: bytes = b""


@frozen
class Fault:
    """A promise that was broken. `kind`: ``lost`` or ``double``."""

    kind: str
    what: str


@define(eq=False)
class Promises:
    """What all clients were told. Used by several threads."""

    transfers: list[Transfer] = field(factory=list)
    jobs: dict[bytes, Job] = field(factory=dict)
    refused: Counter[str] = field(factory=Counter)
    _lock: threading.Lock = field(factory=threading.Lock)

    def intend(self, to: bytes, amount: int) -> Transfer:
        """Before it is sent: whatever happens then, this much at most may arrive."""
        with self._lock:
            transfer = Transfer(to, amount)
            self.transfers.append(transfer)
            return transfer

    def job(self, key: bytes, *, paid: bool) -> Job:
        """A node has answered that this job is there."""
        with self._lock:
            job = self.jobs.setdefault(key, Job(key, time.monotonic()))
            job.paid += paid
            return job

    @property
    def open(self) -> list[Job]:
        """Jobs whose receipt was not seen yet."""
        with self._lock:
            return [job for job in self.jobs.values() if not job.outcome]

    def check(self, node: Node, genesis: Genesis, last: int | None = None) -> list[Fault]:
        """Hold the chain at `node` against the last so many transfers, and all jobs that were open when last asked."""
        faults = [fault for job in self.open for fault in self._follow(node, genesis, job)]
        with self._lock:
            transfers = [(t, t.said) for t in self.transfers[-last if last else 0 :]]
        for transfer, said in transfers:
            held = node.ask(control.BALANCE, control.AskBalance(transfer.to)).balance
            right = {"applied": {transfer.amount}, "failed": {0}}.get(said, {0, transfer.amount})
            if held not in right:
                kind = "lost" if held < transfer.amount else "double"
                faults.append(Fault(kind, f"{transfer}: {held} is there"))
        return faults

    def _follow(self, node: Node, genesis: Genesis, job: Job) -> list[Fault]:
        reply, receipt = node.ask_with_payload(control.WAIT_JOB, control.WaitJob(job=job.key, seen="", wait_ms=0))
        if reply.stage == "unknown":
            return [Fault("lost", f"job {job.key.hex()} is not there")]
        if not receipt:
            return []
        said = chain.verify_receipt(load(receipt), genesis)
        job.outcome, job.receipt = said.outcome, receipt
        return [] if job.paid <= 1 else [Fault("double", f"job {job.key.hex()} was paid {job.paid} times")]


class Client(threading.Thread):
    """Sends money and asks for embeddings through one node until it is stopped, whatever becomes of the node."""

    def __init__(self, directory: Path, promises: Promises, files: Path, seed: int, pause: float) -> None:
        super().__init__(name=f"client of {directory.name}", daemon=True)
        self._directory = directory
        self._promises = promises
        self._random = Random(seed)
        self._files = files
        self._pause = pause
        self._asked: list[tuple[Path, Job]] = []
        self._told = threading.Event()
        self.failure: Exception | None = None

    def stop(self) -> None:
        """Ask for no more."""
        self._told.set()

    def finish(self) -> None:
        """Ask for no more, and wait for the last answer. Raises what broke it off."""
        self.stop()
        self.join(FINISH_LIMIT)
        assert not self.is_alive(), f"the {self.name} got no answer"
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        try:
            while not self._told.is_set():
                try:
                    with Node(self._directory) as node:
                        while not self._told.wait(self._random.uniform(0, 2 * self._pause)):
                            self._ask(node)
                except UnreachableError:  # it was killed, or is starting
                    self._told.wait(0.05)
        except Exception as error:  # noqa: BLE001  # raised again by who looks
            self.failure = error

    def _ask(self, node: Node) -> None:
        dice = self._random.random()
        try:
            if dice < 0.6:
                self._send(node)
            elif dice < 0.8 and sum(not job.outcome for _, job in self._asked) < JOBS_MOST:
                self._embed_new(node)
            elif self._asked:
                self._embed_again(node, *self._random.choice(self._asked))
        except RemoteError as error:
            self._promises.refused[re.sub("[0-9a-f]{12}", "…", error.what.partition(":")[0])] += 1

    def _send(self, node: Node) -> None:
        transfer = self._promises.intend(self._random.randbytes(32), self._random.randrange(1, 10**6))
        done = node.ask(control.SEND, control.Send(to=transfer.to, amount=transfer.amount))
        transfer.id = done.transaction
        transfer.said = "failed" if done.code else "applied"

    def _embed_new(self, node: Node) -> None:
        path = self._files / f"{self._directory.name}-{len(self._asked)}-{self._random.randrange(1 << 32)}"
        line = b"Nothing is paid twice. %d\n" % self._random.randrange(1 << 32)
        path.write_bytes(line * self._random.randrange(1, 6))
        job = self._embed(node, path)
        self._asked.append((path, job))

    def _embed_again(self, node: Node, path: Path, known: Job) -> None:
        """The same job: that it was acknowledged is enough to know it, and it is not paid for again."""
        assert self._embed(node, path) is known, f"{path} is now another job"

    def _embed(self, node: Node, path: Path) -> Job:
        size = path.stat().st_size
        blob = node.put_file(path, size)
        reply = node.ask(control.EMBED, control.Embed(blob=blob, size=size, nonce=0))
        return self._promises.job(reply.job, paid=reply.paid)


# What the ledgers of nodes that have ended say. ----------------------------------------------------------------------


@define(eq=False)
class Books:
    """What a chain's commits come to, applied again from the genesis.

    Transaction → how often it was applied, job → how often it was over; account → what it must hold.
    """

    applied: Counter[bytes] = field(factory=Counter)
    ended: Counter[bytes] = field(factory=Counter)
    spent: Counter[bytes] = field(factory=Counter)
    commits: int = 0


def opened(directory: Path) -> Store:
    """The chain in the data directory of a node that has ended: opening adds all of its state up."""
    plugins = Plugins()
    genesis = read(directory / "genesis.cbor")
    spec = plugins.spec("ledger", "ledger-sqlite")
    place = directory / "components" / "ledger-sqlite-chain"
    context = LedgerContext("ledger-sqlite", place, logging.getLogger(), "chain")
    return Store(genesis, scoring_of(plugins, genesis.scoring), spec.open(spec.config(), context))


def replayed(store: Store) -> Books:
    """Apply every commit that is stored again, in memory; it must come to the same records."""
    plugins, books = Plugins(), Books()
    spec = plugins.spec("ledger", "ledger-memory")
    context = LedgerContext("ledger-memory", Path(), logging.getLogger(), "chain")
    rule = scoring_of(plugins, store.genesis.scoring)
    again = Store(store.genesis, rule, spec.open(spec.config(), context))
    for index in range(1, store.tip.index + 1):
        data = store.commit_bytes(index)
        assert data is not None, f"commit {index} of {store.tip.index} is not stored"
        commit = unpack_commit(data)
        applied = again.apply(commit)
        assert applied.record == store.record(index), f"commit {index} comes to another record"
        _book(books, [chain.parse_wire(item) for _, item in commit.items if not _is_system(item)], applied)
    assert again.tip == store.tip
    books.commits = store.tip.index
    return books


def _is_system(item: bytes) -> bool:
    """Whether an item is what rides in every block of a validator, a map, and no transaction."""
    return isinstance(codec.decode(item), dict)


def _book(books: Books, items: Sequence[chain.SignedTransaction], applied: chain.Applied) -> None:
    done = [event for event in applied.events if isinstance(event, chain.TransactionDone)]
    by_id = {item.id: item.transaction for item in items}
    for event in done:
        transaction = by_id[event.id]
        if event.outcome != "skipped":
            books.spent[transaction.sender] += transaction.fee
        if event.outcome == "applied":
            books.applied[event.id] += 1
            if transaction.kind == "transfer":
                books.spent[transaction.sender] += structure(chain.Transfer, transaction.action).amount
    for event in applied.events:
        if isinstance(event, chain.Settled):
            receipt = unpack(chain.JobReceipt, event.receipt)
            books.ended[receipt.job] += 1
            back = sum(p.amount for p in receipt.payments if p.to == "submitter")
            books.spent[receipt.requester] += receipt.pot + receipt.commission - back


def audit(members: Iterable[Member], promises: Promises, payers: Mapping[bytes, int]) -> tuple[list[Fault], Books]:
    """Hold the ledgers of nodes that have ended against each other, their own commits, and every promise.

    `payers`: accounts that only ever pay → what they held at the start.
    """
    stores = {member.name: opened(member.directory) for member in members}
    try:
        first = next(iter(stores.values()))
        books = replayed(first)
        faults = []
        for name, store in stores.items():
            for index in range(min(store.tip.index, first.tip.index) + 1):
                if store.record(index) != first.record(index):
                    faults.append(Fault("lost", f"{name} has another record {index}"))
                    break
        acknowledged = [(t, books.applied[t.id]) for t in promises.transfers if t.said == "applied" and t.id]
        faults += [Fault("lost", f"{t} was applied {times} times") for t, times in acknowledged if times != 1]
        faults += [Fault("double", f"transaction {i.hex()}: {n} times") for i, n in books.applied.items() if n > 1]
        for key in promises.jobs:
            if books.ended[key] != 1:
                kind = "double" if books.ended[key] else "lost"
                faults.append(Fault(kind, f"job {key.hex()} was over {books.ended[key]} times"))
        for address, start in payers.items():
            held = first.read(lambda state, a=address: chain.account_of(state, a).balance)
            if held != start - books.spent[address]:
                faults.append(Fault("double", f"{address.hex()} holds {held}, not {start} - {books.spent[address]}"))
        return faults, books
    finally:
        for store in stores.values():
            store.close()
