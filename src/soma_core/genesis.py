"""The genesis document: everything a network starts from. Its digest is the chain id.

A genesis holds no secret and no address of a peer. It is a strict record: two files that differ in one byte are two
networks. Rules G1 to G11 of ``specs/10-genesis.md``.
"""

from functools import cached_property
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

from . import codec, fixed
from .crypto import DIGEST_SIZE, KEY_SIZE, digest
from .errors import DecodeError, GenesisError
from .records import octets, pack, text, to_value, uint, unpack

SHANNONS: Final = 10**9
"""Shannons in one SOMA."""
SUPPLY_MOST: Final = 1 << 62
"""Shannons. No sum of money in a valid network reaches it, so that sums stay inside a record's integers."""
TIME_MOST: Final = 1 << 48
"""Ms. No start and no duration is larger, so that a deadline stays inside a record's integers."""
NAME_MOST: Final = 32
"""Characters of an encoder's name."""
OPAQUE: Final = "opaque"
"""The architecture of encoders without a byte likelihood, or that nobody can run again."""
SKETCH_SIZE: Final = 64
"""Numbers in a sketch of data, a byte each."""
ANCHORS_LEAST: Final = 16
ANCHORS_MOST: Final = 4_096
"""Anchors whose sketches a genesis can hold, if it holds any."""
RESERVED_NAMES: Final = frozenset({"submitter", "treasury", "validators"})
"""Names that receipts give to who is no encoder."""
MAX_FILE: Final = 1 << 20
"""Bytes of a genesis file."""
IDLE_ROUND_MS: Final = 500
"""Milliseconds of a round with nothing to order: an epoch has at least `epoch_ms` / this many rounds."""


@frozen(kw_only=True)
class Parameters:
    """Integers every node of a network agrees on. Times in ms, money in shannons, shares in parts of 10,000."""

    epoch_ms: int = uint(default=86_400_000, least=1, most=TIME_MOST)
    unbonding_ms: int = uint(default=28 * 86_400_000, most=TIME_MOST)
    evidence_ms: int = uint(default=14 * 86_400_000, most=TIME_MOST)
    audit_ms: int = uint(default=2 * 86_400_000, most=TIME_MOST)
    beacon_rounds: int = uint(default=1 << 22, least=1, most=1 << 22)

    emission: int = uint(default=1_370 * SHANNONS, most=SUPPLY_MOST)
    supply_limit: int = uint(default=10_000_000 * SHANNONS, most=SUPPLY_MOST)
    emission_embed: int = uint(default=1_000, most=10_000)
    emission_validators: int = uint(default=2_000, most=10_000)
    emission_treasury: int = uint(default=1_000, most=10_000)
    emission_targets: int = uint(default=6_000, most=10_000)

    fee: int = uint(default=10_000, most=SUPPLY_MOST)
    fee_most: int = uint(default=10_000_000, most=SUPPLY_MOST)
    fee_goal: int = uint(default=864_000, least=1, most=1 << 40)
    pot: int = uint(default=10_000_000, most=SUPPLY_MOST)
    pot_per_kib: int = uint(default=1_000, most=SUPPLY_MOST)
    commission: int = uint(default=2_000, most=10_000)
    commission_validators: int = uint(default=8_000, most=10_000)

    dimension: int = uint(default=128, least=8, most=8192)
    shard_size: int = uint(default=7, least=1, most=31)
    max_blob: int = uint(default=16 << 20, least=1, most=64 << 20)
    open_jobs: int = uint(default=1_024, least=1, most=1 << 16)
    attest_ms: int = uint(default=30_000, least=1, most=TIME_MOST)
    draw_ms: int = uint(default=30_000, least=1, most=TIME_MOST)
    commit_ms: int = uint(default=60_000, least=1, most=TIME_MOST)
    reveal_ms: int = uint(default=30_000, least=1, most=TIME_MOST)
    audit_quorum: int = uint(default=3, most=31)
    audit_seal_ms: int = uint(default=60_000, least=1, most=TIME_MOST)
    audit_reveal_ms: int = uint(default=30_000, least=1, most=TIME_MOST)
    check_ms: int = uint(default=600_000, most=TIME_MOST)
    audit_band: int = uint(default=289, most=1 << 17)
    audit_loss_band: int = uint(default=655, most=1 << 20)
    dispute_ms: int = uint(default=6 * 3_600_000, least=1, most=TIME_MOST)
    dispute_bond: int = uint(default=SHANNONS, most=SUPPLY_MOST)
    settled_window: int = uint(default=600, least=40, most=4_096)
    encoder_stake: int = uint(default=100 * SHANNONS, most=SUPPLY_MOST)
    validator_join: int = uint(default=12, least=1, most=10_000)
    validator_low: int = uint(default=8, least=1, most=10_000)
    validator_drop: int = uint(default=4, least=1, most=10_000)
    validator_grace: int = uint(default=7, most=1 << 16)
    committee_most: int = uint(default=100, least=1, most=1_024)
    reward_withheld: int = uint(default=5_000, most=10_000)
    slash_equivocation: int = uint(default=500, most=10_000)
    slash_downtime: int = uint(default=1, most=10_000)
    stake_least: int = uint(default=SHANNONS, least=1, most=SUPPLY_MOST)

    targets: int = uint(default=100, least=1, most=1 << 12)
    target_goal: int = uint(default=86_400, least=1, most=1 << 32)
    target_encoders: int = uint(default=3, least=1, most=8)
    target_bytes: int = uint(default=1 << 20, least=1, most=64 << 20)
    target_show_ms: int = uint(default=30_000, least=1, most=TIME_MOST)
    target_bond: int = uint(default=1_000, most=10_000)
    target_late: int = uint(default=1_000, most=10_000)
    target_submitter: int = uint(default=4_975, most=10_000)
    target_encoder: int = uint(default=4_975, most=10_000)
    target_claimer: int = uint(default=50, most=10_000)


