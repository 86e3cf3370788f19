"""The embed job: request, attestation, draw, sealed answers, reveals (rules J1 to J14, ``specs/16-jobs.md``).

A job waits in one stage at a time, each with a deadline in commit time:

    attesting → drawing → committing → revealing → closing → settled or refunded (`settlement`)

Whatever its members do, it ends.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Candidate
from soma_core.crypto import digest
from soma_core.genesis import OPAQUE, SKETCH_SIZE, Parameters
from soma_core.records import octets, uint

from .accounts import take
from .delivery import settle
from .encoders import candidates
from .events import DataWanted, JobChanged, RevealsOpen, ShardDrawn
from .execution import BASIS, Execution, Handler, Refusal
from .penalties import can_lock, is_sampled, lock, lock_of
from .routing import cell_of, factors
from .settlement import DONE, refund
from .shards import JOBS, Job, Member
from .stakes import stake_of
from .validators import BEACON, committee, quorum

LOSS_MOST: Final = 16 << 16
"""Q16 bits per byte: a model that needs more is worse than none, and its answer is invalid."""
LEADERS_WAITED: Final = 4
"""A draw uses the beacon this many distinct leaders later; fewer where these hold a quorum of the power."""


def price(parameters: Parameters, size: int) -> tuple[int, int]:
    """(pot, commission) in shannons for `size` bytes: what an embedding costs, transaction fee aside."""
    pot = parameters.pot + parameters.pot_per_kib * -(-size // 1024)
    return pot, pot * parameters.commission // BASIS


def longest_life(parameters: Parameters) -> int:
    """Ms from a request until nobody needs its data any more: two rounds of audits and disputes after its window."""
    p = parameters
    judged = p.attest_ms + p.draw_ms + p.commit_ms + p.reveal_ms + p.draw_ms
    return judged + p.audit_ms + 2 * (p.audit_seal_ms + p.audit_reveal_ms + p.dispute_ms)


def job_key(requester: bytes, blob: bytes, nonce: int) -> bytes:
    """32 bytes. The same account, data and nonce are the same job: asking twice pays once."""
    return digest("soma/job", requester, blob, nonce.to_bytes(8, "big"))


def commitment(job: bytes, encoder: bytes, salt: bytes, loss: int, vector: bytes) -> bytes:
    """The seal of an answer: nobody can copy it, because it names its maker, nor guess it, because of the salt."""
    return digest("soma/commitment", job, encoder, salt, loss.to_bytes(8, "big"), vector)


@frozen(kw_only=True)
class RequestEmbedding:
    """Ask for the embedding of `blob` (its digest, and its size in bytes). `certain`: audit the winner in any case."""

    blob: bytes = octets(32)
    size: int = uint(least=1)
    nonce: int = uint()
    certain: bool = False


@frozen
class AttestData:
    """A validator holds the whole blob of `job`, and its size is the one the job names. `sketch`: of it, or empty."""

    job: bytes = octets(32)
    sketch: bytes = octets(most=SKETCH_SIZE, default=b"")


@frozen(kw_only=True)
class CommitEmbedding:
    """The seal of the sender's answer."""

    job: bytes = octets(32)
    commitment: bytes = octets(32)


@frozen(kw_only=True)
class RevealEmbedding:
    """The answer itself. `loss`: bits per byte, Q16. `vector`: int16 little endian in the network's frame."""

    job: bytes = octets(32)
    salt: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)


@frozen
class ReportUnavailable:
    """The sender could not get the data of `job`."""

    job: bytes = octets(32)


def _request(run: Execution, sender: bytes, action: RequestEmbedding) -> None:
    p = run.parameters
    key = job_key(sender, action.blob, action.nonce)
    if run.state.get(JOBS, key) is not None or run.state.get(DONE, key) is not None:
        raise Refusal("exists", "this job was asked for before; choose another nonce to pay again")
    if action.size > p.max_blob:
        raise Refusal("size", f"{action.size} bytes exceed the network's {p.max_blob}")
    if run.state.count(JOBS) >= p.open_jobs:
        raise Refusal("full", f"{p.open_jobs} jobs are open; ask again later")
    pot, commission = price(p, action.size)
    take(run.state, sender, pot + commission, "the embedding")
    job = Job(
        requester=sender,
        blob=action.blob,
        size=action.size,
        nonce=action.nonce,
        pot=pot,
        commission=commission,
        stage="attesting",
        deadline=run.time + p.attest_ms,
        epoch=run.epoch,
        certain=action.certain,
    )
    run.state.put(JOBS, key, job)
    run.events.append(DataWanted(key, action.blob, action.size, sender))


