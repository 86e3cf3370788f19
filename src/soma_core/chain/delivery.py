"""Between the first judgement of a job and its payment: audits, disputes (rules AU10 to AU21, ``specs/25-audits.md``).

A judged job is delivered at once: its vector and a receipt are out. Its money waits until the audit window is over.
Verdicts that come meanwhile go into the scoring rule, which is computed again; who becomes the winner by that, or is
flagged, is audited in the same way, until no verdict is new.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Settlement
from soma_core.records import octets

from . import copies
from .accounts import pay, take
from .audits import AUDITS, Audit, Item, Word, mark, open_audit, room, subject
from .encoders import ENCODERS
from .events import Settled
from .execution import Execution, Handler, Refusal
from .penalties import SAMPLE_ODDS
from .pools import add_to_pools
from .settlement import LOSS_UNKNOWN, conclude, correct, gate_vectors, judge, remember, report, write_down
from .shards import DELIVERIES, ENDINGS, Delivery, Dispute, Ending, Job, Opinion
from .specialities import are_own
from .stakes import stake_of
from .validators import BEACON

EXTRA: Final = 1 << 16
"""Place in the stream of audit draws that decides about the member beside the winner; places of members lie below."""


def settle(run: Execution, key: bytes, job: Job) -> None:
    """Judge the shard, deliver the vector, and begin its audits; or end the job, where there is nothing to audit."""
    members = [(member, run.state.need(ENCODERS, member.encoder)) for member in job.shard]
    delivery = Delivery(
        job=job,
        stakes=tuple(stake_of(run.state, member.encoder) for member, _ in members),
        gates=tuple(encoder.gate for _, encoder in members),
        own=are_own(run, job.cell, [encoder.best for _, encoder in members]),
        verdicts=("none",) * len(members),
        against=gate_vectors(run, key, job),
        seed=beacon.draw_seed(run.state.need(BEACON).value, b"audit" + key),
        extra=None,
        number=None,
        deadline=run.time + run.parameters.audit_ms,
    )
    judged = judge(run, delivery)
    for place, gate in judged.gates.items():
        member, encoder = members[place]
        run.state.put(ENCODERS, member.encoder, evolve(encoder, gate=gate))
    if judged.vector is not None:
        number = remember(run, job, fixed.vector_bytes(judged.vector), _least_loss(job, judged))
        delivery = evolve(delivery, number=number, extra=_one_more(delivery, judged))
    if not run.parameters.audit_ms or (judged.vector is None and not _due(run, delivery, judged)):
        conclude(run, key, delivery, judged)
        return
    encoded = write_down(run, key, report(run, key, delivery, judged))
    run.events.append(Settled(key, judged.outcome, encoded))
    store(run, key, delivery)
    _audit(run, key, delivery, _due(run, delivery, judged))


def _least_loss(job: Job, judged: Settlement) -> int:
    losses = [job.shard[place].loss for place in judged.weights if not job.shard[place].opaque]
    return min(losses, default=LOSS_UNKNOWN)


def _one_more(delivery: Delivery, judged: Settlement) -> int | None:
    """The member that may be audited beside the winner: any of those that the winner's vector was joined with."""
    others = [
        place for place in sorted(judged.weights) if place != judged.winner and not delivery.job.shard[place].opaque
    ]
    return others[beacon.uniform(delivery.seed, EXTRA, len(others))] if others else None


def _due(run: Execution, delivery: Delivery, judged: Settlement) -> list[int]:
    """Members to audit next: the winner and one more, each time or one time in ten; whom the rule flags always."""

    def chosen(place: int, draw: int) -> list[int]:
        sampled = delivery.job.sampled and not delivery.job.certain
        return [] if sampled and beacon.uniform(delivery.seed, draw, SAMPLE_ODDS) else [place]

    places = [] if judged.winner is None else chosen(judged.winner, judged.winner)
    places += judged.reexecute
    places += copies.suspected(run, delivery)
    places += [] if delivery.extra is None else chosen(delivery.extra, EXTRA + 1)
    return [
        place
        for place in dict.fromkeys(places)
        if delivery.verdicts[place] == "none" and not delivery.job.shard[place].opaque
    ]


def _audit(run: Execution, key: bytes, delivery: Delivery, places: list[int], *, appeal: bool = False) -> None:
    if places:
        items = [_item(delivery, place) for place in places[: room(run.parameters.dimension)]]
        open_audit(run, "embed", key, delivery.job.blob, delivery.job.size, items, appeal=appeal)


def _item(delivery: Delivery, place: int) -> Item:
    member = delivery.job.shard[place]
    return Item(
        member=place,
        encoder=member.encoder,
        weights=member.weights,
        frame=member.frame,
        loss=member.loss,
        vector=member.vector,
    )


def store(run: Execution, key: bytes, delivery: Delivery) -> None:
    """Keep a delivered job, and when its window ends."""
    known = run.state.get(DELIVERIES, key)
    if known is None or known.deadline != delivery.deadline:
        if known is not None:
            run.state.delete(ENDINGS, _ending(known.deadline, key))
        run.state.put(ENDINGS, _ending(delivery.deadline, key), Ending(job=key))
    run.state.put(DELIVERIES, key, delivery)


def _ending(deadline: int, key: bytes) -> bytes:
    return deadline.to_bytes(8, "big") + key


# What audits find. ----------------------------------------------------------------------------------------------------


