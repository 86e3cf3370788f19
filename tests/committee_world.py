"""A chain of several validators for tests, which signs without randomness and remembers its commits.

`Committee` is a `World` in which any validator may lead, announce anchors and sign records. Because its signatures are
the same every time, the vectors of ``specs/vectors`` are made of what it did.
"""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

import coincurve
from attrs import evolve, field, frozen
from ledger_world import DIM, World, key, make_genesis, public

from soma_core import chain, fixed
from soma_core.api import Commit
from soma_core.beacon import Chain
from soma_core.crypto import address_of, digest, signing_digest
from soma_core.genesis import Allocation, Genesis, Validator, check
from soma_core.records import pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class Signer:
    """The key `number`, signing with no auxiliary randomness: the same digest always gets the same signature."""

    number: int

    @property
    def public(self) -> bytes:
        return public(self.number)

    def sign(self, message_digest: bytes) -> bytes:
        # `None` is what the library calls BIP-340 with 32 zero bytes of auxiliary data; its types know only bytes.
        return _private(self.number).sign_schnorr(message_digest, None)  # type: ignore[arg-type]


@cache
def _private(number: int) -> coincurve.PrivateKey:
    return coincurve.PrivateKey(key(number).expose())


def account(place: int) -> int:
    """The number of the key of the account of the validator at `place`."""
    return 20 + place


@cache
def address(number: int) -> bytes:
    return address_of(public(number))


def spread(number: int) -> "NDArray[np.int16]":
    """A vector int16 [DIM] of no randomness but a digest's."""
    drawn = digest("soma/vector", number.to_bytes(8, "big"))
    return fixed.quant([int.from_bytes(drawn[4 * i : 4 * i + 4], "big", signed=True) for i in range(DIM)])


def committee_genesis(powers: Iterable[int] = (1, 1, 1, 1), **changes: Any) -> Genesis:
    """`make_genesis` with a validator for each of `powers`."""
    genesis = make_genesis(**changes)
    validators = tuple(
        Validator(
            name=f"v{place}",
            key=key(100 + place).public,
            node=key(200 + place).public,
            account=address(account(place)),
            power=power,
        )
        for place, power in enumerate(powers)
    )
    paid = tuple(Allocation(address=address(account(place)), balance=10**12) for place in range(len(validators)))
    return evolve(
        genesis,
        validators=validators,
        allocations=(*genesis.allocations, *paid),
        references=tuple(fixed.vector_bytes(spread(1000 + i)) for i in range(8)),
    )


def staked() -> Genesis:
    """`committee_genesis` with epochs of 5 s, whose validators have stake: committees may change."""
    times = {"epoch_ms": 5_000, "unbonding_ms": 45_000, "evidence_ms": 25_000, "audit_ms": 5_000, "attest_ms": 1_000}
    genesis = committee_genesis(**times)
    return check(evolve(genesis, validators=tuple(evolve(v, stake=100 * 10**9) for v in genesis.validators)))


@frozen
class Committee(World):
    """`commits`: all that were applied, from the first."""

    genesis: Genesis = field(factory=committee_genesis)
    commits: list[Commit] = field(factory=list)

    @property
    def places(self) -> range:
        return range(len(self.genesis.validators))

    @property
    def round(self) -> int:
        """The round of the next commit."""
        return self.tip.index + 1 - self.state.need(chain.EPOCH).first_index + 1

    def chain_of(self, place: int, epoch: int) -> Chain:
        name = place << 32 | epoch
        if name not in self.links:
            seed = digest("soma/beaconseed", place.to_bytes(8, "big"), epoch.to_bytes(8, "big"))
            self.links[name] = Chain(seed, self.genesis.parameters.beacon_rounds)
        return self.links[name]

    def transaction(self, number: int, kind: str, action: Any, **changes: Any) -> bytes:
        changes.setdefault("signer", Signer(number))
        return super().transaction(number, kind, action, **changes)

    def record_signature(self, place: int, record: chain.CommitRecord) -> chain.RecordSignature:
        signed = signing_digest("soma/checkpoint", self.genesis.chain, record.epoch, chain.record_digest(record))
        return chain.RecordSignature(record.index, Signer(100 + place).sign(signed))

    def system_of(
        self, place: int, *, link: bytes | bool | None = True, anchors: bool = True, signs: bool = True
    ) -> bytes:
        """What rides in the block of `place`. `link`: its own of the next round, none, or what is given."""
        epoch = self.epoch
        item = chain.System(
            link=self.chain_of(place, epoch).link(self.round) if link is True else link or None,
            anchors=tuple((e, self.chain_of(place, e).anchor) for e in (epoch, epoch + 1)) if anchors else (),
            signatures=(self.record_signature(place, self.trace[-1].record),) if signs else (),
        )
        return pack(item)

    def step(
        self,
        *items: bytes | tuple[int, bytes],
        leader: int = 0,
        after: int = 20,
        system: bytes | None = None,
        round_: int | None = None,
    ) -> chain.Applied:
        """Apply the next commit, `after` ms later. An item is (author, payload), or the leader's payload."""
        index = self.tip.index + 1
        commit = Commit(
            index=index,
            digest=digest("soma/commit", index.to_bytes(8, "big")),
            time=self.tip.time + after,
            round=self.round if round_ is None else round_,
            leader=leader,
            items=tuple(item if isinstance(item, tuple) else (leader, item) for item in items),
            leader_system=self.system_of(leader) if system is None else system,
        )
        self.commits.append(commit)
        return self.apply(commit)

    def announce(self) -> chain.Applied:
        """A commit in which every validator's anchors are ordered, so that later links can be checked."""
        return self.step(*((place, self.system_of(place, link=None)) for place in self.places))

    def validator(self, place: int) -> Any:
        return self.state.need(chain.VALIDATORS, place.to_bytes(2, "big"))
