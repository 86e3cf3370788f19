"""How a job is judged and paid, or refunded (rules J15 to J26, ``specs/16-jobs.md``).

The rule decides; this file moves the money it names, and nothing else. Every pot is split exactly, remainders go to the
treasury. What happens between the first judgement and the payment is in `delivery`.
"""

from typing import Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Answer, Settlement
from soma_core.errors import CorruptionError
from soma_core.records import octets, pack, text, uint

from . import copies
from .accounts import pay
from .encoders import ENCODERS, REGISTRY, count_win
from .events import Paid, Settled
from .execution import BASIS, Execution
from .penalties import convict, lock_of, unlock
from .pools import add_to_pools
from .receipts import JobReceipt, MemberReceipt, PaymentReceipt
from .routing import note
from .shards import DELIVERIES, JOBS, Delivery, Job
from .stakes import at_risk, cut_stake, reward
from .state import Table
from .validators import BEACON
from .weights import retire

GATE_VECTORS: Final = 7
"""Settled vectors a gate is measured against (K of the shard rule)."""
GATE_NEAR: Final = 3
"""So many of them are of the datum's own cell, where there are: a member must tell data apart that are alike."""
LAST_PLACES_MOST: Final = 8
"""An encoder that is the weakest so often, without winning in between, is ejected."""
REFERENCES_UNTIL: Final = 40
"""While fewer jobs than this have settled, the gate is measured against the genesis references."""
LOSS_UNKNOWN: Final = 16 << 16
"""What counts as the loss of a vector of which none is known: Q16 bits per byte, as much as there can be."""

EXCUSED: Final = ("open", "canary")
"""Verdicts of members whose answer does not count, and who are not fined for that."""


@frozen(kw_only=True)
class Done:
    """A job that has its answer, for ever: it cannot be asked for again. `place`: of its receipt in the commit's."""

    outcome: str = text()
    index: int = uint()
    place: int = uint()


@frozen(kw_only=True)
class SettledVector:
    """A joined vector that later gates are measured against, the least loss of those who made it, its datum's cell.

    `size`: of the datum, bytes. `shard`: who was drawn for it. `registered`: how many weights were, when it settled.
    """

    blob: bytes = octets(32)
    size: int = uint(default=0)
    shard: tuple[bytes, ...] = ()
    registered: int = uint(default=0)
    vector: bytes = octets(most=1 << 14)
    loss: int = uint()
    cell: int | None = None


@frozen
class SettledCount:
    """Jobs that ever settled with a vector."""

    count: int = uint(default=0)


DONE: Final = Table("ended job", 0x21, Done)
SETTLED: Final = Table("settled vector", 0x22, SettledVector)
SETTLED_COUNT: Final = Table("settled count", 0x23, SettledCount)


def judge(run: Execution, delivery: Delivery) -> Settlement:
    """What the rule says of the answers, with the verdicts so far."""
    answers = [_answer(run, delivery, place) for place in range(len(delivery.job.shard))]
    dimension = run.parameters.dimension
    judged = run.rule.settle(
        delivery.job.pot, answers, [fixed.vector_from_bytes(vector, dimension) for vector in delivery.against]
    )
    paid = sum(p.amount for p in judged.payments)
    if paid != delivery.job.pot or any(p.amount < 0 for p in judged.payments):
        raise CorruptionError(
            f"the scoring rule split a pot of {delivery.job.pot} shannons into {paid}",
            "report it to the rule's author",
        )
    return judged


def _answer(run: Execution, delivery: Delivery, place: int) -> Answer:
    member = delivery.job.shard[place]
    verdict = delivery.verdicts[place]
    shown = member.state == "revealed" and verdict not in ("missing", "open", "canary")
    return Answer(
        encoder=member.encoder,
        stake=delivery.stakes[place],
        registered=member.registered,
        opaque=member.opaque,
        own=delivery.own[place],
        gate=delivery.gates[place],
        loss=member.loss,
        vector=fixed.vector_from_bytes(member.vector, run.parameters.dimension) if shown else None,
        verdict=verdict if verdict in ("honest", "false") else "none",  # type: ignore[arg-type]
    )


