"""What a node keeps in its ledger: the chain's state, and beside it commits, records, receipts and signatures.

Blocking, in the ledger's thread. A commit is written in one batch with everything it changed, the last applied index
included: after a crash it is there whole or not at all.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar, cast, final

from attrs import frozen

from soma_core import chain
from soma_core.api import Commit, HasSnapshot, Ledger, Reader, ScoringRule, control
from soma_core.chain import CommitRecord, Tip, lthash
from soma_core.chain.stakes import ENTRIES
from soma_core.errors import CorruptionError, GenesisError, VerificationError
from soma_core.genesis import Genesis
from soma_core.records import octets, pack, uint, unpack

from .backing import Backing, key_of

T = TypeVar("T")

TIP: Final = b"\x80"
CHAIN: Final = b"\x81"
COMMITS: Final = b"\x82"
RECORDS: Final = b"\x83"
RECEIPTS: Final = b"\x84"
SEATS: Final = b"\x87"
"""Prefixes of what a node keeps beside the state, each followed by the commit's index, 8 bytes; seats: by the epoch.

0x85, 0x86 and 0x88 are of `backing`.
"""

Compute = Callable[[Genesis, ScoringRule, Reader, Tip, Commit], chain.Applied]

_BALANCES: Final = frozenset(table.prefix for table in (chain.ACCOUNTS, chain.OPERATORS))
_STAKES: Final = frozenset(table.prefix for table in (chain.STAKES, ENTRIES))
REPAIR: Final = "restore a backup, or synchronise into a new data directory"


@frozen(kw_only=True)
class StoredCommit:
    """A commit as it is stored and sent to followers; its digest is what the engine says of the same content."""

    index: int = uint()
    digest: bytes = octets(32)
    time: int = uint()
    round: int = uint()
    leader: int = uint()
    items: tuple[tuple[int, bytes], ...]
    leader_system: bytes = octets()


@frozen
class Receipts:
    """The receipts of one commit, in order."""

    leaves: tuple[bytes, ...] = ()


@frozen
class Seats:
    """The committee of an epoch, whose first commit is `first`."""

    first: int = uint()
    seats: tuple[chain.Seat, ...] = ()


MAX_COMMIT: Final = 1 << 20
"""Bytes of a stored commit, and of the receipts of one: it travels to followers in one message."""


def pack_commit(commit: Commit) -> bytes:
    """A commit as bytes."""
    return pack(
        StoredCommit(
            index=commit.index,
            digest=commit.digest,
            time=commit.time,
            round=commit.round,
            leader=commit.leader,
            items=commit.items,
            leader_system=commit.leader_system,
        )
    )


def unpack_commit(data: bytes) -> Commit:
    """A commit from bytes. Raises `DecodeError`."""
    s = unpack(StoredCommit, data, max_size=MAX_COMMIT)
    return Commit(s.index, s.digest, s.time, s.round, s.leader, s.items, s.leader_system)


@final
class Store:
    """The chain on a ledger. Methods are called in the ledger's thread; `tip` may be read anywhere.

    `tip`: where the chain stands. `backing`: who signed its records. `compute`: what a commit comes to; where many
    nodes live in one process, they need not all compute it.
    """

    def __init__(self, genesis: Genesis, rule: ScoringRule, ledger: Ledger, compute: Compute = chain.apply) -> None:
        self.genesis = genesis
        self._rule = rule
        self._compute = compute
        self._ledger = ledger
        self._changes = any(founder.stake for founder in genesis.validators)
        self.tip = self._open()
        self.backing = Backing(ledger, self.record, self._powers, self._begun, changes=self._changes)

    @property
    def proved(self) -> int:
        """The last commit that can be proved to anybody. Read anywhere."""
        return self.backing.proved

    def _open(self) -> Tip:
        """The stored tip, checked against the stored state; on an empty ledger, that of a founded network."""
        known = self._ledger.get(CHAIN)
        if known is None:
            applied = chain.found(self.genesis, self._ledger)
            self._write(applied, {CHAIN: self.genesis.chain})
            return applied.tip
        if known != self.genesis.chain:
            raise GenesisError(
                f"the data directory holds chain {known.hex()[:12]}, the genesis is {self.genesis.chain.hex()[:12]}",
                "name another --data-dir, or the genesis this one was started with",
            )
        data = self._ledger.get(TIP)
        if data is None:
            raise CorruptionError("the ledger has no tip", REPAIR)
        tip = unpack(Tip, data)
        entries = list(self._state_entries())
        if lthash.total(entries) != tip.lthash:
            raise CorruptionError(f"the stored state is not that of commit {tip.index}", REPAIR)
        self._check_supply(entries)
        return tip

    def apply(self, commit: Commit, proved: CommitRecord | None = None) -> chain.Applied:
        """Apply and write the next commit. Raises before anything is written, or `OSError`: then open the ledger anew.

        `proved`: the record that members signed for it. Raises `VerificationError` if the commit comes to another one.
        """
        applied = self._compute(self.genesis, self._rule, self._ledger, self.tip, commit)
        if proved is not None and applied.record != proved:
            raise VerificationError(
                f"commit {commit.index} does not come to the record that was signed", "another peer will be asked"
            )
        self._write(applied, {key_of(COMMITS, commit.index): pack_commit(commit)})
        self.tip = applied.tip
        if any(isinstance(event, chain.EpochBegan) for event in applied.events):
            self._recount()
        return applied

    def read(self, look: Callable[[chain.State], T]) -> T:
        """`look` at the state after the last commit."""
        return look(chain.State(self._ledger))

    @property
    def has_snapshots(self) -> bool:
        """Whether what `moment` gives may be read in any thread."""
        return hasattr(self._ledger, "snapshot")

    @contextmanager
    def moment(self) -> Iterator[Reader]:
        """All that is stored, as it is now: readable in any thread if `has_snapshots`, else in the ledger's alone."""
        if not self.has_snapshots:
            yield self._ledger
            return
        with cast("HasSnapshot", self._ledger).snapshot() as reader:
            yield reader

    def examine(self, signed: chain.SignedTransaction) -> chain.Refusal | None:
        """Why this node would not pass a transaction on."""
        return chain.examine(self.genesis, self._ledger, signed)

    def commit_bytes(self, index: int) -> bytes | None:
        """The stored commit."""
        return self._ledger.get(key_of(COMMITS, index))

    def record(self, index: int) -> CommitRecord | None:
        """The record of a commit, or None if it is not applied."""
        data = self._ledger.get(key_of(RECORDS, index))
        return None if data is None else unpack(CommitRecord, data)

    def epoch(self) -> tuple[int, int]:
        """The epoch that the chain is in, and its first commit."""
        epoch = chain.State(self._ledger).need(chain.EPOCH)
        return epoch.number, epoch.first_index

    def first_of(self, epoch: int) -> int:
        """The first commit of an epoch that has commits. Records lie in the order of their epochs."""
        low, high = 1, self.tip.index
        while low < high:
            middle = (low + high) // 2
            record = self.record(middle)
            low, high = (low, middle) if record is not None and record.epoch >= epoch else (middle + 1, high)
        return low

    def committee(self) -> tuple[tuple[bytes, int], ...]:
        """Who signs the next record: (key, power) by place."""
        return _keys(self.seated())

    def seats(self, epoch: int) -> tuple[chain.Seat, ...]:
        """The committee of an epoch that has begun, by place."""
        return self._seats(epoch).seats

    def seated(self) -> tuple[chain.Seat, ...]:
        """The committee of the present epoch, by place."""
        return self.seats(self.epoch()[0])

    def seats_under(self, index: int) -> tuple[chain.Seat, ...]:
        """The committee that signs the record of a commit, by place; empty if it is not applied."""
        record = self.record(index)
        return () if record is None else self.seats(record.epoch)

    def _powers(self, index: int) -> tuple[int, ...]:
        return tuple(seat.power for seat in self.seats_under(index))

    def _begun(self, epoch: int) -> int:
        return self._seats(epoch).first

    def _seats(self, epoch: int) -> Seats:
        data = self._ledger.get(key_of(SEATS, epoch))
        return Seats(0) if data is None else unpack(Seats, data, max_size=MAX_COMMIT)

    def leaves(self, index: int) -> tuple[bytes, ...]:
        """The receipts of a commit."""
        data = self._ledger.get(key_of(RECEIPTS, index))
        return () if data is None else unpack(Receipts, data, max_size=MAX_COMMIT).leaves

    def receipt(self, job: bytes) -> bytes | None:
        """The last receipt of a job that has ended, encoded, or None."""
        done = chain.State(self._ledger).get(chain.DONE, job)
        return None if done is None else self.leaves(done.index)[done.place]

    def receipts_from(self, index: int, most: int) -> tuple[list[bytes], int]:
        """Receipts of commits from `index` on, as stored, until they are `most` bytes; and of which commit the last."""
        found: list[bytes] = []
        for key, data in self._ledger.scan(key_of(RECEIPTS, index), key_of(RECEIPTS, self.tip.index + 1)):
            found.append(data)
            most -= len(data)
            if most <= 0:
                return found, int.from_bytes(key[1:], "big")
        return found, self.tip.index

    def receipt_file(self, job: bytes) -> chain.ReceiptFile | None:
        """The proof of an ended job, once a checkpoint covers it."""
        done = chain.State(self._ledger).get(chain.DONE, job)
        if done is None:
            return None
        signed = self.backing.first_checkpoint(done.index)
        if signed is not None and signed <= self.proved and self._hands_over(signed):
            signed = self.backing.first_checkpoint(signed + 1)
        if signed is None or signed > self.proved:
            return None
        leaves = self.leaves(done.index)
        records = [record for i in range(done.index, signed + 1) if (record := self.record(i)) is not None]
        return chain.ReceiptFile(
            format="soma-receipt/2",
            charter=self.genesis.charter,
            handovers=self._handovers(records[-1].epoch),
            receipt=leaves[done.place],
            path=chain.proof([chain.leaf_hash(leaf) for leaf in leaves], done.place),
            trail=tuple(records[:-1]),
            checkpoint=chain.Checkpoint(record=records[-1], signatures=self.backing.signatures(signed) or ()),
        )

    def _hands_over(self, index: int) -> bool:
        """Whether a record names another committee than the one that signed it."""
        record = self.record(index)
        return record is not None and record.committee != chain.committee_digest(_keys(self.seats(record.epoch)))

    def _handovers(self, epoch: int) -> tuple[chain.Handover, ...]:
        """What leads from the committee of genesis to that of `epoch`."""
        found = []
        committee = chain.founders(self.genesis)
        for number in range(1, epoch + 1) if self._changes else ():
            begun = self._seats(number)
            record = self.record(begun.first - 1)
            if record is not None and _keys(begun.seats) != committee:
                committee = _keys(begun.seats)
                signed = chain.Checkpoint(record=record, signatures=self.backing.signatures(record.index) or ())
                found.append(chain.Handover(checkpoint=signed, committee=committee))
        return tuple(found)

    def entries(self) -> Sequence[tuple[bytes, bytes]]:
        """The whole state."""
        return list(self._state_entries())

    def supply(self) -> control.Supply:
        """Where all money is, added up from the whole state."""
        entries = list(self._state_entries())
        pools = chain.State(self._ledger).need(chain.POOLS)
        balances, stakes = (
            chain.money_in([entry for entry in entries if entry[0][0] in held]) for held in (_BALANCES, _STAKES)
        )
        total = chain.money_in(entries)
        return control.Supply(
            genesis=self.genesis.supply,
            emitted=pools.emitted,
            total=total,
            drift=total - self.genesis.supply - pools.emitted,
            balances=balances,
            stakes=stakes,
            escrow=total - balances - stakes - pools.treasury - pools.validators - pools.burned,
            treasury=pools.treasury,
            validators=pools.validators,
            burned=pools.burned,
        )

    def close(self) -> None:
        """Close the ledger."""
        self._ledger.close()

    def _state_entries(self) -> Iterator[tuple[bytes, bytes]]:
        return self._ledger.scan(chain.STATE_FLOOR, chain.STATE_CEILING)

    def _recount(self) -> None:
        """Once an epoch everything is added up from what is stored, not from what changed."""
        entries = list(self._state_entries())
        if lthash.total(entries) != self.tip.lthash:
            raise CorruptionError(f"the stored state is not that of commit {self.tip.index}", REPAIR)
        self._check_supply(entries)

    def _check_supply(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        emitted = chain.State(self._ledger).need(chain.POOLS).emitted
        total = chain.money_in(entries)
        if total != self.genesis.supply + emitted:
            raise CorruptionError(
                f"the ledger holds {total} shannons where {self.genesis.supply} + {emitted} belong", REPAIR
            )

    def _write(self, applied: chain.Applied, beside: dict[bytes, bytes]) -> None:
        index = applied.record.index
        batch: dict[bytes, bytes | None] = {key: now for key, (_, now) in applied.changes.items()}
        batch.update(beside)
        batch[key_of(RECORDS, index)] = pack(applied.record)
        batch[TIP] = pack(applied.tip)
        if applied.seats:
            epoch = max((event.number for event in applied.events if isinstance(event, chain.EpochBegan)), default=0)
            batch[key_of(SEATS, epoch)] = pack(Seats(index + 1, applied.seats))
        if applied.receipts:
            batch[key_of(RECEIPTS, index)] = pack(Receipts(applied.receipts))
        self._ledger.write(batch)


def _keys(seats: Sequence[chain.Seat]) -> tuple[tuple[bytes, int], ...]:
    return tuple((seat.key, seat.power) for seat in seats)
