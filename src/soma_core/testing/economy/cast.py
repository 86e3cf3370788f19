"""Who takes part in a simulated economy, what each of them has done, and the genesis they start from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

from attrs import define, field, frozen

from soma_core import fixed
from soma_core.api import HasTargets
from soma_core.chain import best_anchors
from soma_core.crypto import SecretKey, digest
from soma_core.genesis import SHANNONS, SUPPLY_MOST, Allocation, Encoder, Genesis, Parameters, Rule, Validator, check
from soma_core.testing.component import component

from .answers import Honest, Strategy
from .data import KINDS, Source
from .ledger import Wallet, World, wallet
from .models import Model, run, weights_of

DIMENSION: Final = 64
ANCHORS: Final = 64
ANCHORS_AT: Final = 1 << 41
"""The network's anchors are items from this number on."""
REFERENCES_AT: Final = 1 << 42
PURSE: Final = 1_000_000
"""SOMA that everybody has beside their stake, if nothing else is said."""
VALIDATORS: Final = 3
BEFORE: Final = 72
"""Jobs that settle before the first target opens, so that targets lie where data do: rules follow them from 64 on."""
ARCHITECTURE: Final = "made-up-1"


@define(eq=False)
class Seat:
    """An encoder: an account, weights, and how it answers. `role`: in words. `party`: who act together."""

    name: str
    model: Model
    strategy: Strategy = field(factory=Honest)
    stake: int = 1_000 * SHANNONS
    role: str = "honest"
    party: str = ""
    seen: Counter[str] = field(factory=Counter)
    """Draws, wins, silences, times out, draws while closed, and shannons of pots, fines and slashes."""

    @cached_property
    def wallet(self) -> Wallet:
        """Its account."""
        return wallet("encoder", self.name)


@frozen(kw_only=True)
class Setting:
    """What a simulation is of. `rule`: a scoring plugin. `constants`, `parameters`: where they are not the usual ones.

    `purse`: SOMA that everybody has beside their stake. `jobs`: in an epoch; `before`: in the first one beside them.
    `rounds`: of the race in an epoch. `kinds`: of the data there is. `sketched`: validators sketch what they attest;
    without that nothing is routed.
    """

    seed: int = 0
    rule: str = "scoring-soma"
    constants: Mapping[str, int] = field(factory=dict)
    parameters: Mapping[str, int] = field(factory=dict)
    purse: int = PURSE
    jobs: int = 4
    before: int = 0
    rounds: int = 8
    kinds: Sequence[str] = KINDS
    sketched: bool = True

    @cached_property
    def source(self) -> Source:
        """Its data."""
        return Source(self.seed, DIMENSION, self.kinds)


def parameters_of(setting: Setting) -> Parameters:
    """The parameters of genesis: the usual ones, but for times and sums that fit a minute's epoch of a few jobs."""
    values = {
        "dimension": DIMENSION,
        "epoch_ms": 60_000,
        "beacon_rounds": 512,
        "unbonding_ms": 240_000,
        "evidence_ms": 120_000,
        "audit_ms": 10_000,
        "attest_ms": 2_000,
        "draw_ms": 20_000,
        "commit_ms": 2_000,
        "reveal_ms": 2_000,
        "audit_seal_ms": 2_000,
        "audit_reveal_ms": 2_000,
        "check_ms": 0,
        "dispute_ms": 4_000,
        "settled_window": 128,
        "pot": SHANNONS,
        "pot_per_kib": 0,
        "emission": 100 * SHANNONS,
        "supply_limit": SUPPLY_MOST,
        "target_show_ms": 2_000,
        "targets": 8,
        "target_goal": 32,
        **setting.parameters,
    }
    return Parameters(**values)


def rule_of(setting: Setting) -> tuple[Rule, HasTargets]:
    """The scoring rule as genesis names it, and itself."""
    import attrs

    spec = component(setting.rule).spec
    params = spec.params(**setting.constants)
    named = Rule(plugin=setting.rule, rule_id=spec.rule_id, rule_version=spec.rule_version, params=attrs.asdict(params))
    return named, spec.open(params)


def found(setting: Setting, seats: Sequence[Seat], others: Sequence[Wallet]) -> World:
    """The network of these encoders, registered in this order, and of `others` with money."""
    named, rule = rule_of(setting)
    auditors = tuple(wallet("validator", place) for place in range(VALIDATORS))
    keys = tuple(SecretKey(digest("soma/chunk", b"economy key", bytes([place]))) for place in range(2 * VALIDATORS))
    source = setting.source
    anchors = [source.item(ANCHORS_AT + number, source.kinds[number % len(source.kinds)]) for number in range(ANCHORS)]
    references = [source.item(REFERENCES_AT + number) for number in range(16)]
    genesis = Genesis(
        name=f"economy-{setting.seed}",
        time=1_000_000,
        parameters=parameters_of(setting),
        consensus=Rule(plugin="consensus-solo", rule_id="soma/solo", rule_version=1, params={}),
        scoring=named,
        architectures=(ARCHITECTURE,),
        anchors=bytes(32),
        allocations=tuple(
            Allocation(address=one.address, balance=setting.purse * SHANNONS)
            for one in (*auditors, *others, *(seat.wallet for seat in seats))
        ),
        validators=tuple(
            Validator(
                name=f"v{place}",
                key=keys[place].public,
                node=keys[VALIDATORS + place].public,
                account=auditor.address,
                power=1,
            )
            for place, auditor in enumerate(auditors)
        ),
        encoders=tuple(
            Encoder(
                name=seat.name,
                account=seat.wallet.address,
                stake=seat.stake,
                weights=weights_of(seat.model),
                frame=weights_of(seat.model),
                architecture=ARCHITECTURE,
                best=best_anchors([run(seat.model, item).loss for item in anchors]),
            )
            for seat in seats
        ),
        references=tuple(fixed.vector_bytes(fixed.quantise(item.direction)) for item in references),
        sketches=tuple(item.sketch for item in anchors),
    )
    return World(genesis=check(genesis), rule=rule, validators=auditors, keys=keys[:VALIDATORS])