def gate_vectors(run: Execution, key: bytes, job: Job) -> tuple[bytes, ...]:
    """The K vectors this job's gate is measured against, drawn by the beacon after its reveals closed."""
    settled = [record for _, record in run.state.scan(SETTLED) if record.blob != job.blob]
    seed = beacon.draw_seed(run.state.need(BEACON).value, b"gate" + key)
    if len(settled) < REFERENCES_UNTIL:
        pool, near = list(run.genesis.references), 0
    else:
        settled.sort(key=lambda record: job.cell is None or record.cell != job.cell)  # those of its cell first
        pool = [record.vector for record in settled]
        near = sum(job.cell is not None and record.cell == job.cell for record in settled)
    drawn: list[bytes] = []
    while len(drawn) < GATE_VECTORS:
        alike = len(drawn) < GATE_NEAR and near > 0
        drawn.append(pool.pop(beacon.uniform(seed, len(drawn), near if alike else len(pool))))
        near -= alike
    return tuple(drawn)


def remember(run: Execution, job: Job, vector: bytes, loss: int) -> int:
    """Keep a joined vector for later gates; returns its number."""
    count = run.state.need(SETTLED_COUNT).count
    record = SettledVector(
        blob=job.blob,
        size=job.size,
        shard=tuple(member.encoder for member in job.shard),
        registered=run.state.need(REGISTRY).count,
        vector=vector,
        loss=loss,
        cell=job.cell,
    )
    run.state.put(SETTLED, count.to_bytes(8, "big"), record)
    if count >= run.parameters.settled_window:
        run.state.delete(SETTLED, (count - run.parameters.settled_window).to_bytes(8, "big"))
    run.state.put(SETTLED_COUNT, b"", SettledCount(count + 1))
    return count


def correct(run: Execution, number: int, vector: bytes) -> None:
    """Verdicts changed the joined vector of this number, or left none: what is kept of it follows."""
    name = number.to_bytes(8, "big")
    known = run.state.get(SETTLED, name)
    if known is not None and vector:
        run.state.put(SETTLED, name, evolve(known, vector=vector))
    elif known is not None:
        run.state.delete(SETTLED, name)


def report(run: Execution, key: bytes, delivery: Delivery, judged: Settlement) -> JobReceipt:
    """What a delivered job will come to if no verdict changes it. No money moves."""
    fines = {
        place: min(amount, _at_risk(run, delivery, place))
        for place, amount in _fines(judged).items()
        if delivery.verdicts[place] not in EXCUSED
    }
    slashes = {place: min(amount, _at_risk(run, delivery, place)) for place, amount in judged.slashes.items()}
    return _receipt(run, key, delivery, judged, fines, slashes, final=False)


def conclude(run: Execution, key: bytes, delivery: Delivery, judged: Settlement) -> dict[int, int]:
    """Pay, fine and slash, and end the job for ever. Returns what was slashed, by place."""
    job = delivery.job
    for payment in judged.payments:
        if payment.to == "submitter":
            pay(run.state, job.requester, payment.amount)
        else:
            reward(run, job.shard[payment.to].encoder, payment.amount)
    fines = {
        place: cut_stake(run, job.shard[place].encoder, amount)
        for place, amount in _fines(judged).items()
        if delivery.verdicts[place] not in EXCUSED
    }
    slashes = {place: convict(run, job.shard[place].encoder, amount) for place, amount in judged.slashes.items()}
    if judged.winner is not None:
        address = job.shard[judged.winner].encoder
        winner = run.state.need(ENCODERS, address)
        run.state.put(ENCODERS, address, evolve(winner, last_places=0))
        if not run.parameters.audit_ms or delivery.verdicts[judged.winner] == "honest":
            count_win(run.state, address)
    if judged.weakest is not None:
        _note_last_place(run, job.shard[judged.weakest].encoder)
    if judged.vector is None:
        pay(run.state, job.requester, job.commission)
    else:
        validators = _validators_part(run, job)
        add_to_pools(run.state, validators=validators, treasury=job.commission - validators)
    note(run, job, judged)
    copies.note(run, delivery)
    receipt = _receipt(run, key, delivery, judged, fines, slashes, final=True)
    release(run, job)
    was_open = run.state.get(DELIVERIES, key) is not None
    run.state.delete(DELIVERIES, key)
    encoded = write_down(run, key, receipt)
    run.events.append((Paid if was_open else Settled)(key, receipt.outcome, encoded))
    return slashes


