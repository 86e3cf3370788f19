"""A validator that dies at a write of its ledgers, and the people it has made promises to.

The node is the real one without processes: Store, Driver, Checkpoints and consensus-solo, in virtual time. `Town` is
everybody else, who stay alive: a payer, a requester, the encoders, and the signer with its record. They remember what
the node said, ask again after a crash, and at the end compare it with what became of it.
"""

from typing import Final, Literal

import trio
import trio.testing
from attrs import define, field, frozen
from driver_world import InlineThread
from ledger_world import World, key, make_genesis, unit

from soma_consensus_solo import Config, _record, open_engine
from soma_core import chain, fixed
from soma_core.api import NoParams
from soma_core.beacon import Chain
from soma_core.crypto import address_of, digest, signing_digest
from soma_core.errors import SomaError
from soma_core.node.backing import PROVED, Proved
from soma_core.node.checkpoints import Checkpoints
from soma_core.node.driver import Driver
from soma_core.node.events import Hub
from soma_core.node.mempool import Mempool
from soma_core.node.outside import Outside
from soma_core.node.store import COMMITS, TIP, Store, unpack_commit
from soma_core.records import pack, unpack
from soma_core.testing.fault_ledger import Death, Machine

PAYER, PAID, REQUESTER, VALIDATOR = 5, 7, 6, 0
TRANSFERS: Final = 3
BLOB, UNHEARD = digest("soma/blob", b"data"), digest("soma/blob", b"that nobody holds")
SALT = digest("soma/chunk", b"salt")
SIZE: Final = 100
START: Final = 1_000_000
EPOCH_MS: Final = 400
DEADLINE_MS: Final = 600
"""Of each stage of a job."""
PATIENCE: Final = 30.0
"""Virtual seconds in which a node that is left alone must come to the end."""

_LINKS: Final[dict[int, Chain]] = {}
GENESIS = make_genesis(
    epoch_ms=EPOCH_MS,
    beacon_rounds=256,
    attest_ms=DEADLINE_MS,
    draw_ms=DEADLINE_MS,
    commit_ms=DEADLINE_MS,
    reveal_ms=DEADLINE_MS,
)
PARAMETERS = GENESIS.parameters


Verdict = Literal["lost", "double", "crash"]
"""``lost``: what was acknowledged is gone. ``double``: something was done twice. ``crash``: the node did not stop where
it must, did not come up again, or is not whole.
"""


class BrokenPromiseError(AssertionError):
    """The node did what it had promised not to do."""

    def __init__(self, verdict: Verdict, what: str) -> None:
        super().__init__(f"{verdict}: {what}")
        self.verdict = verdict


def address(number: int) -> bytes:
    return address_of(key(number).public)


@define
class Signer:
    """The signer process, which outlives the node in this story: its record is tried elsewhere."""

    signed: dict[tuple[str, int, int], tuple[bytes, bytes]] = field(factory=dict)

    async def sign(self, domain: str, epoch: int, body: bytes, slot: int | None = None) -> bytes:
        assert slot is not None
        await trio.lowlevel.checkpoint()
        known, signature = self.signed.get((domain, epoch, slot), (body, b""))
        if known != body:
            raise BrokenPromiseError("double", f"two bodies of {domain}, slot {slot}")
        signature = signature or key(100).sign(signing_digest(domain, GENESIS.chain, epoch, body))
        self.signed[domain, epoch, slot] = body, signature
        return signature