def heard(run: Execution, key: bytes, audit: Audit, words: Mapping[int, Word]) -> None:
    """Take the words of a concluded audit, and audit whom they bring forward."""
    delivery = run.state.need(DELIVERIES, key)
    lost = [] if audit.appeal else [place for place, word in words.items() if word == "missing"]
    if delivery.dispute is not None:
        (place, word), *_ = words.items()
        delivery = _decided(run, delivery, place, word)
    elif audit.appeal:
        delivery = _looked_for(run, delivery, words)
    else:
        opinions = [
            Opinion(place=item.member, auditor=auditor.account, word=auditor.words[number])
            for auditor in audit.panel
            for number, item in enumerate(audit.items)
            if auditor.words
        ]
        verdicts = tuple(
            verdict if place in lost else words.get(place, verdict) for place, verdict in enumerate(delivery.verdicts)
        )
        delivery = evolve(delivery, verdicts=verdicts, opinions=(*delivery.opinions, *opinions))
    if audit.panel:
        delivery = evolve(delivery, deadline=max(delivery.deadline, run.time + run.parameters.dispute_ms))
    store(run, key, delivery)
    _audit(run, key, delivery, lost or _due(run, delivery, judge(run, delivery)), appeal=bool(lost))


def _looked_for(run: Execution, delivery: Delivery, words: Mapping[int, Word]) -> Delivery:
    """What the whole committee says of answers whose weights or data a drawn panel could not have.

    Where it cannot say, the answer does not count, and costs nothing. Who could not have what the committee had, fails.
    """
    for opinion in delivery.opinions:
        if opinion.word == "missing" and words.get(opinion.place) in ("honest", "false"):
            mark(run, opinion.auditor)
    verdicts = tuple(words.get(place, verdict) for place, verdict in enumerate(delivery.verdicts))
    return evolve(delivery, verdicts=verdicts)


def _decided(run: Execution, delivery: Delivery, place: int, word: Word) -> Delivery:
    """What the whole committee said stands. Without a quorum nothing changes, and the bond goes back."""
    dispute = delivery.dispute
    assert dispute is not None
    stood = delivery.verdicts[place]
    right = word == "open" or word != ("honest" if stood == "none" else stood)
    if right:
        pay(run.state, dispute.sender, dispute.bond)
    else:
        add_to_pools(run.state, treasury=dispute.bond)
    delivery = evolve(delivery, dispute=None, appealed=(*delivery.appealed, place))
    if word == "open":
        return delivery
    verdicts = (*delivery.verdicts[:place], word, *delivery.verdicts[place + 1 :])
    for opinion in delivery.opinions:
        if opinion.place == place and {opinion.word, word} == {"honest", "false"}:
            mark(run, opinion.auditor)
    return evolve(
        delivery,
        verdicts=verdicts,
        winners=(*delivery.winners, dispute) if right and word == "false" else delivery.winners,
    )


def advance(run: Execution) -> None:
    """End the jobs whose window is over and of which no audit is open."""
    for name, ending in list(run.state.scan(ENDINGS, b"", run.time.to_bytes(8, "big"))):
        if run.state.get(AUDITS, subject("embed", ending.job)) is None:
            run.state.delete(ENDINGS, name)
            _finish(run, ending.job)


def _finish(run: Execution, key: bytes) -> None:
    delivery = run.state.need(DELIVERIES, key)
    judged = judge(run, delivery)
    vector = b"" if judged.vector is None else fixed.vector_bytes(judged.vector)
    if delivery.number is not None:
        correct(run, delivery.number, vector)
    slashes = conclude(run, key, delivery, judged)
    for opinion in delivery.opinions:  # whom an appeal proved wrong has its mark already
        proven = delivery.verdicts[opinion.place] in ("false", "canary") and opinion.place not in delivery.appealed
        if proven and opinion.word == "honest":
            mark(run, opinion.auditor)
    for dispute in delivery.winners:
        reward = min(dispute.bond, slashes.get(dispute.place, 0) // 2)
        add_to_pools(run.state, treasury=-reward)
        pay(run.state, dispute.sender, reward)


# Disputes. ------------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class DisputeAnswer:
    """Have the whole committee look at the answer of `encoder` to `job`: what stands of it is wrong."""

    job: bytes = octets(32)
    encoder: bytes = octets(32)


def _dispute(run: Execution, sender: bytes, action: DisputeAnswer) -> None:
    delivery, place = delivered(run, action.job, action.encoder)
    member = delivery.job.shard[place]
    if member.state != "revealed" or member.opaque or delivery.verdicts[place] == "canary":
        raise Refusal("answer", "this member gave no answer that could be computed again")
    if place in delivery.appealed:
        raise Refusal("exists", "the committee has decided about this answer")
    if run.state.get(AUDITS, subject("embed", action.job)) is not None:
        raise Refusal("busy", "an audit of this job is open; dispute when it is concluded")
    bond = run.parameters.dispute_bond
    take(run.state, sender, bond, "the bond of a dispute")
    delivery = evolve(delivery, dispute=Dispute(sender=sender, place=place, bond=bond))
    store(run, action.job, delivery)
    _audit(run, action.job, delivery, [place], appeal=True)


def delivered(run: Execution, key: bytes, encoder: bytes) -> tuple[Delivery, int]:
    """A job in its audit window, and the place of a member. Raises `Refusal`."""
    delivery = run.state.get(DELIVERIES, key)
    if delivery is None:
        raise Refusal("job", "there is no such job in its audit window")
    if run.time > delivery.deadline:
        raise Refusal("late", f"the audit window ended {run.time - delivery.deadline} ms ago")
    for place, member in enumerate(delivery.job.shard):
        if member.encoder == encoder:
            return delivery, place
    raise Refusal("encoder", "this encoder was not drawn for the job")


ACTIONS: Final[Mapping[str, Handler]] = {"dispute_answer": Handler(DisputeAnswer, _dispute)}
