"""A network with targets, in steps: openings, seals, shows, audits, claims."""

from collections.abc import Iterable
from typing import Any

import replays
from committee_world import Committee, account, address, committee_genesis
from ledger_world import DIM, PlainTargets

from soma_core import chain, fixed
from soma_core.chain import audits
from soma_core.chain.hits import KIND, audit_key
from soma_core.chain.race import Race, Submission, Target
from soma_core.crypto import digest

HUNTER, RIVAL = replays.USER, replays.OTHER
SIZE = 1000


def hunting(powers: Iterable[int] = (1,), *, rule: PlainTargets | None = None, **changes: Any) -> Committee:
    """A network of the plain rule with targets, or of `rule`, in epoch 1, with its targets open."""
    given = {"targets": 3, "target_goal": 10, "target_encoders": 2, "audit_ms": 5_000, "audit_quorum": 1, **changes}
    world = Committee(genesis=committee_genesis(powers, **given), rule=rule or PlainTargets())
    world.announce()
    turn(world)
    replays.mixing(world)
    return world


def turn(world: Committee, after: int | None = None) -> chain.Applied:
    """End the epoch, so many ms later, or an epoch later."""
    applied = world.step(after=after or world.genesis.parameters.epoch_ms)
    world.announce()
    return applied


def race(world: Committee) -> Race:
    return world.state.need(chain.RACE)


def open_targets(world: Committee) -> dict[int, Target]:
    return {int.from_bytes(key, "big"): target for key, target in world.state.scan(chain.TARGETS)}


def submissions(world: Committee) -> dict[tuple[int, bytes], Submission]:
    return {(int.from_bytes(key[:8], "big"), key[8:]): s for key, s in world.state.scan(chain.SUBMISSIONS)}


def blob(number: int) -> bytes:
    return digest("soma/blob", b"hunted", bytes([number]))


def near(target: Target) -> bytes:
    """A vector that hits."""
    return target.point


def far(target: Target) -> bytes:
    """A vector that does not."""
    return fixed.vector_bytes(-fixed.vector_from_bytes(target.point, DIM))


def parts(world: Committee, target: int, **changes: Any) -> dict[str, Any]:
    """What a submission to a target shows."""
    given = open_targets(world)[target]
    shown = {
        "target": target,
        "salt": replays.SALT,
        "blob": blob(0),
        "encoder": given.encoders[0].encoder,
        "loss": 1 << 16,
        "vector": near(given),
    }
    return {**shown, **changes}


def seal(world: Committee, number: int, shown: dict[str, Any], *, size: int = SIZE) -> bytes:
    """The transaction that seals it."""
    sealed = chain.submission_seal(
        shown["target"],
        address(number),
        *(shown[name] for name in ("salt", "blob", "encoder", "loss", "vector")),
    )
    action = chain.SealSubmission(target=shown["target"], commitment=sealed, size=size)
    return world.transaction(number, "seal_submission", action)


def show(world: Committee, number: int, shown: dict[str, Any]) -> bytes:
    """The transaction that shows it."""
    return world.transaction(number, "show_submission", chain.ShowSubmission(**shown))


def claim(world: Committee, number: int, target: int) -> bytes:
    """The transaction that has a hit paid."""
    return world.transaction(number, "claim_target", chain.ClaimTarget(target))


def hit(world: Committee, number: int = HUNTER, target: int = 0, **changes: Any) -> dict[str, Any]:
    """A target is hit; what was shown."""
    shown = parts(world, target, **changes)
    world.step(seal(world, number, shown))
    world.step(show(world, number, shown))
    return shown


def judged(
    world: Committee,
    target: int,
    loss: int,
    vector: bytes,
    others: audits.Result | None = None,
    *,
    silent: int = 0,
) -> None:
    """The hit's audit: every auditor finds these, and `others` of the other assigned encoders: none is better.

    The first `silent` of the panel say nothing.
    """
    key = audit_key(target)
    audit = world.state.need(audits.AUDITS, audits.subject(KIND, key))
    better = others or audits.Result(loss=loss, vector=fixed.vector_bytes(replays.spread(3)))
    results = (audits.Result(loss=loss, vector=vector), *(better for _ in audit.items[1:]))
    speaking = {auditor.account for auditor in audit.panel[silent:]}
    places = [place for place in world.places if address(account(place)) in speaking]
    sealed = [
        audits.CommitVerdict(
            kind=KIND,
            key=key,
            commitment=audits.verdict_commitment(KIND, key, address(account(place)), replays.SALT, results),
        )
        for place in places
    ]
    shown = audits.RevealVerdict(kind=KIND, key=key, salt=replays.SALT, results=results)
    world.step(
        *(world.transaction(account(p), "commit_verdict", s) for p, s in zip(places, sealed, strict=True)), after=1
    )
    if silent:
        world.step(after=world.genesis.parameters.audit_seal_ms)
    world.step(*(world.transaction(account(place), "reveal_verdict", shown) for place in places), after=1)


def upheld(world: Committee, number: int = HUNTER, target: int = 0, **changes: Any) -> dict[str, Any]:
    """A target is hit, and every auditor finds what was shown."""
    shown = hit(world, number, target, **changes)
    judged(world, target, shown["loss"], shown["vector"])
    return shown
