"""Genesis documents for networks that one person starts: a development network of one, a local network, the demo."""

import time
from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
from attrs import evolve, frozen

from soma_core import fixed
from soma_core.api.spec import ConsensusSpec, ScoringSpec
from soma_core.beacon import draw_seed, uniform
from soma_core.chain import sketch_of
from soma_core.crypto import address_of, digest
from soma_core.genesis import SHANNONS, Allocation, Encoder, Genesis, Parameters, Rule, Validator, check
from soma_core.model import ARCHITECTURES

BALANCE: Final = 10_000 * SHANNONS
STAKE: Final = 1_000 * SHANNONS
REFERENCES: Final = 64
"""Reference vectors a genesis carries, of those on the anchors."""

DEVELOPMENT: Final = Parameters(
    epoch_ms=6_000,
    beacon_rounds=1 << 12,
    emission=SHANNONS,
    shard_size=5,
    attest_ms=20_000,
    draw_ms=20_000,
    commit_ms=60_000,
    reveal_ms=20_000,
    audit_ms=5_000,
    check_ms=0,
    dispute_ms=5_000,
    targets=32,
    target_goal=32,
    target_encoders=5,
    target_bytes=32 << 10,
    target_show_ms=10_000,
)
"""Short epochs and windows, so that a person sees them pass: who wins a job is paid some seconds after it.

A hit is worth about two jobs, and every encoder of `soma localnet` is assigned to every target: any node can hunt.
"""

RACE: Final = {"step_rate": 1_000, "step_least": 1 << 15, "radius_most": 1 << 16, "bond_byte": 5_000}
"""What differs from the defaults of a rule that has these parameters: difficulty moves in small steps, as epochs are
short, and however long nobody hunts, half of all data stay too far from a target. A bond of 4 kB is worth a hit."""


@frozen(kw_only=True)
class Founder:
    """A node that is there from the start. `validator`: its validator key, if it validates. All keys are public."""

    name: str
    account: bytes
    node: bytes
    validator: bytes | None = None


@frozen(kw_only=True)
class FoundingEncoder:
    """An encoder that is there from the start. `account`: the public key its account is made from.

    `best`: a bit for each anchor, or empty where nobody has computed them.
    """

    name: str
    account: bytes
    weights: bytes
    frame: bytes
    architecture: str
    best: bytes = b""


@frozen(eq=False)
class Frame:
    """What the network measures vectors against: length, digest of the anchor items, their sketches, references."""

    dimension: int
    anchors: bytes
    references: tuple[bytes, ...]
    sketches: tuple[bytes, ...] = ()


def bundled_frame() -> Frame:
    """The frame of the bundled encoders. Raises `SettingsError` if their package is not installed."""
    from soma_core.model import bundled_anchors, network_frame

    anchors, references = network_frame()
    step = max(1, len(references) // REFERENCES)
    chosen = tuple(fixed.vector_bytes(row) for row in references[::step][:REFERENCES])
    sketches = tuple(sketch_of(item.data) for item in bundled_anchors())
    return Frame(int(references.shape[1]), anchors, chosen, sketches)


def foreign_frame(dimension: int) -> Frame:
    """A frame for encoders that share none: references are directions drawn at random, the same everywhere."""
    seed = draw_seed(digest("soma/frame", dimension.to_bytes(4, "big")), b"references")
    count = 12 * dimension  # a sum of twelve uniform numbers is near enough to a normal one for a direction
    numbers = np.array([uniform(seed, i, 1 << 16) for i in range(REFERENCES * count)], dtype=np.float64)
    sums = numbers.reshape(REFERENCES, dimension, 12).sum(axis=2) - 12 * ((1 << 16) - 1) / 2
    return Frame(dimension, bytes(32), tuple(fixed.vector_bytes(fixed.quantise(row)) for row in sums))


def found_network(
    name: str,
    founders: Sequence[Founder],
    encoders: Sequence[FoundingEncoder],
    frame: Frame,
    consensus: tuple[str, ConsensusSpec[Any, Any]],
    scoring: tuple[str, ScoringSpec[Any]],
    parameters: Parameters = DEVELOPMENT,
) -> Genesis:
    """A genesis that starts now. `consensus` and `scoring`: plugin name and spec. The dimension is the frame's."""
    paid = {address_of(f.account) for f in founders} | {address_of(e.account) for e in encoders}
    genesis = Genesis(
        name=name,
        time=time.time_ns() // 1_000_000,
        parameters=evolve(parameters, dimension=frame.dimension),
        consensus=rule_of(*consensus),
        scoring=_gentle(rule_of(*scoring)),
        architectures=ARCHITECTURES,
        anchors=frame.anchors,
        allocations=tuple(Allocation(address=address, balance=BALANCE) for address in sorted(paid)),
        validators=tuple(
            Validator(name=f.name, key=f.validator, node=f.node, account=address_of(f.account), power=100, stake=STAKE)
            for f in founders
            if f.validator is not None
        ),
        encoders=tuple(
            Encoder(
                name=e.name,
                account=address_of(e.account),
                stake=STAKE,
                weights=e.weights,
                frame=e.frame,
                architecture=e.architecture,
                best=e.best if frame.sketches else b"",
            )
            for e in encoders
        ),
        references=frame.references,
        sketches=frame.sketches,
    )
    return check(genesis)


def rule_of(plugin: str, spec: ConsensusSpec[Any, Any] | ScoringSpec[Any]) -> Rule:
    """A critical rule as genesis names it, with the default parameters of its plugin."""
    params = attrs.asdict(spec.params())
    return Rule(plugin=plugin, rule_id=spec.rule_id, rule_version=spec.rule_version, params=params)


def _gentle(rule: Rule) -> Rule:
    """`rule`, with `RACE`."""
    known = RACE.keys() & rule.params.keys()
    return evolve(rule, params=rule.params | {name: RACE[name] for name in known})