def _attest(run: Execution, sender: bytes, action: AttestData) -> None:
    job = _open_job(run, action.job, "attesting")
    validators = committee(run.state)
    places = {place for place, validator in enumerate(validators) if validator.account == sender}
    if not places:
        raise Refusal("sender", "only a validator's account attests")
    if places <= set(job.attested):
        raise Refusal("exists", "this validator has attested already")
    if len(action.sketch) not in (0, SKETCH_SIZE):
        raise Refusal("sketch", f"a sketch has {SKETCH_SIZE} bytes, or none")
    before = dict(zip(job.attested, job.sketches, strict=True))
    said = sorted({**before, **dict.fromkeys(places, action.sketch)}.items())
    job = evolve(job, attested=tuple(place for place, _ in said), sketches=tuple(sketch for _, sketch in said))
    agreeing = sum(validators[place].power for place, sketch in said if sketch == action.sketch)
    if agreeing >= quorum(tuple(v.power for v in validators)):
        job = evolve(job, leaders=(), cell=cell_of(run, action.sketch))
        job = _enter(run, action.job, job, "drawing", run.parameters.draw_ms)
    run.state.put(JOBS, action.job, job)


def _commit(run: Execution, sender: bytes, action: CommitEmbedding) -> None:
    job = _open_job(run, action.job, "committing")
    place = _place(job, sender)
    if job.shard[place].state != "drawn":
        raise Refusal("exists", "this member has answered already")
    job = _with_member(job, place, evolve(job.shard[place], state="committed", commitment=action.commitment))
    run.state.put(JOBS, action.job, _after_answer(run, action.job, job))


def _unavailable(run: Execution, sender: bytes, action: ReportUnavailable) -> None:
    job = _open_job(run, action.job, "committing")
    place = _place(job, sender)
    if job.shard[place].state != "drawn":
        raise Refusal("exists", "this member has answered already")
    job = _with_member(job, place, evolve(job.shard[place], state="unavailable"))
    if 2 * sum(m.state == "unavailable" for m in job.shard) >= len(job.shard):
        refund(run, action.job, job, "half of the shard could not get the data")
    else:
        run.state.put(JOBS, action.job, _after_answer(run, action.job, job))


def _reveal(run: Execution, sender: bytes, action: RevealEmbedding) -> None:
    job = _open_job(run, action.job, "revealing")
    place = _place(job, sender)
    member = job.shard[place]
    if member.state != "committed":
        raise Refusal("state", f"this member's answer is {member.state}; only a sealed answer can be revealed")
    if len(action.vector) != 2 * run.parameters.dimension:
        raise Refusal("vector", f"{len(action.vector)} bytes are not {run.parameters.dimension} int16 values")
    sealed = commitment(action.job, sender, action.salt, action.loss, action.vector)
    if sealed != member.commitment:
        raise Refusal("seal", "this is not the answer that was sealed")
    revealed = evolve(member, state="revealed", loss=min(action.loss, LOSS_MOST + 1), vector=action.vector)
    job = _with_member(job, place, revealed)
    if all(m.state != "committed" for m in job.shard):
        job = _enter(run, action.job, evolve(job, leaders=()), "closing", run.parameters.draw_ms)
    run.state.put(JOBS, action.job, job)


ACTIONS: Final[Mapping[str, Handler]] = {
    "request_embedding": Handler(RequestEmbedding, _request),
    "attest_data": Handler(AttestData, _attest),
    "commit_embedding": Handler(CommitEmbedding, _commit),
    "reveal_embedding": Handler(RevealEmbedding, _reveal),
    "report_unavailable": Handler(ReportUnavailable, _unavailable),
}


def advance(run: Execution, leader: int, *, mixed: bool, open_before: Mapping[bytes, Job]) -> None:
    """Move every open job on: beacons that came, then deadlines that passed.

    `open_before`: the open jobs before this commit. A draw counts the leaders of later commits only, so that nobody
    who saw a job enter its stage could choose the link that decides it.
    """
    for key, job in list(run.state.scan(JOBS)):
        before = open_before.get(key)
        waits = job.stage in ("drawing", "closing")
        if waits and mixed and before is not None and before.stage == job.stage:
            job = evolve(job, leaders=tuple(sorted({*job.leaders, leader})))  # noqa: PLW2901  # the job, one leader on
            if enough(run, job.leaders):
                (_draw if job.stage == "drawing" else settle)(run, key, job)
                continue
            run.state.put(JOBS, key, job)
        if run.time > job.deadline:
            _expire(run, key, job)