def refund(run: Execution, key: bytes, job: Job, why: str) -> None:
    """End the job without judging anybody: all of its money goes back, nobody is fined."""
    pay(run.state, job.requester, job.pot + job.commission)
    payment = PaymentReceipt(to="submitter", amount=job.pot + job.commission, reason="refund")
    release(run, job)
    receipt = _without_answers(run, key, job, why, (payment,))
    run.events.append(Settled(key, receipt.outcome, write_down(run, key, receipt)))


def write_down(run: Execution, key: bytes, receipt: JobReceipt) -> bytes:
    """Put a job's receipt into this commit's, as its last word so far. The job is open no more."""
    encoded = pack(receipt)
    run.state.delete(JOBS, key)
    run.state.put(DONE, key, Done(outcome=receipt.outcome, index=run.index, place=len(run.receipts)))
    run.receipts.append(encoded)
    return encoded


def release(run: Execution, job: Job) -> None:
    """Free the stakes that the job has locked."""
    for member in job.shard:
        unlock(run, member.encoder, lock_of(job.pot, sampled=job.sampled))


def _note_last_place(run: Execution, address: bytes) -> None:
    """The weakest where it should be good; too often, and it is ejected."""
    weakest = run.state.need(ENCODERS, address)
    run.state.put(ENCODERS, address, evolve(weakest, last_places=weakest.last_places + 1))
    if weakest.last_places + 1 >= LAST_PLACES_MOST:
        retire(run, address)


def _fines(judged: Settlement) -> dict[int, int]:
    """What each member is fined, those included that are fined for being out."""
    both = (judged.fines, judged.outlier_fines)
    return {place: sum(fines.get(place, 0) for fines in both) for place in sorted({*both[0], *both[1]})}


def _at_risk(run: Execution, delivery: Delivery, place: int) -> int:
    return at_risk(run.state, delivery.job.shard[place].encoder)


def _validators_part(run: Execution, job: Job) -> int:
    return job.commission * run.parameters.commission_validators // BASIS


def _payments(run: Execution, job: Job, judged: Settlement, names: list[str]) -> tuple[PaymentReceipt, ...]:
    paid = [
        PaymentReceipt(to=names[p.to] if isinstance(p.to, int) else p.to, amount=p.amount, reason=p.reason)
        for p in judged.payments
        if p.amount
    ]
    if judged.vector is None:
        return (*paid, PaymentReceipt(to="submitter", amount=job.commission, reason="refund"))
    validators = _validators_part(run, job)
    return (
        *paid,
        PaymentReceipt(to="validators", amount=validators, reason="commission"),
        PaymentReceipt(to="treasury", amount=job.commission - validators, reason="commission"),
    )


def _receipt(
    run: Execution,
    key: bytes,
    delivery: Delivery,
    judged: Settlement,
    fines: dict[int, int],
    slashes: dict[int, int],
    *,
    final: bool,
) -> JobReceipt:
    job = delivery.job
    names = [run.state.need(ENCODERS, member.encoder).name for member in job.shard]
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
            verdict=delivery.verdicts[place],
            fine=fines.get(place, 0),
            slash=slashes.get(place, 0),
        )
        for place, member in enumerate(job.shard)
    )
    return evolve(
        _without_answers(run, key, job, "", _payments(run, job, judged, names)),
        outcome=judged.outcome,
        why="" if judged.outcome == "settled" else "the shard gave no usable vector",
        final=final,
        due=run.time if final else delivery.deadline,
        vector=b"" if judged.vector is None else fixed.vector_bytes(judged.vector),
        shard=shard,
        winner="" if judged.winner is None else names[judged.winner],
        weakest="" if judged.weakest is None else names[judged.weakest],
    )


def _without_answers(
    run: Execution, key: bytes, job: Job, why: str, payments: tuple[PaymentReceipt, ...]
) -> JobReceipt:
    """The receipt of a job of which nothing came."""
    return JobReceipt(
        job=key,
        blob=job.blob,
        size=job.size,
        requester=job.requester,
        nonce=job.nonce,
        epoch=job.epoch,
        time=run.time,
        outcome="refunded",
        why=why,
        final=True,
        due=run.time,
        sampled=job.sampled,
        dimension=run.parameters.dimension,
        vector=b"",
        shard=(),
        winner="",
        weakest="",
        pot=job.pot,
        commission=job.commission,
        payments=payments,
    )
