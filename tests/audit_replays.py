"""Short lives of networks that audit, for the vector file of the audits' chapter."""

from typing import Any, Final

from attrs import evolve
from audit_world import (
    accounts,
    audit_of,
    audited,
    claims,
    deliver,
    dispute,
    hear,
    hear_all,
    number_of,
    pay_day,
    sealed,
    shown,
    truth,
)
from check_world import best, checked, sketch_of_kind
from check_world import hear as hear_check
from check_world import truth as true_claims
from committee_world import Committee, address, committee_genesis, spread
from replays import BLOB, USER, Case, as_run, attest, drawn, mixing, request, seal, show

from soma_core import chain, fixed
from soma_core.crypto import digest

WATCHER: Final = 5
DEAR: Final[dict[str, Any]] = {"pot": 10**10}
"""A pot of which no stake is worth a hundred: every winner is audited."""


def audits() -> list[Case]:
    """Rules AU."""
    return [as_run(*story()) for story in (_honest, _liar, _lazy, _canary, _refusals, _sampled, _claims)]


def secret_for(number: int, job: bytes, *, may: bool = True) -> bytes:
    """A secret of an encoder that makes `job` a canary, or does not."""
    secrets = (number.to_bytes(32, "big") for number in range(10_000))
    return next(secret for secret in secrets if chain.may_lie(address(number), secret, job) is may)


def plant(world: Committee, job: bytes, *, may: bool = True) -> dict[int, bytes]:
    """Every encoder plants canaries that `job` may be, or may not; an epoch later it counts."""
    secrets = {number: secret_for(number, job, may=may) for number in range(1, 5)}
    for number, secret in secrets.items():
        action = chain.PlantCanaries(chain.canary_seal(address(number), secret))
        world.step(world.transaction(number, "plant_canaries", action))
    world.step(after=world.genesis.parameters.epoch_ms)
    world.announce()
    return secrets


def confess(world: Committee, number: int, job: bytes, secret: bytes) -> bytes:
    """The transaction that shows a canary."""
    return world.transaction(number, "confess_canary", chain.ConfessCanary(job=job, secret=secret))


def _honest() -> tuple[Committee, str, str]:
    world = audited(**DEAR)
    job, _ = deliver(world)
    hear_all(world, job)
    pay_day(world, job)
    return world, "winner and one more are found honest, the window ends, the winner is paid", "AU1 to AU14"


def _liar() -> tuple[Committee, str, str]:
    world = audited(**DEAR, epoch_ms=2_000_000)
    job, _ = deliver(world, liars=1)
    panel = [auditor.account for auditor in audit_of(world, job).panel]
    hear(world, job, {panel[0]: ()})
    hear_all(world, job)
    pay_day(world, job)
    world.step(after=2_000_000)
    return world, "a liar is found out by two of three auditors; the third was silent", "AU9, AU11, AU15, AU16"


def _lazy() -> tuple[Committee, str, str]:
    world = audited(**DEAR)
    job, shard = deliver(world, liars=1)
    audit = audit_of(world, job)
    hear(world, job, {auditor.account: claims(audit) for auditor in audit.panel})
    world.step(dispute(world, WATCHER, job, max(shard)))
    hear(world, job)
    hear_all(world, job)
    (open_,) = [n for n, verdict in zip(shard, _verdicts(world, job), strict=True) if verdict == "none"] or [shard[0]]
    world.step(dispute(world, WATCHER, job, open_))
    hear_all(world, job)
    pay_day(world, job)
    return world, "a lazy panel, a dispute that is right and one that is not", "AU20, AU21"


def _verdicts(world: Committee, job: bytes) -> tuple[str, ...]:
    return world.state.need(chain.DELIVERIES, job).verdicts


