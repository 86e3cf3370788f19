"""The chain as one pure function: a commit applied to a state gives a record, receipts, events and changes.

`SUBJECTS` joins the subjects' actions and `TABLES` their records; a new subject is a new file and a line in each. A
commit is applied in this order (rule C3): the beacon, items in order, jobs, audits, the epoch's boundary. Rules C1 to
C6 of ``specs/11-state.md``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from soma_core import codec
from soma_core.api import Commit, Reader, ScoringRule
from soma_core.crypto import ZERO_DIGEST, digest
from soma_core.errors import CorruptionError, DecodeError
from soma_core.genesis import Genesis
from soma_core.records import octets, pack, structure, uint

from . import (
    accounts,
    audits,
    canaries,
    checks,
    copies,
    delivery,
    encoders,
    epochs,
    faults,
    fees,
    hits,
    jobs,
    members,
    objections,
    offers,
    openings,
    penalties,
    pools,
    race,
    routing,
    safety,
    settlement,
    shards,
    stakes,
    targets,
    upgrades,
    validators,
    weakness,
    weights,
)
from .events import EpochBegan, Event, TransactionDone
from .execution import Execution, Handler, Refusal
from .lthash import EMPTY, SIZE, state_digest, updated
from .receipts import CommitRecord, TransactionReceipt, committee_digest, leaf_hash, record_digest, root
from .state import State, Table, read_record
from .transactions import MAX_TRANSACTION, SignedTransaction, parse

SUBJECTS: Final = (
    accounts,
    stakes,
    members,
    faults,
    encoders,
    jobs,
    delivery,
    audits,
    canaries,
    weights,
    objections,
    offers,
    targets,
    hits,
    upgrades,
)
HEARD: Final[Mapping[str, audits.Heard]] = {"embed": delivery.heard, "target": hits.heard, checks.KIND: checks.heard}
"""Who takes the words of a concluded audit, by kind."""
ACTIONS: Final[Mapping[str, Handler]] = {kind: h for subject in SUBJECTS for kind, h in subject.ACTIONS.items()}


@frozen(kw_only=True)
class Tip:
    """Where a chain stands, kept beside the state and written with it: what the next commit builds on.

    `index`, `record`, `time` (ms), `epoch`: of the last record and its digest. `lthash`: the state sum, 2048 bytes.
    """

    index: int = uint()
    record: bytes = octets(32)
    time: int = uint()
    epoch: int = uint()
    lthash: bytes = octets(SIZE)


TABLES: Final[Sequence[Table[Any]]] = (
    pools.POOLS,
    accounts.ACCOUNTS,
    accounts.OPERATORS,
    epochs.EPOCH,
    validators.FORMER,
    validators.VALIDATORS,
    validators.BEACON,
    validators.TALLIES,
    members.MEMBERS,
    members.MEMBER_COUNT,
    members.KEYS,
    faults.REPORTS,
    faults.EQUIVOCATIONS,
    encoders.ENCODERS,
    encoders.WINS,
    encoders.REGISTRY,
    encoders.NAMES,
    stakes.STAKES,
    stakes.ENTRIES,
    stakes.DELEGATIONS,
    stakes.DEPARTURES,
    shards.JOBS,
    settlement.DONE,
    settlement.SETTLED,
    settlement.SETTLED_COUNT,
    shards.DELIVERIES,
    shards.ENDINGS,
    penalties.LOCKS,
    penalties.OFFENCES,
    canaries.CANARIES,
    weights.NEXT_WEIGHTS,
    offers.OFFERS,
    routing.CELLS,
    routing.SCORES,
    audits.AUDITS,
    audits.MARKS,
    race.RACE,
    race.OPENINGS,
    race.TARGETS,
    race.SUBMISSIONS,
    race.HITS,
    race.SPENT,
    weakness.OUTCOMES,
    fees.FEES,
    epochs.PARKED,
    upgrades.PROTOCOL,
    upgrades.SUPPORT,
    copies.PAIRS,
    encoders.SEALS,
    objections.OBJECTIONS,
    checks.CHECKED,
)
BOUNDARY: Final[Sequence[Callable[[Execution], None]]] = (
    openings.close,  # what nobody hit gives its reward back
    epochs.on_epoch,  # money is made and shared
    stakes.on_epoch,  # stake that left is released, stake that joins is active
    weights.on_epoch,  # new weights are in force
    objections.on_epoch,  # whom validators have reported is drawn no more
    copies.on_epoch,  # who looked like a copy long ago is forgotten
    encoders.on_epoch,  # seals of registrations that never came
    upgrades.on_epoch,  # the version of the rules that enough validators can run
    members.on_epoch,  # the committee of the epoch that begins, with its anchors
    checks.on_epoch,  # it computes again what some encoders say of themselves
    faults.on_epoch,  # reports and proofs that nobody needs any more
    weakness.on_epoch,  # what became of targets counts less
    openings.begin,  # the next epoch's difficulty, reward and openings
    epochs.change_fee,
    epochs.begin_next,
)
"""The end of an epoch, in order (rule U6). Nothing in it can fail."""
SAFE: Final[Sequence[Callable[[Execution], None]]] = (
    epochs.park,
    stakes.on_epoch,
    upgrades.on_epoch,
    validators.on_epoch,
    epochs.begin_next,
)
"""The end of an epoch in safe mode (rule U10): what nobody can do without."""
_BY_PREFIX: Final = {table.prefix: table for table in TABLES}

Changes = Mapping[bytes, tuple[bytes | None, bytes | None]]
"""Ledger key → (value before, value now)."""


@frozen(kw_only=True)
class Applied:
    """What applying a commit came to. `changes`: ledger key → (value before, now).

    `seats`: the committee of the epoch that begins with the next commit, by place; empty if none begins.
    """

    record: CommitRecord
    tip: Tip
    receipts: tuple[bytes, ...]
    events: tuple[Event, ...]
    changes: Changes
    seats: tuple[members.Seat, ...] = ()


def found(genesis: Genesis, view: Reader) -> Applied:
    """The state of a network that has applied nothing: record 0, on an empty `view`."""
    state = State(view)
    state.put(pools.POOLS, b"", pools.Pools())
    fees.found(state, genesis.parameters)
    state.put(encoders.REGISTRY, b"", encoders.Registry())
    state.put(settlement.SETTLED_COUNT, b"", settlement.SettledCount())
    state.put(epochs.EPOCH, b"", epochs.Epoch(number=0, start=genesis.time, first_index=1))
    state.put(validators.BEACON, b"", validators.Beacon(digest("soma/beacon", genesis.chain), 0))
    for allocation in genesis.allocations:
        accounts.pay(state, allocation.address, allocation.balance)
    for place, v in enumerate(genesis.validators):
        member = validators.Validator(name=v.name, key=v.key, account=v.account, power=v.power)
        state.put(validators.VALIDATORS, validators.place_key(place), member)
    members.found(state, genesis.validators)
    for e in genesis.encoders:
        encoder = encoders.Encoder(
            name=e.name,
            weights=e.weights,
            frame=e.frame,
            architecture=e.architecture,
            best=e.best,
            registered=0,
            gate=encoders.GATE_GENESIS,
            since=0,
        )
        encoders.enrol(state, e.account, encoder, e.stake)
    before = Tip(index=0, record=ZERO_DIGEST, time=genesis.time, epoch=0, lthash=EMPTY)
    return _conclude(genesis, state, before, 0, genesis.chain, genesis.time, [], [])


def apply(genesis: Genesis, rule: ScoringRule, view: Reader, tip: Tip, commit: Commit) -> Applied:
    """Apply the next commit to the state in `view`, which stands at `tip`.

    Pure: `view` is only read. Items that are no valid transactions change nothing. Raises `CorruptionError` if the
    commit is not the next one or if the rules would make or lose money: the node stops before it writes. Raises
    `UpgradeError` if the network goes on with rules that this software does not know.
    """
    if commit.index != tip.index + 1:
        raise CorruptionError(f"commit {commit.index} follows {tip.index}", "restart the node; it resumes in order")
    state = State(view)
    upgrades.need_protocol(state)
    epoch = state.need(epochs.EPOCH)
    run = Execution(genesis, rule, state, commit.index, max(commit.time, tip.time), epoch.number)
    open_before = dict(state.scan(shards.JOBS))
    validators.open_tally(run, tip.index, tip.epoch, tip.record)
    leader = _system(commit.leader_system)
    mixed = validators.mix_link(run, commit, leader.link if leader else None)
    for author, payload in ((commit.leader, commit.leader_system), *commit.items):
        _item(run, author, payload)
    fees.count(run, sum(isinstance(event, TransactionDone) and event.outcome != "skipped" for event in run.events))
    jobs.advance(run, commit.leader, mixed=mixed, open_before=open_before)
    openings.advance(run, commit.leader, mixed=mixed)
    targets.advance(run)
    audits.advance(run, HEARD)
    delivery.advance(run)
    if epochs.is_over(run):
        safety.end_epoch(run, (BOUNDARY, SAFE, (epochs.park, epochs.prolong)))
    return _conclude(genesis, state, tip, commit.index, commit.digest, run.time, run.receipts, run.events, run.epoch)


def money_in(
    entries: Iterable[tuple[bytes, bytes | None]], read: Callable[[Table[Any], bytes], Any] = read_record
) -> int:
    """Shannons that state `entries` (ledger key, value) hold. `read`: how a value is read."""
    total = 0
    for key, value in entries:
        if value is not None:
            table = _BY_PREFIX[key[0]]
            if table.holds_money:
                total += table.money(read(table, value))
    return total


def _conclude(
    genesis: Genesis,
    state: State,
    tip: Tip,
    index: int,
    commit: bytes,
    time: int,
    receipts: list[bytes],
    events: list[Event],
    epoch: int = 0,
) -> Applied:
    changes = state.changes()
    begins = index == 0 or any(isinstance(event, EpochBegan) for event in events)
    _check_supply(genesis, state, changes, index)
    lthash = updated(tip.lthash, changes)
    record = CommitRecord(
        index=index,
        previous=tip.record,
        commit=commit,
        time=time,
        epoch=epoch,
        receipts=root([leaf_hash(receipt) for receipt in receipts]),
        state=state_digest(lthash),
        committee=committee_digest([(v.key, v.power) for v in validators.committee(state)]),
    )
    return Applied(
        record=record,
        tip=Tip(index=index, record=record_digest(record), time=time, epoch=epoch, lthash=lthash),
        receipts=tuple(receipts),
        events=tuple(events),
        changes=changes,
        seats=members.seats(genesis, state) if begins else (),
    )


def _check_supply(genesis: Genesis, state: State, changes: Changes, index: int) -> None:
    """What the changed records hold may differ from what they held only by what was emitted (rule C6)."""
    before = money_in(((key, old) for key, (old, _) in changes.items()), state.record)
    now = money_in(((key, new) for key, (_, new) in changes.items()), state.record)
    made = genesis.supply if index == 0 else _emitted(changes)
    if now - before != made:
        raise CorruptionError(
            f"commit {index} would change the supply by {now - before} shannons instead of {made}",
            "the node stopped before it wrote; report this with the commit's index",
        )


def _emitted(changes: Changes) -> int:
    change = changes.get(pools.POOLS.key())
    if change is None or change[0] is None or change[1] is None:
        return 0
    old, new = (read_record(pools.POOLS, data) for data in change if data)
    return new.emitted - old.emitted


def _item(run: Execution, author: int, payload: bytes) -> None:
    """One ordered item: an array is a transaction, a map is a validator's system item; anything else is nothing."""
    try:
        value = codec.decode(payload)
        if isinstance(value, dict):
            system = structure(validators.System, value)
            validators.note_anchors(run, author, system)
            validators.tally(run, author, system)
        elif len(payload) <= MAX_TRANSACTION:
            _transact(run, parse(value))
    except DecodeError:
        return