@define
class Town:
    """`done`: what the node said became of each transaction; `found`: those whose fate was seen after a restart.

    `records`: digests of those it said were on disk. `ordered`: of commits whose order was on disk when the node died,
    by epoch and index. `receipts`: of each job. `away`: ms of life and death so far.
    """

    machine: Machine = field(factory=Machine)
    signer: Signer = field(factory=Signer)
    world: World = field(factory=lambda: World(GENESIS, links=_LINKS))  # makes transactions and links, applies nothing
    done: dict[bytes, tuple[int, str]] = field(factory=dict)
    records: dict[int, bytes] = field(factory=dict)
    ordered: dict[tuple[int, int], bytes] = field(factory=dict)
    receipts: dict[bytes, bytes] = field(factory=dict)
    found: set[bytes] = field(factory=set)
    orders: list[chain.SignedTransaction] = field(init=False)
    away: int = 0

    def __attrs_post_init__(self) -> None:
        pay = chain.Transfer(address(PAID), 7)
        wires = [self.world.transaction(PAYER, "transfer", pay, expiry=100) for _ in range(TRANSFERS)]
        for blob in (BLOB, UNHEARD):
            ask = chain.RequestEmbedding(blob=blob, size=SIZE, nonce=0)
            wires.append(self.world.transaction(REQUESTER, "request_embedding", ask, expiry=100))
        self.orders = [chain.parse_wire(wire) for wire in wires]

    @property
    def satisfied(self) -> bool:
        """Whether everybody has heard what they wait for, and an epoch has ended."""
        return all(order.id in self.found or order.id in self.done for order in self.orders) and len(self.receipts) == 2

    def look(self, store: Store) -> None:
        """After a restart: what was applied and never heard of is not asked for again."""
        for order in self.orders:
            if order.id not in self.done and store.examine(order) is not None:
                self.found.add(order.id)
        for job, done in store.read(lambda state: list(state.scan(chain.DONE))):
            receipt = store.leaves(done.index)[done.place]
            if self.receipts.setdefault(job, receipt) != receipt:
                raise BrokenPromiseError("lost", "the receipt of a job has changed")

    def hear(self, applied: chain.Applied) -> None:
        """The node says that a commit is on disk."""
        index, record = applied.record.index, chain.record_digest(applied.record)
        if self.records.setdefault(index, record) != record:
            raise BrokenPromiseError("lost", f"commit {index} has become another")
        if self.order_on_disk().get((applied.record.epoch, index)) != applied.record.commit:
            raise BrokenPromiseError("lost", f"commit {index} was applied before its order was on disk")
        for event in applied.events:
            if isinstance(event, chain.TransactionDone) and event.outcome != "skipped":
                said = (index, event.outcome)
                if self.done.setdefault(event.id, said) != said:
                    raise BrokenPromiseError("double", "a transaction was done twice")
            if isinstance(event, chain.Settled) and self.receipts.setdefault(event.job, event.receipt) != event.receipt:
                raise BrokenPromiseError("double", "a job was settled twice")

    def order_on_disk(self) -> dict[tuple[int, int], bytes]:
        """The digests of the commits that the engines keep, by epoch and index."""
        stored = self.machine.stored.get("consensus", {})
        kept = [(int.from_bytes(key[:8], "big"), _record.unpack(key[8:], data)) for key, data in stored.items()]
        return {(epoch, commit.index): commit.digest for epoch, commit in kept}

    def bury(self, life: "Life") -> None:
        """The node has died: what it had shown is on disk, and what it had ordered is remembered."""
        stored = self.machine.stored["chain"]
        tip = unpack(chain.Tip, stored[TIP]).index if TIP in stored else 0
        proved = unpack(Proved, stored[PROVED]).index if PROVED in stored else 0
        if life.store is not None and (life.store.tip.index > tip or life.store.proved > proved):
            raise BrokenPromiseError("lost", "the node had shown what is not on disk")
        for place, commit in self.order_on_disk().items():
            if self.ordered.setdefault(place, commit) != commit:
                raise BrokenPromiseError("double", f"commit {place[1]} was ordered twice")


