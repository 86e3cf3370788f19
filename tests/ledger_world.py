"""A small chain for tests: keys, a genesis, a dictionary for a ledger, commits made by hand.

`World` applies what a test hands it, commit by commit, checks the supply by adding up the whole state every time, and
recomputes the state digest from nothing.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import refused
from attrs import evolve, field, frozen

from soma_core import chain, fixed
from soma_core.api import Answer, Candidate, Commit, Difficulty, Limits, Payment, Settlement
from soma_core.beacon import Chain, uniform
from soma_core.chain import lthash
from soma_core.crypto import SecretKey, address_of, digest, signing_digest
from soma_core.genesis import Allocation, Encoder, Genesis, Parameters, Rule, Validator
from soma_core.records import pack, to_value

DIM = 8


@cache
def key(number: int) -> SecretKey:
    return SecretKey(digest("soma/chunk", number.to_bytes(8, "big")))


@cache
def public(number: int) -> bytes:
    """The public half of the key `number`."""
    return key(number).public


def unit(seed: int, dim: int = DIM) -> "np.ndarray[Any, np.dtype[np.int16]]":
    return fixed.quantise(np.random.default_rng(seed).normal(size=dim))


class DictReader:
    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}

    def get(self, name: bytes, /) -> bytes | None:
        return self.data.get(name)

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        yield from sorted((k, v) for k, v in self.data.items() if start <= k < stop)


class PlainRule:
    """A scoring rule to check by eye: equal weights, lowest loss wins, silence costs a tenth of the pot.

    Who is proven false counts for nothing and loses a tenth of its stake.
    """

    def draw(self, size: int, candidates: Sequence[Candidate], beacon: bytes, /) -> tuple[int, ...]:
        places = list(range(len(candidates)))
        return tuple(places.pop(uniform(beacon, i, len(places))) for i in range(min(size, len(places))))

    def settle(self, pot: int, answers: Sequence[Answer], settled: Sequence[Any], /) -> Settlement:
        assert len(settled) == 7
        valid = [i for i, a in enumerate(answers) if a.vector is not None and 0 <= a.loss <= 16 << 16]
        silent = tuple(i for i in range(len(answers)) if i not in valid)
        fines = dict.fromkeys(silent, pot // 10)
        slashes = {i: answers[i].stake // 10 for i in valid if answers[i].verdict == "false"}
        valid = [i for i in valid if i not in slashes]
        if not valid:
            refund = (Payment("submitter", pot, "refund"),)
            return Settlement("refunded", None, {}, None, None, silent, (), (), {}, refund, fines, slashes)
        winner = min(valid, key=lambda i: (answers[i].loss, answers[i].registered))
        weights = dict(zip(valid, fixed.share([1] * len(valid), fixed.ONE), strict=True))
        joined = [sum(weights[i] * int(answers[i].vector[k]) for i in valid) for k in range(DIM)]  # type: ignore[index]
        gates = {i: answers[i].gate for i in valid}
        won = (Payment(winner, pot, "won"),)
        return Settlement(
            "settled", fixed.quant(joined), weights, winner, None, silent, (), (), gates, won, fines, slashes
        )


class PlainTargets(PlainRule):
    """The plain rule with targets to check by eye: the first encoders, a radius that halves and grows by a half."""

    def point(self, beacon: bytes, observed: Sequence[Any], /) -> Any:
        return fixed.quant([uniform(beacon, i, 201) - 100 for i in range(len(observed[0]))])

    def assign(
        self, points: Sequence[Any], positions: Sequence[Any], stakes: Sequence[int], k: int, /
    ) -> list[tuple[int, ...]]:
        return [tuple(place for place, stake in enumerate(stakes) if stake)[:k]] * len(points)

    def start(self, observed: Sequence[Any], /) -> Difficulty:
        return Difficulty(1 << 15, 0)

    def radius(self, old: Difficulty, hits: int, goal: int, observed: Sequence[Any], /) -> Difficulty:
        radius = old.radius // 2 if hits > goal else min(2 << 16, old.radius * 3 // 2) if hits < goal else old.radius
        return Difficulty(radius, old.memory + hits)

    def limits(self, point: Any, difficulty: Difficulty, observed: Sequence[Any], losses: Sequence[int], /) -> Limits:
        return Limits(difficulty.radius, max(losses) // 2)

    def bond(self, reward: int, size: int, /) -> int:
        return reward // 10 + size


def make_genesis(**changes: Any) -> Genesis:
    parameters = Parameters(
        dimension=DIM,
        shard_size=3,
        epoch_ms=60_000,
        beacon_rounds=4096,
        encoder_stake=10**9,
        emission=10**9,
        audit_ms=0,
        check_ms=0,
    )
    return Genesis(
        name="test",
        time=1_000_000,
        parameters=evolve(parameters, **changes),
        consensus=Rule(plugin="consensus-solo", rule_id="soma/solo", rule_version=1, params={}),
        scoring=Rule(plugin="scoring-plain", rule_id="test/plain", rule_version=1, params={}),
        architectures=("byte-transformer-1",),
        anchors=bytes(32),
        allocations=tuple(Allocation(address=address_of(key(i).public), balance=10**12) for i in range(8)),
        validators=(
            Validator(name="v0", key=key(100).public, node=key(101).public, account=address_of(key(0).public), power=1),
        ),
        encoders=tuple(
            Encoder(
                name=f"e{i}",
                account=address_of(key(i).public),
                stake=10**11,
                weights=bytes([i]) * 32,
                frame=bytes([i]) * 32,
                architecture="byte-transformer-1",
            )
            for i in range(1, 5)
        ),
        references=tuple(fixed.vector_bytes(unit(1000 + i)) for i in range(8)),
    )


@frozen
class World:
    genesis: Genesis = field(factory=make_genesis)
    rule: Any = field(factory=PlainRule)
    reader: DictReader = field(factory=DictReader)
    trace: list[Any] = field(factory=list)
    links: dict[int, Chain] = field(factory=dict)
    sequences: dict[int, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self._take(chain.found(self.genesis, self.reader))

    @property
    def tip(self) -> chain.Tip:
        return self.trace[-1].tip

    @property
    def state(self) -> chain.State:
        return chain.State(self.reader)

    @property
    def epoch(self) -> int:
        return self.state.need(chain.EPOCH).number

    def balance(self, number: int) -> int:
        return chain.account_of(self.state, address_of(key(number).public)).balance

    def transaction(self, number: int, kind: str, action: Any, **changes: Any) -> bytes:
        sequence = changes.pop("sequence", None)
        if sequence is None:
            sequence = self.sequences.get(number, 0)
            self.sequences[number] = sequence + 1
        signer = changes.pop("signer", key(number))
        transaction = chain.Transaction(
            chain=self.genesis.chain,
            sender=address_of(public(number)),
            key=public(number),
            sequence=sequence,
            expiry=self.epoch + 1,
            fee=self.genesis.parameters.fee,
            kind=kind,
            action=to_value(action) if not isinstance(action, dict) else action,
        )
        transaction = evolve(transaction, **changes)
        unsigned = chain.unsigned_bytes(transaction)
        signature = signer.sign(signing_digest("soma/tx", transaction.chain, transaction.expiry, unsigned))
        return chain.SignedTransaction(transaction, unsigned, signature).wire

    def system(self, round_: int, *, link: bool = True) -> bytes:
        epoch = self.state.need(chain.EPOCH)
        anchors = tuple((e, self._chain(e).anchor) for e in (epoch.number, epoch.number + 1))
        record = self.trace[-1].record
        digest_ = signing_digest("soma/checkpoint", self.genesis.chain, record.epoch, chain.record_digest(record))
        item = chain.System(
            link=self._chain(epoch.number).link(round_) if link else None,
            anchors=anchors,
            signatures=(chain.RecordSignature(record.index, key(100).sign(digest_)),),
        )
        return pack(item)

    def commit(
        self, *payloads: bytes, after: int = 20, link: bool = True, system: bytes | None = None
    ) -> chain.Applied:
        """Apply the next commit, `after` ms later."""
        index = self.tip.index + 1
        round_ = index - self.state.need(chain.EPOCH).first_index + 1
        commit = Commit(
            index=index,
            digest=digest("soma/commit", index.to_bytes(8, "big")),
            time=self.tip.time + after,
            round=round_,
            leader=0,
            items=tuple((0, payload) for payload in payloads),
            leader_system=self.system(round_, link=link) if system is None else system,
        )
        return self.apply(commit)

    def apply(self, commit: Commit) -> chain.Applied:
        """Apply the next commit, and hold that what it refused changed nothing."""
        applied = chain.apply(self.genesis, self.rule, self.reader, self.tip, commit)
        refused.changes_nothing(self.genesis, self.rule, self.reader, self.tip, commit, applied)
        return self._take(applied)

    def outcomes(self, applied: chain.Applied) -> list[tuple[str, str]]:
        return [(e.outcome, e.code) for e in applied.events if isinstance(e, chain.TransactionDone)]

    def only(self, applied: chain.Applied, kind: type[Any]) -> Any:
        (event,) = (e for e in applied.events if isinstance(e, kind))
        return event

    def _chain(self, epoch: int) -> Chain:
        if epoch not in self.links:
            self.links[epoch] = Chain(digest("soma/beaconseed", epoch.to_bytes(8, "big")), 4096)
        return self.links[epoch]

    def _take(self, applied: chain.Applied) -> chain.Applied:
        for name, (before, now) in applied.changes.items():
            assert self.reader.data.get(name) == before
            if now is None:
                del self.reader.data[name]
            else:
                self.reader.data[name] = now
        self.trace.append(applied)
        entries = list(self.reader.data.items())
        emitted = self.state.need(chain.POOLS).emitted
        assert chain.money_in(entries) == self.genesis.supply + emitted
        assert lthash.total(entries) == applied.tip.lthash
        return applied
