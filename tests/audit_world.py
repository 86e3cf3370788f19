"""Delivered jobs and their audits, a step at a time."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from committee_world import Committee, account, address
from replays import SALT, answer, ask_and_draw, begun, mixing, seal, show

from soma_core import chain, fixed

POWERS: Final = (4, 3, 2, 1)
WINDOW: Final = 1_000_000


def audited(**changes: int) -> Committee:
    """A network of four validators that audits its winners."""
    return begun(POWERS, **{"audit_ms": WINDOW, "epoch_ms": 100_000_000, "dispute_ms": 500_000, **changes})


def deliver(
    world: Committee, liars: int = 0, nonce: int = 0, honestly: Callable[[int], tuple[int, bytes]] = answer
) -> tuple[bytes, list[int]]:
    """A job that was judged, of whose shard the last `liars` lie. Returns it and the shard, by number of key."""
    job, shard = ask_and_draw(world, nonce=nonce)
    lying = sorted(shard)[len(shard) - liars :]
    said = {number: (flipped if number in lying else honestly)(number) for number in shard}
    world.step(*(seal(world, job, n, *said[n]) for n in shard))
    world.step(*(show(world, job, n, *said[n]) for n in shard))
    mixing(world)
    return job, shard


def flipped(number: int) -> tuple[int, bytes]:
    """A false answer of the lowest loss: the vector of somebody else."""
    return 0, answer(number + 10)[1]


def audit_of(world: Committee, job: bytes) -> chain.Audit:
    """The job's open audit."""
    return world.state.need(chain.AUDITS, chain.subject("embed", job))


def number_of(where: bytes) -> int:
    """The number of the key of an encoder, or of a validator's account."""
    return next(n for n in range(40) if address(n) == where)


def truth(audit: chain.Audit) -> tuple[chain.Result, ...]:
    """What an auditor computes who does its work."""
    return tuple(result_of(*answer(number_of(item.encoder))) for item in audit.items)


def claims(audit: chain.Audit) -> tuple[chain.Result, ...]:
    """What one says who copies."""
    return tuple(chain.Result(loss=item.loss, vector=item.vector) for item in audit.items)


def result_of(loss: int, vector: bytes) -> chain.Result:
    """One result."""
    return chain.Result(loss=loss, vector=vector)


NOTHING: Final = chain.Result(loss=0, vector=b"")


def sealed(world: Committee, job: bytes, auditor: bytes, results: Iterable[chain.Result]) -> bytes:
    """The transaction that seals an auditor's results."""
    commitment = chain.verdict_commitment("embed", job, auditor, SALT, tuple(results))
    action = chain.CommitVerdict(kind="embed", key=job, commitment=commitment)
    return world.transaction(number_of(auditor), "commit_verdict", action)


def shown(world: Committee, job: bytes, auditor: bytes, results: Iterable[chain.Result]) -> bytes:
    """The transaction that shows them."""
    action = chain.RevealVerdict(kind="embed", key=job, salt=SALT, results=tuple(results))
    return world.transaction(number_of(auditor), "reveal_verdict", action)


def hear(world: Committee, job: bytes, said: Mapping[bytes, tuple[chain.Result, ...]] | None = None) -> chain.Applied:
    """An audit from its seals to its end. `said`: by account, what is not the truth; an empty tuple is silence."""
    audit = audit_of(world, job)
    words = {a.account: (said or {}).get(a.account, truth(audit)) for a in audit.panel}
    speaking = {account: results for account, results in words.items() if results}
    world.step(*(sealed(world, job, who, results) for who, results in speaking.items()))
    if len(speaking) < len(words):
        world.step(after=world.genesis.parameters.audit_seal_ms + 1)
    return world.step(*(shown(world, job, who, results) for who, results in speaking.items()))


def hear_all(world: Committee, job: bytes) -> None:
    """Every audit of the job that follows, by auditors who do their work."""
    while world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
        hear(world, job)


def dispute(world: Committee, sender: int, job: bytes, encoder: int) -> bytes:
    """The transaction that begins an appeal."""
    return world.transaction(sender, "dispute_answer", chain.DisputeAnswer(job=job, encoder=address(encoder)))


def accounts(world: Committee) -> list[bytes]:
    """The validators' accounts by place."""
    return [address(account(place)) for place in world.places]


def pay_day(world: Committee, job: bytes) -> chain.Applied:
    """The commit that pays a delivered job."""
    deadline = world.state.need(chain.DELIVERIES, job).deadline
    return world.step(after=deadline + 1 - world.tip.time)


def near(number: int) -> tuple[int, bytes]:
    """The truth as another engine gives it: a coordinate off by one, the loss by a little."""
    loss, vector = answer(number)
    z = fixed.vector_from_bytes(vector, 8).copy()
    z[0] += 1
    return loss + 10, fixed.vector_bytes(z)
