"""A network in turmoil: everybody does at random what the rules allow, and much that they do not.

`Turmoil` is a chain of several staked validators, encoders and users. In every commit some of them send transactions of
any kind (`turmoil_moves`), true, false, late, altered, replayed or no transactions at all; leaders keep links back,
validators leave, time stands still or jumps. After every commit the whole state is added up.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random
from typing import Any, Final

import books
from attrs import evolve, field, frozen
from committee_world import Committee, Signer, account, address, committee_genesis
from ledger_world import DictReader, PlainTargets, public
from sortedcontainers import SortedDict

from soma_core import chain, codec, fixed
from soma_core.chain import lthash
from soma_core.chain.accounts import OPERATORS, ROLES, Account
from soma_core.chain.fees import least_fee
from soma_core.crypto import digest, signing_digest
from soma_core.genesis import Allocation, Encoder, Genesis, check
from soma_core.records import to_value

USERS: Final = tuple(range(5, 16))
"""Numbers of keys of accounts that begin with nothing but money."""
ENCODERS: Final = tuple(range(1, 5))
VALIDATORS: Final = tuple(account(place) for place in range(5))
PEOPLE: Final = (*ENCODERS, *USERS, *VALIDATORS)
KEYS: Final = 400
"""Numbers of keys from which on nobody has one."""
WHOLE_CHECK: Final = 40
"""After so many commits the state is checked as a whole."""

_DELEGABLE: Final = frozenset().union(*ROLES.values())
SHORT: Final = {
    "epoch_ms": 2_000,
    "beacon_rounds": 512,
    "unbonding_ms": 6_000,
    "evidence_ms": 4_000,
    "audit_ms": 700,
    "attest_ms": 600,
    "draw_ms": 600,
    "commit_ms": 500,
    "reveal_ms": 400,
    "audit_seal_ms": 400,
    "audit_reveal_ms": 300,
    "check_ms": 400,
    "dispute_ms": 500,
    "target_show_ms": 300,
    "settled_window": 64,
    "targets": 4,
    "target_goal": 8,
    "target_encoders": 2,
    "audit_quorum": 2,
    "fee_goal": 80,
}
SAFE: Final = {**SHORT, "pot": 10**8, "emission": 10**10}
"""Stakes that are worth many pots: audits are sampled."""
MODEST: Final = {**SHORT, "pot": 3 * 10**9, "emission": 10**10}
"""Stakes that are worth few pots: every winner is audited."""
RICH: Final = {
    **SHORT,
    "dimension": 128,
    "pot": 10**15,
    "emission": 1 << 57,
    "supply_limit": (1 << 62) - 1,
    "dispute_bond": 1 << 50,
    "target_bytes": 64 << 20,
}
"""Nearly as much money as a record can hold, soon no more to be made, and vectors as long as usual."""


class SortedReader(DictReader):
    """A ledger whose scans cost what they find."""

    def __init__(self) -> None:
        self.data: SortedDict[bytes, bytes] = SortedDict()

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        yield from [(name, self.data[name]) for name in self.data.irange(start, stop, inclusive=(True, False))]


def genesis_of(parameters: dict[str, int], stake: int = 10**11) -> Genesis:
    """Five validators, four encoders with cells of their own, and people with money."""
    genesis = committee_genesis((1,) * len(VALIDATORS), **parameters)
    dimension = genesis.parameters.dimension
    wealth = 10**12 if stake == 10**11 else 1 << 56
    return check(
        evolve(
            genesis,
            allocations=tuple(Allocation(address=address(number), balance=wealth) for number in PEOPLE),
            validators=tuple(
                evolve(v, stake=stake * (place + 1), power=1) for place, v in enumerate(genesis.validators)
            ),
            encoders=tuple(
                Encoder(
                    name=f"e{number}",
                    account=address(number),
                    stake=stake,
                    weights=bytes([number]) * 32,
                    frame=bytes([number]) * 32,
                    architecture="byte-transformer-1",
                    best=best(number),
                )
                for number in ENCODERS
            ),
            references=tuple(fixed.vector_bytes(fixed.quant(_drawn(dimension, bytes([n])))) for n in range(8)),
            sketches=tuple(sketch_of_kind(anchor % 2, anchor) for anchor in range(16)),
        )
    )


@cache
def sketch_of_kind(kind: int, number: int = 0) -> bytes:
    """The sketch of some data of one of two kinds."""
    data = (b"some words of English, and a few more. ", bytes(range(256)))[kind]
    return chain.sketch_of(data * 8 + bytes([number]))


def best(number: int) -> bytes:
    """The anchors that the encoder of this key embeds best: all of one kind."""
    return chain.best_anchors([anchor % 2 != number % 2 for anchor in range(16)])


@cache
def truth(encoder: bytes, blob: bytes, dimension: int) -> tuple[int, bytes]:
    """What an encoder finds who works: near to what the others find, and a loss of its own."""
    middle, own = _drawn(dimension, blob), _drawn(dimension, encoder, blob)
    loss = int.from_bytes(digest("soma/vector", encoder, blob)[:3], "big") % (12 << 16)
    return loss, fixed.vector_bytes(fixed.quant([4 * a + b for a, b in zip(middle, own, strict=True)]))


def _drawn(dimension: int, *parts: bytes) -> list[int]:
    """Numbers of no randomness but a digest's."""
    blocks = (digest("soma/vector", *parts, bytes([block])) for block in range(-(-dimension // 16)))
    data = b"".join(blocks)
    return [int.from_bytes(data[2 * place : 2 * place + 2], "big", signed=True) for place in range(dimension)]


@cache
def keyring() -> dict[bytes, int]:
    """Public key → the number of the key."""
    return {public(number): number for number in range(KEYS)}


@cache
def people() -> dict[bytes, int]:
    """Address → the number of its key."""
    return {address(number): number for number in range(KEYS)}


@frozen
class Turmoil(Committee):
    """`secrets`: what was sealed and by whom, to be shown. `seen`: (kind, outcome code) → how often."""

    genesis: Genesis = field(factory=lambda: genesis_of(MODEST))
    rule: Any = field(factory=PlainTargets)
    reader: SortedReader = field(factory=SortedReader)
    random: Random = field(factory=lambda: Random(0))
    secrets: dict[Any, Any] = field(factory=dict)
    seen: Counter[tuple[str, str]] = field(factory=Counter)
    tags: dict[bytes, str] = field(factory=dict)
    taken: set[tuple[int, int, int]] = field(factory=set)
    observers: list[Callable[["Turmoil", chain.Applied], None]] = field(factory=list)

    def truth(self, encoder: bytes, blob: bytes) -> tuple[int, bytes]:
        """Loss and vector that an encoder finds who works."""
        return truth(encoder, blob, self.genesis.parameters.dimension)

    # Who sits, and what they send. ------------------------------------------------------------------------------------

    def sitting(self) -> tuple[int, ...]:
        """The numbers of the keys of the validators' accounts, by place."""
        return tuple(people()[validator.account] for validator in chain.committee(self.state))

    def system_of(
        self, place: int, *, link: bytes | bool | None = True, anchors: bool = True, signs: bool = True
    ) -> bytes:
        number = self.sitting()[place]
        validator = chain.committee(self.state)[place]
        epoch, signatures = self.epoch, ()
        record = self.trace[-1].record
        if signs and record.index:
            signed = signing_digest("soma/checkpoint", self.genesis.chain, record.epoch, chain.record_digest(record))
            signature = Signer(keyring()[validator.key]).sign(signed)
            signatures = (chain.RecordSignature(record.index, signature),)
        item = chain.System(
            link=self.chain_of(number, epoch).link(self.round) if link is True else link or None,
            anchors=tuple((e, self.chain_of(number, e).anchor) for e in (epoch, epoch + 1)) if anchors else (),
            signatures=signatures,
        )
        return codec.encode(to_value(item))

    def sent(self, number: int, kind: str, action: Any, **changes: Any) -> bytes:
        """A transaction of the account `number`, signed by it, or, where it may, by an operator's key."""
        signer = number
        if kind in _DELEGABLE and self.random.random() < 0.5:
            signer = self._operator(number, kind) or number
        payer = self._payer(number, signer)
        sequence = payer.sequence
        while payer.used >> sequence - payer.sequence & 1 or (number, signer, sequence) in self.taken:
            sequence += 1
        self.taken.add((number, signer, sequence))
        fee = least_fee(self.state)
        given = {"sequence": sequence, "key": public(signer), "signer": Signer(signer), "fee": fee, **changes}
        wire = self.transaction(number, kind, action, **given)
        self.tags[chain.parse_wire(wire).id] = kind
        return wire

    def _operator(self, number: int, kind: str) -> int | None:
        """The number of an operator's key that may do it for an account, and as a rule can pay for it."""
        for name, operator in self.state.scan(OPERATORS, address(number), address(number) + b"\xff" * 33):
            able = operator.purse.balance >= self.genesis.parameters.fee or self.random.random() < 0.1
            if able and kind in ROLES.get(operator.role, ()):
                return people()[name[32:]]
        return None

    def _payer(self, number: int, signer: int) -> Account:
        operator = self.state.get(OPERATORS, address(number) + address(signer))
        return operator.purse if operator else chain.account_of(self.state, address(number))

    # What happens. ----------------------------------------------------------------------------------------------------

    def happen(self, make: Callable[["Turmoil"], bytes], most: int = 12) -> chain.Applied:
        """One more commit, of up to `most` things that `make` makes."""
        roll = self.random
        sitting = self.sitting()
        items: list[tuple[int, bytes]] = [
            (place, self.system_of(place, link=None)) for place in range(len(sitting)) if roll.random() < 0.5
        ]
        items += [(roll.randrange(len(sitting)), make(self)) for _ in range(roll.randint(0, most))]
        roll.shuffle(items)
        leader = roll.randrange(len(sitting))
        p = self.genesis.parameters
        after = roll.choice([*(roll.randint(0, 60) for _ in range(70)), 450, p.audit_ms, p.epoch_ms])
        room = self.round <= p.beacon_rounds
        system = roll.choice([b"", self.system_of(leader, link=None)]) if roll.random() < 0.04 or not room else None
        self.taken.clear()
        return self.step(*items, leader=leader, after=after, system=system)

    @property
    def tried(self) -> int:
        """Transactions that the chain has seen."""
        return sum(self.seen.values())

    def _take(self, applied: chain.Applied) -> chain.Applied:
        for name, (before, now) in applied.changes.items():
            assert self.reader.data.get(name) == before
            if now is None:
                del self.reader.data[name]
            else:
                self.reader.data[name] = now
        self.trace.append(applied)
        emitted = self.state.need(chain.POOLS).emitted
        assert chain.money_in(list(self.reader.data.items())) == self.genesis.supply + emitted
        assert self.genesis.supply + emitted <= self.genesis.parameters.supply_limit
        if applied.record.index % WHOLE_CHECK == 0:
            self.check_whole()
        for event in applied.events:
            if isinstance(event, chain.TransactionDone):
                self.seen[self.tags.get(event.id, ""), event.code or event.outcome] += 1
        for observer in self.observers:
            observer(self, applied)
        return applied

    def check_whole(self) -> None:
        """The state's sum is what it is from nothing, and its records are of one mind."""
        assert lthash.total(self.reader.data.items()) == self.tip.lthash
        books.check(self.state)


def one_of(random: Random, choices: Sequence[Any]) -> Any:
    """Any of them, or None if there is none."""
    return random.choice(choices) if choices else None
