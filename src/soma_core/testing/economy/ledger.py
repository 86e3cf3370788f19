"""The real chain on virtual time: accounts that sign transactions, commits that carry them, and a clock that jumps."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Final

from attrs import define, evolve, field, frozen

from soma_core import chain
from soma_core.api import Commit
from soma_core.beacon import Chain
from soma_core.crypto import SecretKey, address_of, digest, signing_digest
from soma_core.errors import CorruptionError
from soma_core.genesis import Genesis
from soma_core.records import pack, to_value

STEP: Final = 20
"""Ms between commits, where nobody waits for a deadline."""


@frozen
class Wallet:
    """An account that anybody in the simulation may sign for."""

    key: SecretKey

    @cached_property
    def address(self) -> bytes:
        """32 bytes."""
        return address_of(self.key.public)


def wallet(*names: object) -> Wallet:
    """The account of this name: the same in every run."""
    return Wallet(SecretKey(digest("soma/chunk", b"economy", *(str(name).encode() for name in names))))


@define
class Entries:
    """A ledger in memory, in order."""

    values: dict[bytes, bytes] = field(factory=dict)
    _names: list[bytes] = field(factory=list)

    def get(self, key: bytes, /) -> bytes | None:
        """What is stored under `key`."""
        return self.values.get(key)

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Pairs from `start` until before `stop`, ascending."""
        for name in self._names[bisect_left(self._names, start) : bisect_left(self._names, stop)]:
            yield name, self.values[name]

    def write(self, changes: chain.Applied) -> None:
        """Take what a commit changed."""
        for name, (before, now) in changes.changes.items():
            if before is None:
                insort(self._names, name)
            if now is not None:
                self.values[name] = now
                continue
            del self.values[name]
            del self._names[bisect_left(self._names, name)]


@define
class World:
    """A chain with the validators of its genesis, all honest in what they order. `refused`: by what was sent and why.

    `listeners` are told of every commit.
    `validators`: their accounts, by place; `keys`: what they sign blocks with.
    """

    genesis: Genesis
    rule: Any
    validators: tuple[Wallet, ...]
    keys: tuple[SecretKey, ...]
    view: Entries = field(factory=Entries)
    commits: int = 0
    transactions: int = 0
    refused: dict[tuple[str, str], int] = field(factory=dict)
    listeners: list[Callable[[chain.Applied], None]] = field(factory=list)
    _waiting: list[bytes] = field(factory=list)
    _kinds: dict[bytes, str] = field(factory=dict)
    _used: dict[bytes, int] = field(factory=dict)
    _chains: dict[tuple[int, int], Chain] = field(factory=dict)
    _last: chain.Applied = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._take(chain.found(self.genesis, self.view))
        epoch = self.epoch
        self._order([(place, self._system(place, link=False)) for place in range(len(self.validators))], STEP, epoch)

    @property
    def state(self) -> chain.State:
        """The state as it is now."""
        return chain.State(self.view)

    @property
    def now(self) -> int:
        """Ms of the last commit."""
        return self._last.tip.time

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return self.state.need(chain.EPOCH).number

    @property
    def epoch_end(self) -> int:
        """Ms at which a commit ends the epoch."""
        return self.state.need(chain.EPOCH).start + self.genesis.parameters.epoch_ms

    def send(self, sender: Wallet, kind: str, action: Any) -> bytes:
        """Sign and queue a transaction for the next commit. Returns its id."""
        known = self._used.get(sender.address, 0)
        self._used[sender.address] = known + 1
        transaction = chain.Transaction(
            chain=self.genesis.chain,
            sender=sender.address,
            key=sender.key.public,
            sequence=known,
            expiry=self.epoch + 1,
            fee=self.genesis.parameters.fee,
            kind=kind,
            action=to_value(action),
        )
        unsigned = chain.unsigned_bytes(transaction)
        signed = signing_digest("soma/tx", transaction.chain, transaction.expiry, unsigned)
        whole = chain.SignedTransaction(transaction, unsigned, sender.key.sign(signed))
        self._waiting.append(whole.wire)
        self._kinds[whole.id] = kind
        return whole.id

    def commit(self, after: int = STEP) -> chain.Applied:
        """Order what waits, `after` ms later. Raises `CorruptionError` if a transaction was skipped."""
        leader = (self._last.tip.index + 1) % len(self.validators)
        items = [(leader, wire) for wire in self._waiting]
        others = [(place, self._system(place, link=False)) for place in range(len(self.validators)) if place != leader]
        self._waiting.clear()
        return self._order(others + items, after, self.epoch, leader)

    def balance(self, owner: Wallet) -> int:
        """Shannons that an account holds."""
        return chain.account_of(self.state, owner.address).balance

    def worth(self, owner: Wallet) -> int:
        """Shannons of an account and of its pool."""
        return self.balance(owner) + chain.stake_of(self.state, owner.address)

    def _order(self, items: list[tuple[int, bytes]], after: int, epoch: int, leader: int = 0) -> chain.Applied:
        index = self._last.tip.index + 1
        round_ = index - self.state.need(chain.EPOCH).first_index + 1
        commit = Commit(
            index=index,
            digest=digest("soma/commit", index.to_bytes(8, "big")),
            time=self.now + after,
            round=round_,
            leader=leader,
            items=tuple(items),
            leader_system=self._system(leader, link=epoch > 0 or round_ > 1),
        )
        applied = chain.apply(self.genesis, self.rule, self.view, self._last.tip, commit)
        self._take(applied)
        self.commits += 1
        for event in applied.events:
            if isinstance(event, chain.TransactionDone):
                self._done(event)
        for listener in self.listeners:
            listener(applied)
        return applied

    def _done(self, event: chain.TransactionDone) -> None:
        self.transactions += 1
        kind = self._kinds.pop(event.id)
        if event.outcome == "skipped":
            raise CorruptionError(f"{kind}: {event.text}", "this is a fault of the simulation; report it with its seed")
        if event.code:
            self.refused[kind, event.code] = self.refused.get((kind, event.code), 0) + 1

    def _take(self, applied: chain.Applied) -> None:
        self.view.write(applied)
        self._last = applied

    def _system(self, place: int, *, link: bool) -> bytes:
        epoch = self.state.need(chain.EPOCH)
        round_ = self._last.tip.index + 1 - epoch.first_index + 1
        record = self._last.record
        signed = signing_digest("soma/checkpoint", self.genesis.chain, record.epoch, chain.record_digest(record))
        item = chain.System(
            link=self._chain(place, epoch.number).link(round_) if link else None,
            anchors=tuple((number, self._chain(place, number).anchor) for number in (epoch.number, epoch.number + 1)),
            signatures=(chain.RecordSignature(record.index, self.keys[place].sign(signed)),),
        )
        return pack(item)

    def _chain(self, place: int, epoch: int) -> Chain:
        if (place, epoch) not in self._chains:
            self._chains = {key: kept for key, kept in self._chains.items() if key[1] >= epoch - 1}
            seed = digest("soma/beaconseed", place.to_bytes(8, "big"), epoch.to_bytes(8, "big"))
            self._chains[place, epoch] = Chain(seed, self.genesis.parameters.beacon_rounds)
        return self._chains[place, epoch]


def renamed(genesis: Genesis, name: str) -> Genesis:
    """`genesis` as another network: its draws are others."""
    return evolve(genesis, name=name)
