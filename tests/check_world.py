"""Networks in which encoders' claims are checked, a step at a time."""

from collections.abc import Sequence
from typing import Final

from attrs import evolve
from audit_world import number_of
from committee_world import Committee, address, committee_genesis, spread
from replays import SALT
from turmoil import best, sketch_of_kind

from soma_core import chain, fixed
from soma_core.chain import claims, settlement
from soma_core.crypto import digest
from soma_core.records import pack

EPOCH: Final = 10_000
ENCODERS: Final = range(1, 5)
KIND: Final = "encoder"
POSITION: Final = fixed.vector_bytes(spread(700))
SETTLED: Final = 16


def blob(number: int) -> bytes:
    return digest("soma/blob", number.to_bytes(8, "big"))


def vector(number: int) -> bytes:
    return fixed.vector_bytes(spread(5000 + number))


def founded(*, anchors: bool = True, **changes: int) -> Committee:
    """A network whose encoders say where they stand and what they embed best."""
    given = {"check_ms": 4_000, "audit_reveal_ms": 2_000, "audit_quorum": 3, "epoch_ms": EPOCH, "settled_window": 64}
    genesis = committee_genesis((4, 3, 2, 1), **{**given, **changes})
    sketches = tuple(sketch_of_kind(anchor % 2, anchor) for anchor in range(16)) if anchors else ()
    world = Committee(genesis=evolve(genesis, sketches=sketches))
    world.announce()
    for number in ENCODERS:
        change(world, number, position=POSITION, best=best(1) if anchors else b"")
    return world


def change(world: Committee, number: int, **fields: object) -> None:
    """Give the encoder of this key other fields."""
    known = world.state.need(chain.ENCODERS, address(number))
    put(world, chain.ENCODERS.key(address(number)), pack(evolve(known, **fields)))


def put(world: Committee, key: bytes, value: bytes) -> None:
    world.reader.data[key] = value
    tip = evolve(world.tip, lthash=chain.lthash.total(world.reader.data.items()))
    world.trace.append(evolve(world.trace[-1], tip=tip))


def settle(world: Committee, count: int = SETTLED, registered: int = 99, shard: tuple[bytes, ...] = ()) -> None:
    """As if so many jobs had settled."""
    for number in range(count):
        record = settlement.SettledVector(
            blob=blob(number), size=3, shard=shard, registered=registered, vector=vector(number), loss=0
        )
        put(world, settlement.SETTLED.key(number.to_bytes(8, "big")), pack(record))


def end(world: Committee) -> chain.Applied:
    """The commit with which the epoch ends."""
    return world.step(after=EPOCH)


def audit_of(world: Committee, number: int) -> chain.Audit | None:
    return world.state.get(chain.AUDITS, chain.subject(KIND, address(number)))


def checked(world: Committee) -> dict[int, chain.Audit]:
    """The open checks, by the number of the encoder's key."""
    return {number: audit for number in ENCODERS if (audit := audit_of(world, number)) is not None}


def truth(audit: chain.Audit, **other: bytes) -> tuple[chain.Result, ...]:
    """What an auditor says of an encoder of whom all is true, but for the aspects in `other`."""
    said = {
        "position": POSITION,
        "best": best(1),
        "frame": b"".join(anchor.vector for anchor in audit.anchors),
        **other,
    }
    return tuple(chain.Result(loss=0, vector=said[claims.ASPECTS[item.member]]) for item in audit.items)


def hear(world: Committee, number: int, results: Sequence[chain.Result], speaking: int = 3) -> chain.Applied:
    """The check of an encoder from its seals to its end; so many of its panel say `results`, the others nothing."""
    audit = audit_of(world, number)
    assert audit is not None
    panel = [auditor.account for auditor in audit.panel][:speaking]
    key = address(number)
    seals = [chain.verdict_commitment(KIND, key, who, SALT, tuple(results)) for who in panel]
    world.step(
        *(
            world.transaction(
                number_of(who), "commit_verdict", chain.CommitVerdict(kind=KIND, key=key, commitment=seal)
            )
            for who, seal in zip(panel, seals, strict=True)
        )
    )
    if speaking < len(audit.panel):
        world.step(after=world.genesis.parameters.check_ms + 1)
    reveal = chain.RevealVerdict(kind=KIND, key=key, salt=SALT, results=tuple(results))
    return world.step(*(world.transaction(number_of(who), "reveal_verdict", reveal) for who in panel))


def encoder(world: Committee, number: int) -> chain.Encoder:
    return world.state.need(chain.ENCODERS, address(number))


def stake(world: Committee, number: int) -> int:
    return chain.stake_of(world.state, address(number))