def _canary() -> tuple[Committee, str, str]:
    world = audited(**DEAR, epoch_ms=3_000_000)
    job = chain.job_key(address(USER), BLOB, 0)
    secrets = plant(world, job)
    _, shard = deliver(world, liars=1)
    liar = max(shard)
    audit = audit_of(world, job)
    world.step(confess(world, liar, job, secrets[liar]))
    hear(world, job, {audit.panel[0].account: claims(audit)})
    world.step(confess(world, liar, job, bytes(31) + b"\xff"))
    world.step(confess(world, liar, job, secrets[liar]))
    hear_all(world, job)
    pay_day(world, job)
    return world, "a canary, and an auditor who copies", "AU16 to AU19"


def _refusals() -> tuple[Committee, str, str]:
    world = audited(**DEAR)
    job, shard = deliver(world)
    audit = audit_of(world, job)
    first, second, third = (auditor.account for auditor in audit.panel)
    outsider = next(each for each in accounts(world) if each not in {first, second, third})
    right = truth(audit)
    world.step(
        sealed(world, bytes(32), first, right),
        shown(world, job, first, right),
        sealed(world, job, outsider, right),
        sealed(world, job, first, right),
        sealed(world, job, first, right),
        sealed(world, job, second, right),
        dispute(world, WATCHER, job, shard[0]),
        dispute(world, WATCHER, bytes(32), shard[0]),
        world.transaction(number_of(first), "plant_canaries", chain.PlantCanaries(bytes(32))),
    )
    world.step(sealed(world, job, third, right), after=60_001)
    world.step(
        shown(world, job, third, right),
        shown(world, job, first, right[:-1]),
        shown(world, job, first, claims(audit)[::-1]),
        shown(world, job, first, right),
        shown(world, job, first, right),
    )
    world.step(shown(world, job, second, right), after=30_001)
    hear_all(world, job)
    pay_day(world, job)
    return world, "everything that is refused on the way", "AU6, AU17, AU20"


def _sampled() -> tuple[Committee, str, str]:
    world = audited(audit_quorum=0)
    jobs = [deliver(world, nonce=nonce)[0] for nonce in range(2)]
    for job in jobs:
        pay_day(world, job)
    return world, "cheap jobs lock ten pots; without auditors nothing is found", "AU8, AU13"


def _claims() -> tuple[Committee, str, str]:
    genesis = committee_genesis((4, 3, 2, 1), check_ms=4_000, shard_size=1, epoch_ms=400_000, open_jobs=16)
    sketches = tuple(sketch_of_kind(anchor % 2, anchor) for anchor in range(16))
    world = Committee(
        genesis=evolve(
            genesis, sketches=sketches, encoders=tuple(evolve(each, best=best(1)) for each in genesis.encoders)
        )
    )
    world.announce()
    _settle(world, 16)
    world.step(after=400_000)
    world.announce()
    frames = [number for number, audit in checked(world).items() if audit.anchors]
    for number, audit in checked(world).items():
        others = b"".join(reversed([anchor.vector for anchor in audit.anchors]))
        false = {"frame": others} if number == frames[0] else {"best": best(2)} if number == frames[1] else {}
        hear_check(world, number, true_claims(audit, **false))
    world.step(after=400_000)
    return world, "claims that hold, best anchors that are false, an encoder out of the frame", "AU25 to AU30"


def _settle(world: Committee, count: int) -> None:
    """So many jobs of different data, of one encoder each, all in one frame."""
    blobs = [digest("soma/blob", number.to_bytes(8, "big")) for number in range(count)]
    jobs = [chain.job_key(address(USER), blob, 0) for blob in blobs]
    world.step(*(request(world, blob=blob) for blob in blobs))
    world.step(*(item for job in jobs for item in attest(world, job, world.places)))
    mixing(world)
    answers = [(1 << 16, fixed.vector_bytes(spread(600 + number))) for number in range(count)]
    makers = [(job, drawn(world, job)[0], said) for job, said in zip(jobs, answers, strict=True)]
    world.step(*(seal(world, job, number, *said) for job, number, said in makers))
    world.step(*(show(world, job, number, *said) for job, number, said in makers))
    mixing(world)