@define
class Life:
    """One process of the node, from its start to its death or to the end of the story."""

    town: Town
    mempool: Mempool = field(factory=Mempool)
    asked: set[tuple[bytes, str, int]] = field(factory=set)
    over: trio.Event = field(factory=trio.Event)
    driver: Driver = field(init=False)
    store: Store | None = None
    checkpoints: Checkpoints = field(init=False)

    async def run(self) -> None:
        """Raises what ended it; returns when everybody is satisfied."""
        town, thread = self.town, InlineThread()
        store = self.store = Store(GENESIS, town.world.rule, town.machine.open("chain"))
        self.checkpoints = Checkpoints(store, thread, Hub(), key(100).public)  # type: ignore[arg-type]
        self.driver = Driver(
            Outside(
                store=store,
                store_thread=thread,  # type: ignore[arg-type]  # the same calls, in this thread
                records=town.machine.open("consensus"),
                records_thread=thread,  # type: ignore[arg-type]
                verify_thread=thread,  # type: ignore[arg-type]
                mempool=self.mempool,
                peers=self,
                signing=town.signer,  # type: ignore[arg-type]
                key=key(100).public,
                open=lambda setup: open_engine(Config(min_round_ms=20, idle_ms=100), NoParams(), setup),
                system=self.system,
                applied=self.applied,
                now=lambda: START + town.away + int(trio.current_time() * 1000),
            )
        )
        tip = store.record(store.tip.index)
        if tip is not None and store.proved < tip.index:
            await self.checkpoints.sign(tip, town.signer)  # type: ignore[arg-type]
        town.look(store)
        for order in town.orders:
            if order.id not in town.found and order.id not in town.done:
                self.submit(order)
        store.read(self.answer)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.driver.run)
                await self.over.wait()
                nursery.cancel_scope.cancel()

    def send(self, node: bytes, message: bytes) -> None:
        raise AssertionError("a committee of one has no peers")

    async def system(self, epoch: int, round_: int) -> bytes:
        """The beacon link, and the signatures that ride along."""
        links = self.town.world._chain(epoch)
        anchors = tuple((e, self.town.world._chain(e).anchor) for e in (epoch, epoch + 1))
        return pack(chain.System(link=links.link(round_), anchors=anchors, signatures=self.checkpoints.unsent()))

    async def applied(self, what: chain.Applied) -> None:
        """As the assembly does: tell, count signatures, sign."""
        self.town.hear(what)
        await self.checkpoints.note(what)
        await self.checkpoints.sign(what.record, self.town.signer)  # type: ignore[arg-type]
        assert self.store is not None
        self.store.read(self.answer)
        if self.town.satisfied and what.record.epoch > 0:
            self.over.set()

    def answer(self, state: chain.State) -> None:
        """What validator and encoders do about the jobs that are open; each thing once a life."""
        for job, stored in state.scan(chain.JOBS):
            if stored.stage == "attesting" and stored.blob == BLOB:
                self.act(state, VALIDATOR, "attest_data", job, chain.AttestData(job))
            for number in range(1, 5):
                member = next((m for m in stored.shard if m.encoder == address(number)), None)
                loss, vector = number << 16, fixed.vector_bytes(unit(number))
                if member is not None and (stored.stage, member.state) == ("committing", "drawn"):
                    sealed = chain.commitment(job, address(number), SALT, loss, vector)
                    action = chain.CommitEmbedding(job=job, commitment=sealed)
                    self.act(state, number, "commit_embedding", job, action)
                elif member is not None and (stored.stage, member.state) == ("revealing", "committed"):
                    shown = chain.RevealEmbedding(job=job, salt=SALT, loss=loss, vector=vector)
                    self.act(state, number, "reveal_embedding", job, shown)

    def act(self, state: chain.State, number: int, kind: str, job: bytes, action: object) -> None:
        if (job, kind, number) not in self.asked:
            self.asked.add((job, kind, number))
            sequence = chain.account_of(state, address(number)).sequence
            wire = self.town.world.transaction(number, kind, action, sequence=sequence, expiry=100)
            self.submit(chain.parse_wire(wire))

    def submit(self, signed: chain.SignedTransaction) -> None:
        """As the node takes a transaction: not if the chain would skip it."""
        assert self.store is not None
        if self.store.examine(signed) is None and self.mempool.add(signed):
            self.driver.payload_ready()


@frozen
class Ending:
    """How a story went. `struck`: the ledgers at whose writes the node died.

    `job`: ``settled`` or ``refunded``, of the one that was answered; the other is always refunded.
    """

    struck: tuple[str, ...]
    job: str


def story(*deaths: tuple[int, Death], away: int = 50) -> Ending:
    """The node dies as `deaths` say, life after life, each time for `away` ms, then lives on to the end.

    A death that does not come is the end of the story. Raises `BrokenPromiseError`.
    """
    town, struck = Town(), []
    for at, how in deaths:
        town.machine.die(at, how)
        life = Life(town)
        error = _live(life)
        if town.machine.struck is None:
            break
        if error is None:
            raise BrokenPromiseError("crash", f"the node went on, {how} write {at}, of {town.machine.struck}")
        town.bury(life)
        struck.append(town.machine.struck)
        town.away += away
        town.machine.restart()
    else:
        error = _live(Life(town))
    if error is not None:
        raise BrokenPromiseError("crash", f"the node does not come up again: {error}") from error
    try:
        _audit(town)
    except SomaError as error:
        raise BrokenPromiseError("crash", f"the ledger is not whole: {error}") from error
    return Ending(tuple(struck), _outcomes(town)[BLOB].outcome)


