"""How a job ends: judged by the scoring rule and paid, or refunded (rules J15 to J22, ``specs/16-jobs.md``).

The rule decides; this file moves the money it names, and nothing else. Every pot is split exactly, remainders go to the
treasury.
"""

from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Answer, Settlement
from soma_core.errors import CorruptionError
from soma_core.records import octets, pack, text, uint

from .accounts import pay
from .encoders import ENCODERS
from .events import Settled
from .execution import BASIS, Execution
from .pools import add_to_pools
from .receipts import JobReceipt, MemberReceipt, PaymentReceipt
from .shards import JOBS, Job, Member
from .stakes import cut_stake, reward, stake_of
from .state import Table
from .validators import BEACON

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GATE_VECTORS: Final = 7
"""Settled vectors a gate is measured against (K of the shard rule)."""
REFERENCES_UNTIL: Final = 40
"""While fewer jobs than this have settled, the gate is measured against the genesis references."""


@frozen(kw_only=True)
class Done:
    """A job that is over, for ever: it cannot be asked for again. `place`: its leaf in the commit's receipts."""

    outcome: str = text()
    index: int = uint()
    place: int = uint()


@frozen(kw_only=True)
class SettledVector:
    """A joined vector that later gates are measured against."""

    blob: bytes = octets(32)
    vector: bytes = octets(most=1 << 14)


@frozen
class SettledCount:
    """Jobs that ever settled with a vector."""

    count: int = uint(default=0)


DONE: Final = Table("ended job", 0x21, Done)
SETTLED: Final = Table("settled vector", 0x22, SettledVector)
SETTLED_COUNT: Final = Table("settled count", 0x23, SettledCount)


def settle(run: Execution, key: bytes, job: Job) -> None:
    """Judge the shard and end the job."""
    answers = [_answer(run, member) for member in job.shard]
    judged = run.rule.settle(job.pot, answers, _gate_vectors(run, key, job))
    _check_total(judged, job)
    names = [run.state.need(ENCODERS, member.encoder).name for member in job.shard]
    payments = [_pay(run, job, names, p.to, p.amount, p.reason) for p in judged.payments if p.amount]
    fines = {place: cut_stake(run, job.shard[place].encoder, amount) for place, amount in judged.fines.items()}
    slashes = {place: cut_stake(run, job.shard[place].encoder, amount) for place, amount in judged.slashes.items()}
    for place, gate in judged.gates.items():
        address = job.shard[place].encoder
        run.state.put(ENCODERS, address, evolve(run.state.need(ENCODERS, address), gate=gate))
    if judged.winner is not None:
        address = job.shard[judged.winner].encoder
        winner = run.state.need(ENCODERS, address)
        run.state.put(ENCODERS, address, evolve(winner, won=winner.won + 1))
    if judged.vector is None:
        payments.append(_pay(run, job, names, "submitter", job.commission, "refund"))
    else:
        payments.extend(_commission(run, job))
        _remember(run, job, judged.vector)
    shard = tuple(
        MemberReceipt(
            encoder=member.encoder,
            name=names[place],
            answer="silent" if place in judged.silent and member.state != "unavailable" else member.state,
            opaque=member.opaque,
            loss=member.loss,
            vector=member.vector,
            weight=judged.weights.get(place, 0),
            gate=run.state.need(ENCODERS, member.encoder).gate,
            out=place in judged.out,
            fine=fines.get(place, 0),
            slash=slashes.get(place, 0),
        )
        for place, member in enumerate(job.shard)
    )
    _end(
        run,
        key,
        evolve(
            _refunded(run, key, job),
            outcome=judged.outcome,
            why="" if judged.outcome == "settled" else "the shard gave no usable vector",
            vector=b"" if judged.vector is None else fixed.vector_bytes(judged.vector),
            shard=shard,
            winner="" if judged.winner is None else names[judged.winner],
            weakest="" if judged.weakest is None else names[judged.weakest],
            payments=tuple(payments),
        ),
    )