def follow(run: Execution, moved: Mapping[int, int]) -> None:
    """Say in open jobs where validators sit now; who has left the committee counts no more."""
    for key, job in list(run.state.scan(JOBS)):
        said = zip(job.attested, job.sketches, strict=True)
        staying = sorted((moved[place], sketch) for place, sketch in said if place in moved)
        followed = evolve(
            job,
            attested=tuple(place for place, _ in staying),
            sketches=tuple(sketch for _, sketch in staying),
            leaders=tuple(sorted(moved[place] for place in job.leaders if place in moved)),
        )
        if followed != job:
            run.state.put(JOBS, key, followed)


def enough(run: Execution, leaders: tuple[int, ...]) -> bool:
    """Whether nobody can have known all of these leaders' links, and no more of them need ever come."""
    powers = tuple(validator.power for validator in committee(run.state))
    return len(leaders) >= LEADERS_WAITED or sum(powers[place] for place in leaders) >= quorum(powers)


def _expire(run: Execution, key: bytes, job: Job) -> None:
    match job.stage:
        case "attesting":
            refund(run, key, job, "no quorum of validators held the data in time")
        case "committing" if any(m.state == "committed" for m in job.shard):
            run.state.put(JOBS, key, _open_reveals(run, key, job))
        case "committing" | "revealing":
            run.state.put(JOBS, key, _enter(run, key, evolve(job, leaders=()), "closing", run.parameters.draw_ms))
        case _:
            refund(run, key, job, "the beacon did not move in time")


def _draw(run: Execution, key: bytes, job: Job) -> None:
    pool = [(address, encoder) for address, encoder in candidates(run) if can_lock(run, address, job.pot)]
    seed = beacon.draw_seed(run.state.need(BEACON).value, b"shard" + key)
    routed = factors(run, job.cell, beacon.draw_seed(run.state.need(BEACON).value, b"route" + key))
    drawn = run.rule.draw(
        run.parameters.shard_size,
        [Candidate(address, stake_of(run.state, address), routed.get(address, fixed.ONE)) for address, _ in pool],
        seed,
    )
    if not drawn:
        refund(run, key, job, "no encoder could be drawn")
        return
    shard = tuple(
        Member(
            encoder=pool[place][0],
            registered=pool[place][1].registered,
            weights=pool[place][1].weights,
            frame=pool[place][1].frame,
            opaque=pool[place][1].architecture == OPAQUE,
        )
        for place in drawn
    )
    sampled = is_sampled(job.pot, [stake_of(run.state, member.encoder) for member in shard])
    for member in shard:
        lock(run, member.encoder, lock_of(job.pot, sampled=sampled))
    job = evolve(job, shard=shard, epoch=run.epoch, sampled=sampled)
    job = _enter(run, key, job, "committing", run.parameters.commit_ms)
    run.state.put(JOBS, key, job)
    run.events.append(ShardDrawn(key, job.blob, job.size, tuple(m.encoder for m in shard), job.deadline))


def _after_answer(run: Execution, key: bytes, job: Job) -> Job:
    # When all have answered somebody has sealed: where half of a shard is unavailable, the job is over by now.
    return job if any(m.state == "drawn" for m in job.shard) else _open_reveals(run, key, job)


def _open_reveals(run: Execution, key: bytes, job: Job) -> Job:
    job = _enter(run, key, job, "revealing", run.parameters.reveal_ms)
    run.events.append(RevealsOpen(key, job.deadline))
    return job


def _enter(run: Execution, key: bytes, job: Job, stage: str, duration: int) -> Job:
    run.events.append(JobChanged(key, stage))
    return evolve(job, stage=stage, deadline=run.time + duration)


def _open_job(run: Execution, key: bytes, stage: str) -> Job:
    job = run.state.get(JOBS, key)
    if job is None:
        raise Refusal("job", "there is no such open job")
    if job.stage != stage:
        raise Refusal("stage", f"the job is {job.stage}, not {stage}")
    if run.time > job.deadline:
        raise Refusal("late", f"the deadline passed {run.time - job.deadline} ms ago")
    return job


def _place(job: Job, sender: bytes) -> int:
    for place, member in enumerate(job.shard):
        if member.encoder == sender:
            return place
    raise Refusal("sender", "this encoder was not drawn for the job")


def _with_member(job: Job, place: int, member: Member) -> Job:
    return evolve(job, shard=(*job.shard[:place], member, *job.shard[place + 1 :]))