@frozen(kw_only=True)
class Rule:
    """A critical rule: the plugin that has it, its own id and version, and its parameters."""

    plugin: str = text()
    rule_id: str = text()
    rule_version: int = uint(least=1)
    params: dict[str, int]


@frozen(kw_only=True)
class Allocation:
    """A balance at the start."""

    address: bytes = octets(32)
    balance: int = uint(most=SUPPLY_MOST)


@frozen(kw_only=True)
class Validator:
    """A member of the first committee. `key` signs blocks and checkpoints, `node` is its peer id, `account` is paid."""

    name: str = text()
    key: bytes = octets(KEY_SIZE)
    node: bytes = octets(KEY_SIZE)
    account: bytes = octets(32)
    power: int = uint(least=1, most=1 << 40)
    stake: int = uint(most=SUPPLY_MOST, default=0)


@frozen(kw_only=True)
class Encoder:
    """An encoder registered from the start. Its stake comes on top of the allocations."""

    name: str = text()
    account: bytes = octets(32)
    stake: int = uint(most=SUPPLY_MOST)
    weights: bytes = octets(most=32)
    frame: bytes = octets(most=32)
    architecture: str = text()
    best: bytes = octets(most=ANCHORS_MOST // 8, default=b"")


@frozen(kw_only=True)
class Charter:
    """What of a genesis has to be known to check what its network has signed; a receipt carries it, and no more.

    `rest`: the digest of everything else that the genesis says.
    """

    name: str = text()
    time: int = uint(most=TIME_MOST)
    parameters: Parameters
    validators: tuple[Validator, ...]
    rest: bytes = octets(32)

    @cached_property
    def chain(self) -> bytes:
        """The chain id: 32 bytes."""
        return digest("soma/genesis", pack(self))


@frozen(kw_only=True)
class Genesis:
    """`references`: int16 little-endian vectors of the network's dimension, for the gate until jobs have settled.

    `sketches`: of the anchor items, in their order, or none: then no encoder has cells of its own.
    """

    name: str = text()
    time: int = uint(most=TIME_MOST)
    parameters: Parameters
    consensus: Rule
    scoring: Rule
    architectures: tuple[str, ...]
    anchors: bytes = octets(32)
    allocations: tuple[Allocation, ...]
    validators: tuple[Validator, ...]
    encoders: tuple[Encoder, ...]
    references: tuple[bytes, ...]
    sketches: tuple[bytes, ...] = ()

    @cached_property
    def charter(self) -> Charter:
        """What receipts carry of it."""
        said = {name: value for name, value in to_value(self).items() if name not in _CHARTERED}
        return Charter(
            name=self.name,
            time=self.time,
            parameters=self.parameters,
            validators=self.validators,
            rest=digest("soma/founding", codec.encode(said)),
        )

    @property
    def chain(self) -> bytes:
        """The chain id: 32 bytes. It depends on every byte of the genesis."""
        return self.charter.chain

    @property
    def protocol(self) -> bytes:
        """The protocol digest: rules and parameters, never a distribution's version. Checked in the handshake."""
        rules = [[rule.rule_id, rule.rule_version, rule.params] for rule in (self.consensus, self.scoring)]
        return digest("soma/protocol", codec.encode([rules, to_value(self.parameters)]))

    @property
    def supply(self) -> int:
        """Shannons that exist at the start."""
        staked = sum(v.stake for v in self.validators) + sum(e.stake for e in self.encoders)
        return sum(a.balance for a in self.allocations) + staked


_CHARTERED: Final = {"name", "time", "parameters", "validators"}


def check(genesis: Genesis) -> Genesis:
    """`genesis`, or a `GenesisError` that lists everything wrong with it."""
    p = genesis.parameters
    problems = [
        text
        for wrong, text in (
            (not p.unbonding_ms > p.evidence_ms > p.audit_ms, "unbonding_ms > evidence_ms > audit_ms must hold"),
            (
                p.emission_embed + p.emission_validators + p.emission_treasury + p.emission_targets > 10_000,
                "emission shares exceed 10000",
            ),
            (
                p.target_submitter + p.target_encoder + p.target_claimer > 10_000,
                "the shares of a target's reward exceed 10000",
            ),
            (genesis.supply > p.supply_limit, f"supply {genesis.supply} exceeds supply_limit {p.supply_limit}"),
            (p.beacon_rounds < p.epoch_ms // IDLE_ROUND_MS, "beacon_rounds are fewer than the rounds of an idle epoch"),
            (p.fee > p.fee_most, "fee exceeds fee_most"),
            (not p.validator_drop <= p.validator_low <= p.validator_join, "validator_drop, _low, _join do not ascend"),
            (not genesis.validators, "there is no validator"),
            (len({v.stake > 0 for v in genesis.validators}) > 1, "some validators have stake and others have none"),
            (
                _repeats(
                    [v.account for v in genesis.validators if v.stake] + sorted({e.account for e in genesis.encoders})
                ),
                "a validator with stake shares its account with another or with an encoder",
            ),
            (_repeats(v.key for v in genesis.validators), "two validators share a key"),
            (_repeats(v.node for v in genesis.validators), "two validators share a node"),
            (_repeats(v.name for v in genesis.validators), "two validators share a name"),
            (_repeats(a.address for a in genesis.allocations), "two allocations share an address"),
            (_repeats(e.account for e in genesis.encoders), "two encoders share an account"),
            (_repeats(e.name for e in genesis.encoders), "two encoders share a name"),
            (not all(is_name(e.name) for e in genesis.encoders), "an encoder's name is not one"),
            (any(e.stake < p.encoder_stake for e in genesis.encoders), "an encoder has less than encoder_stake"),
            (
                any(e.architecture not in (*genesis.architectures, OPAQUE) for e in genesis.encoders),
                "an encoder's architecture is not in the list",
            ),
            (
                any(
                    e.architecture != OPAQUE and not len(e.weights) == len(e.frame) == DIGEST_SIZE
                    for e in genesis.encoders
                ),
                "an encoder that can be audited has no digest of its weights or frame map",
            ),
            (
                len(genesis.sketches) not in (0, *range(ANCHORS_LEAST, ANCHORS_MOST + 1))
                or any(len(sketch) != SKETCH_SIZE for sketch in genesis.sketches),
                f"sketches are none or of {ANCHORS_LEAST} to {ANCHORS_MOST} anchors, {SKETCH_SIZE} bytes each",
            ),
            (
                any(e.best and not is_best(genesis, e.best) for e in genesis.encoders),
                "an encoder's best anchors are not a quarter of the anchors",
            ),
            (len(genesis.references) < 7, "fewer than 7 reference vectors"),
            (
                not all(_is_reference(r, p.dimension) for r in genesis.references),
                f"a reference vector is not {p.dimension} int16 values of the norm that quantising gives",
            ),
        )
        if wrong
    ]
    if problems:
        raise GenesisError(
            f"genesis of {genesis.name!r}: {'; '.join(problems)}",
            "found the network again with what is wrong corrected",
        )
    return genesis


def is_best(genesis: Genesis, best: bytes) -> bool:
    """Whether `best` has a bit for each anchor, and a quarter of them set."""
    count = len(genesis.sketches)
    bits = int.from_bytes(best, "big")
    unused = -count % 8
    return len(best) == -(-count // 8) and bits.bit_count() == count // 4 and not bits & ((1 << unused) - 1)


def is_name(name: str) -> bool:
    """Whether an encoder may have this name: an ASCII identifier of at most 32 characters, none that receipts use."""
    return name.isascii() and name.isidentifier() and len(name) <= NAME_MOST and name not in RESERVED_NAMES


def read(path: Path) -> Genesis:
    """The genesis in the file `path`, checked. Raises `GenesisError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
        return check(unpack(Genesis, data, max_size=MAX_FILE))
    except OSError as error:
        raise GenesisError(f"{path}: {error.strerror}", "name a genesis file with --genesis") from error
    except DecodeError as error:
        raise GenesisError(f"{path}: {error.what}", "get the file again from somebody who runs the network") from error


def write(genesis: Genesis, path: Path) -> None:
    """Store `genesis` as `path`."""
    path.write_bytes(pack(check(genesis)))


def with_time(genesis: Genesis, time: int) -> Genesis:
    """`genesis` starting at `time`, ms of UTC."""
    return evolve(genesis, time=time)


def _is_reference(data: bytes, dimension: int) -> bool:
    return len(data) == 2 * dimension and fixed.is_vector(fixed.vector_from_bytes(data, dimension), dimension)


def _repeats(values: object) -> bool:
    listed = list(values)  # type: ignore[call-overload]
    return len(set(listed)) != len(listed)