def refund(run: Execution, key: bytes, job: Job, why: str) -> None:
    """End the job without judging anybody: all of its money goes back, nobody is fined."""
    payment = _pay(run, job, [], "submitter", job.pot + job.commission, "refund")
    _end(run, key, evolve(_refunded(run, key, job), why=why, payments=(payment,)))


def _answer(run: Execution, member: Member) -> Answer:
    encoder = run.state.need(ENCODERS, member.encoder)
    return Answer(
        encoder=member.encoder,
        stake=stake_of(run.state, member.encoder),
        registered=member.registered,
        opaque=member.opaque,
        own=False,
        gate=encoder.gate,
        loss=member.loss,
        vector=fixed.vector_from_bytes(member.vector, run.parameters.dimension) if member.state == "revealed" else None,
    )


def _gate_vectors(run: Execution, key: bytes, job: Job) -> "list[NDArray[np.int16]]":
    """The K vectors this job's gate is measured against, drawn by the beacon after its reveals closed."""
    settled = [record.vector for _, record in run.state.scan(SETTLED) if record.blob != job.blob]
    pool = settled if len(settled) >= REFERENCES_UNTIL else list(run.genesis.references)
    seed = beacon.draw_seed(run.state.need(BEACON).value, b"gate" + key)
    drawn = (pool.pop(beacon.uniform(seed, draw, len(pool))) for draw in range(GATE_VECTORS))
    return [fixed.vector_from_bytes(vector, run.parameters.dimension) for vector in drawn]


def _check_total(judged: Settlement, job: Job) -> None:
    paid = sum(p.amount for p in judged.payments)
    if paid != job.pot or any(p.amount < 0 for p in judged.payments):
        raise CorruptionError(
            f"the scoring rule split a pot of {job.pot} shannons into {paid}", "report it to the rule's author"
        )


def _pay(run: Execution, job: Job, names: list[str], to: int | str, amount: int, reason: str) -> PaymentReceipt:
    if isinstance(to, int):
        reward(run, job.shard[to].encoder, amount)
        return PaymentReceipt(to=names[to], amount=amount, reason=reason)
    pay(run.state, job.requester, amount)
    return PaymentReceipt(to="submitter", amount=amount, reason=reason)


def _commission(run: Execution, job: Job) -> list[PaymentReceipt]:
    validators = job.commission * run.parameters.commission_validators // BASIS
    treasury = job.commission - validators
    add_to_pools(run.state, validators=validators, treasury=treasury)
    return [
        PaymentReceipt(to="validators", amount=validators, reason="commission"),
        PaymentReceipt(to="treasury", amount=treasury, reason="commission"),
    ]


def _remember(run: Execution, job: Job, vector: "NDArray[np.int16]") -> None:
    count = run.state.need(SETTLED_COUNT).count
    run.state.put(SETTLED, count.to_bytes(8, "big"), SettledVector(blob=job.blob, vector=fixed.vector_bytes(vector)))
    if count >= run.parameters.settled_window:
        run.state.delete(SETTLED, (count - run.parameters.settled_window).to_bytes(8, "big"))
    run.state.put(SETTLED_COUNT, b"", SettledCount(count + 1))


def _refunded(run: Execution, key: bytes, job: Job) -> JobReceipt:
    """The receipt of a job of which nothing came, without reason and payments."""
    return JobReceipt(
        job=key,
        blob=job.blob,
        size=job.size,
        requester=job.requester,
        nonce=job.nonce,
        epoch=job.epoch,
        time=run.time,
        outcome="refunded",
        why="",
        dimension=run.parameters.dimension,
        vector=b"",
        shard=(),
        winner="",
        weakest="",
        pot=job.pot,
        commission=job.commission,
        payments=(),
    )


def _end(run: Execution, key: bytes, receipt: JobReceipt) -> None:
    encoded = pack(receipt)
    run.state.delete(JOBS, key)
    run.state.put(DONE, key, Done(outcome=receipt.outcome, index=run.index, place=len(run.receipts)))
    run.receipts.append(encoded)
    run.events.append(Settled(key, receipt.outcome, encoded))
