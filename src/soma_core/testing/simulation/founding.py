"""The chain that members have: a genesis for a scenario, and what commits come to, computed once for all."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, final

from soma_core import chain
from soma_core.api import Answer, Candidate, Commit, Member, Reader, ScoringRule, Settlement
from soma_core.crypto import address_of, digest
from soma_core.genesis import Allocation, Genesis, Parameters, Rule, Validator
from soma_core.node.development import foreign_frame

from .clients import ADDRESSES, BALANCE
from .clock import BEGIN

DIMENSION: Final = 8
ROUNDS: Final = 1_024
"""Links of a member's beacon chain; later rounds of a long epoch mix nothing."""
KEPT: Final = 1_024
"""Results that are remembered."""
SCORING: Final = Rule(plugin="scoring-none", rule_id="soma/no-jobs", rule_version=1, params={})


class NoJobs:
    """The scoring rule of a network in which nobody asks for an embedding."""

    def draw(self, _size: int, _candidates: Sequence[Candidate], _beacon: bytes, /) -> tuple[int, ...]:
        """Nobody."""
        return ()

    def settle(self, _pot: int, _answers: Sequence[Answer], _settled: Sequence[object], /) -> Settlement:
        """Never asked for."""
        raise NotImplementedError


def place_key(place: int) -> bytes:
    """The key of the member at `place`: 32 bytes of which nobody has the secret, because signatures are hashes."""
    return digest("soma/chunk", b"validator", place.to_bytes(4, "big"))


def found(powers: Sequence[int], epoch_ms: int, rule: Rule) -> Genesis:
    """A genesis with these members, and clients that can pay."""
    return Genesis(
        name="simulation",
        time=BEGIN,
        parameters=Parameters(
            epoch_ms=epoch_ms, beacon_rounds=ROUNDS, dimension=DIMENSION, emission=10**9, encoder_stake=10**9
        ),
        consensus=rule,
        scoring=SCORING,
        architectures=(),
        anchors=bytes(32),
        allocations=tuple(Allocation(address=address, balance=BALANCE) for address in ADDRESSES),
        validators=tuple(
            Validator(
                name=f"v{place}",
                key=place_key(place),
                node=digest("soma/chunk", b"node", place.to_bytes(4, "big")),
                account=address_of(place_key(place)),
                power=power,
            )
            for place, power in enumerate(powers)
        ),
        encoders=(),
        references=_references(),
    )


@lru_cache(1)
def _references() -> tuple[bytes, ...]:
    return foreign_frame(DIMENSION).references


def committee(genesis: Genesis) -> tuple[Member, ...]:
    """As engines see it."""
    return tuple(Member(v.key, v.power) for v in genesis.validators)


@final
class OnceForAll:
    """`soma_core.chain.apply`, which is pure: the same commit on the same tip is computed once."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, Commit], chain.Applied] = {}

    def __call__(
        self, genesis: Genesis, rule: ScoringRule, view: Reader, tip: chain.Tip, commit: Commit
    ) -> chain.Applied:
        """What `commit` comes to."""
        name = (tip.record, commit)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = chain.apply(genesis, rule, view, tip, commit)
            if len(self._known) > KEPT:
                del self._known[next(iter(self._known))]
        return known
