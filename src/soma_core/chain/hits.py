"""Hits: their audits, who is next if one fails, and their pay (rules Z18 to Z21, ``specs/24-targets.md``).

While a hit is audited its target's other submissions stay, in the order of their seals. Only what an audit upholds
counts, is paid and spends its blob; one that fails makes room for the next of them.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.records import uint

from .accounts import pay
from .audits import AUDITS, Audit, Item, Word, open_audit, room, subject
from .events import TargetEnded, TargetHit
from .execution import BASIS, Execution, Handler, Refusal
from .openings import await_targets
from .pools import add_to_pools
from .race import (
    HITS,
    RACE,
    SPENT,
    SUBMISSIONS,
    TARGETS,
    Hit,
    Spent,
    Submission,
    Target,
    change,
    submissions_of,
    target_key,
)
from .stakes import reward
from .state import State
from .weakness import note_outcome

KIND: Final = "target"
"""The kind of a hit's audits."""


def audit_key(number: int) -> bytes:
    """How audits name a target: its number, 32 bytes."""
    return number.to_bytes(32, "big")


def is_questioned(state: State, number: int) -> bool:
    """Whether a target's hit is being audited."""
    return state.get(AUDITS, subject(KIND, audit_key(number))) is not None


def hit(run: Execution, number: int, target: Target, submitter: bytes, submission: Submission) -> None:
    """Let a submission hit. The first hit of a target brings another target, whatever becomes of it."""
    made = Hit(
        target=evolve(target, closed=True),
        submitter=submitter,
        encoder=submission.encoder,
        blob=submission.blob,
        size=submission.size,
        loss=submission.loss,
        vector=submission.vector,
        distance=submission.distance,
        bond=submission.bond,
        claimable=run.time + run.parameters.audit_ms,
    )
    run.state.delete(SUBMISSIONS, target_key(number) + submitter)
    run.state.delete(TARGETS, target_key(number))
    run.state.put(HITS, target_key(number), made)
    run.state.put(SPENT, made.blob, Spent(number))
    run.events.append(TargetHit(number, made.submitter, made.encoder, made.blob, made.claimable))
    if target.epoch == run.epoch and not target.closed:
        await_targets(run, 1)
    if run.parameters.audit_ms:
        items = _items(made)[: room(run.parameters.dimension)]
        open_audit(run, KIND, audit_key(number), made.blob, made.size, items)
    else:
        _uphold(run, number, made)


def _items(hit: Hit) -> list[Item]:
    """The claim, and for every other assigned encoder, that its loss is no lower."""
    first, *others = sorted(hit.target.encoders, key=lambda assigned: assigned.encoder != hit.encoder)
    claim = Item(
        member=0, encoder=first.encoder, weights=first.weights, frame=first.frame, loss=hit.loss, vector=hit.vector
    )
    return [
        claim,
        *(
            Item(member=place, encoder=a.encoder, weights=a.weights, frame=a.frame, loss=hit.loss, vector=b"")
            for place, a in enumerate(others, 1)
        ),
    ]


def heard(run: Execution, key: bytes, audit: Audit, words: Mapping[int, Word]) -> None:
    """Take what an audit found of a hit. What is missing the whole committee looks for, too.

    That another encoder's weights are missing says nothing of the hit.
    """
    number = int.from_bytes(key, "big")
    word: Word = "false" if "false" in words.values() else words[0]
    if word == "missing" and not audit.appeal:
        open_audit(run, KIND, key, audit.blob, audit.size, audit.items, appeal=True)
    elif word == "honest":
        _uphold(run, number, run.state.need(HITS, target_key(number)))
    else:
        _fail(run, number, run.state.need(HITS, target_key(number)), word)


def _uphold(run: Execution, number: int, hit: Hit) -> None:
    """The hit counts, and nobody is next."""
    for submitter, submission in submissions_of(run.state, number):
        give_back(run, number, submitter, submission, 0)
    note_outcome(run, hit.target.cell, hit=True)
    change(run.state, hits=run.state.need(RACE).hits + 1)


def _fail(run: Execution, number: int, hit: Hit, word: Word) -> None:
    """End the hit, which has spent no blob. Who was sealed before it and may still hit is next.

    Who did not show while there was a hit has held nobody up, and loses nothing.
    """
    late = hit.bond * run.parameters.target_late // BASIS
    lost = {"false": hit.bond, "missing": late}.get(word, 0)
    pay(run.state, hit.submitter, hit.bond - lost)
    add_to_pools(run.state, treasury=lost)
    run.state.delete(HITS, target_key(number))
    run.state.delete(SPENT, hit.blob)
    run.events.append(TargetEnded(number, word))
    waiting = 0
    for submitter, submission in submissions_of(run.state, number):
        if submission.state == "sealed" and run.time > submission.deadline:
            give_back(run, number, submitter, submission, 0)
        else:
            waiting += 1
    if waiting:
        run.state.put(TARGETS, target_key(number), hit.target)
    else:
        change(run.state, pool=run.state.need(RACE).pool + hit.target.reward)


def give_back(run: Execution, number: int, submitter: bytes, submission: Submission, lost: int) -> None:
    """End a submission that does not hit: its bond goes back, but for what is `lost` to the treasury."""
    pay(run.state, submitter, submission.bond - lost)
    add_to_pools(run.state, treasury=lost)
    run.state.delete(SUBMISSIONS, target_key(number) + submitter)


# Pay. -----------------------------------------------------------------------------------------------------------------


@frozen
class ClaimTarget:
    """Have a hit paid, whoever asks."""

    target: int = uint()


def _claim(run: Execution, sender: bytes, action: ClaimTarget) -> None:
    key = target_key(action.target)
    hit = run.state.get(HITS, key)
    if hit is None:
        raise Refusal("target", "there is no such hit that is not yet paid")
    if run.time < hit.claimable:
        raise Refusal("early", f"the hit can be audited for {hit.claimable - run.time} ms more")
    if is_questioned(run.state, action.target):
        raise Refusal("early", "the hit's audit is not over")
    p, whole = run.parameters, hit.target.reward
    submitter, encoder, claimer = (
        whole * share // BASIS for share in (p.target_submitter, p.target_encoder, p.target_claimer)
    )
    pay(run.state, hit.submitter, submitter + hit.bond)
    reward(run, hit.encoder, encoder)
    pay(run.state, sender, claimer)
    add_to_pools(run.state, treasury=whole - submitter - encoder - claimer)
    run.state.delete(HITS, key)
    run.events.append(TargetEnded(action.target, "claimed"))


ACTIONS: Final[Mapping[str, Handler]] = {"claim_target": Handler(ClaimTarget, _claim)}