def _system(payload: bytes) -> validators.System | None:
    try:
        return structure(validators.System, codec.decode(payload))
    except DecodeError:
        return None


def _transact(run: Execution, signed: SignedTransaction) -> None:
    t = signed.transaction
    skipped = accounts.admission(run.genesis, run.state, run.epoch, signed)
    if skipped is None and not signed.signature_holds():
        skipped = Refusal("signature", "the signature does not fit")
    if skipped is not None:
        run.events.append(TransactionDone(signed.id, "skipped", skipped.code, skipped.text))
        return
    accounts.charge(run, signed)
    code = text = ""
    mark = len(run.events), len(run.receipts)
    try:
        with run.state.attempt():
            _perform(run, signed)
    except Refusal as refusal:
        code, text = refusal.code, refusal.text
        del run.events[mark[0] :], run.receipts[mark[1] :]
    receipt = TransactionReceipt(id=signed.id, sender=t.sender, sequence=t.sequence, fee=t.fee, code=code)
    run.receipts.append(pack(receipt))
    run.events.append(TransactionDone(signed.id, "failed" if code else "applied", code, text))


def examine(genesis: Genesis, view: Reader, signed: SignedTransaction) -> Refusal | None:
    """Why a node would not pass `signed` on: it would be skipped, or its action is none. Signatures are not checked."""
    state = State(view)
    refused = accounts.admission(genesis, state, state.need(epochs.EPOCH).number, signed)
    if refused is not None:
        return refused
    try:
        _action(signed.transaction.kind, signed.transaction.action)
    except Refusal as refusal:
        return refusal
    return None


def _action(kind: str, action: object) -> tuple[Handler, Any]:
    handler = ACTIONS.get(kind)
    if handler is None:
        raise Refusal("kind", f"there is no action {kind!r}; there are {', '.join(sorted(ACTIONS))}")
    try:
        return handler, structure(handler.record, action)
    except DecodeError as error:
        raise Refusal("action", error.what) from error


def _perform(run: Execution, signed: SignedTransaction) -> None:
    handler, action = _action(signed.transaction.kind, signed.transaction.action)
    handler.run(run, signed.transaction.sender, action)