def _live(life: Life) -> OSError | None:
    """One life, in virtual time: the failed write that ended it, None if the story came to its end."""
    try:
        trio.run(life.run, clock=trio.testing.MockClock(autojump_threshold=0))
    except OSError as error:
        return error
    except (SomaError, trio.TooSlowError) as error:
        raise BrokenPromiseError("crash", f"the node does not come up again: {error!r}") from error
    except BaseExceptionGroup as group:
        rest: BaseException | None = group
        while isinstance(rest, BaseExceptionGroup):
            rest = next((e for e in rest.exceptions if not _is_os_error(e)), rest.exceptions[0])
        if isinstance(rest, OSError):
            return rest
        if isinstance(rest, BrokenPromiseError):
            raise rest from None
        raise BrokenPromiseError("crash", f"the node ended otherwise: {rest!r}") from rest
    return None


def _is_os_error(error: BaseException) -> bool:
    return isinstance(error, OSError) or (
        isinstance(error, BaseExceptionGroup) and all(map(_is_os_error, error.exceptions))
    )


def _audit(town: Town) -> None:
    """Compare what is stored with what was promised, and with a twin that applies the same commits undisturbed."""
    ledger, rule = town.machine.open("chain"), town.world.rule
    store = Store(GENESIS, rule, ledger)  # adds up the digest and the supply from what is stored
    assert store.supply().drift == 0
    twin, outcomes = Store(GENESIS, rule, Machine().open("twin")), {}
    for _, data in ledger.scan(COMMITS, COMMITS + b"\xff" * 9):
        commit = unpack_commit(data)
        applied = twin.apply(commit)
        assert applied.record == store.record(commit.index)
        done = [e for e in applied.events if isinstance(e, chain.TransactionDone) and e.outcome != "skipped"]
        if outcomes.keys() & {e.id for e in done}:
            raise BrokenPromiseError("double", f"commit {commit.index} does a transaction again")
        outcomes |= {e.id: (commit.index, e.outcome) for e in done}
    assert (twin.tip, twin.entries()) == (store.tip, store.entries())
    for index, digest_ in town.records.items():
        record = store.record(index)
        if record is None or chain.record_digest(record) != digest_:
            raise BrokenPromiseError("lost", f"commit {index} was acknowledged and is not there")
    for (epoch, index), digest_ in town.ordered.items():
        record = store.record(index)
        if record is None or (record.commit != digest_ and record.epoch == epoch):
            raise BrokenPromiseError("lost", f"commit {index} was ordered and is another or not there")
    for identity, said in town.done.items():
        if outcomes.get(identity) != said:
            raise BrokenPromiseError("lost", "an acknowledged transaction is not there")
    _audit_money(town, chain.State(ledger))


def _outcomes(town: Town) -> dict[bytes, chain.JobReceipt]:
    """The receipts by blob."""
    receipts = [unpack(chain.JobReceipt, data) for data in town.receipts.values()]
    return {receipt.blob: receipt for receipt in receipts}


def _audit_money(town: Town, state: chain.State) -> None:
    """Every order was paid for once, to the shannon; what became of the jobs was paid out once."""
    pot, commission = chain.price(PARAMETERS, SIZE)
    outcomes = _outcomes(town)
    owed = {blob: 0 if receipt.outcome == "refunded" else pot + commission for blob, receipt in outcomes.items()}
    assert owed[UNHEARD] == 0
    balance = {n: chain.account_of(state, address(n)).balance - 10**12 for n in (PAYER, PAID, REQUESTER)}
    right = {
        PAYER: -TRANSFERS * (7 + PARAMETERS.fee),
        PAID: TRANSFERS * 7,
        REQUESTER: -sum(owed.values()) - 2 * PARAMETERS.fee,
    }
    if balance != right:
        raise BrokenPromiseError("double", f"the balances changed by {balance}, not {right}")
    for blob, receipt in outcomes.items():
        won = [payment.amount for payment in receipt.payments if payment.reason == "won"]
        assert won == ([pot] if owed[blob] else [])
        assert sum(payment.amount for payment in receipt.payments) == pot + commission
    assert len(list(state.scan(chain.DONE))) == len(town.receipts)
    assert state.need(chain.EPOCH).number >= 1
    assert not list(state.scan(chain.JOBS))
