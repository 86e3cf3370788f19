"""The race for targets: submissions that are sealed, shown, and hit (rules Z14 to Z17, ``specs/24-targets.md``).

A target is drawn by the beacon (`openings`) and open for its epoch. A submission is sealed first, with a bond, and
shown afterwards; the chain computes its distance. Of the valid ones the one that was sealed first hits, whoever showed
first; the others wait while that hit is audited (`hits`).

    opening → open → hit → upheld → claimed
                  ↖   ↓
                    false or missing: closed to new seals, until the next one hits or nobody is left
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import fixed
from soma_core.records import octets, uint

from .accounts import take
from .execution import BASIS, Execution, Handler, Refusal
from .hits import give_back, hit, is_questioned
from .openings import expire
from .race import (
    HITS,
    RACE,
    SPENT,
    SUBMISSIONS,
    TARGETS,
    VECTOR_MOST,
    Submission,
    Target,
    change,
    contested,
    has_targets,
    submission_seal,
    submissions_of,
    target_key,
)

SUBMISSIONS_MOST: Final = 64
"""Submissions to one target that wait at a time."""


@frozen(kw_only=True)
class SealSubmission:
    """A seal, and the size in bytes of the data behind it, which the bond is measured by."""

    target: int = uint()
    commitment: bytes = octets(32)
    size: int = uint(least=1)


@frozen(kw_only=True)
class ShowSubmission:
    """What was sealed: `encoder` gave `vector` (int16, little endian) and `loss` (Q16 bits per byte) for `blob`."""

    target: int = uint()
    salt: bytes = octets(32)
    blob: bytes = octets(32)
    encoder: bytes = octets(32)
    loss: int = uint()
    vector: bytes = octets(most=VECTOR_MOST)


def _seal(run: Execution, sender: bytes, action: SealSubmission) -> None:
    target = run.state.get(TARGETS, target_key(action.target))
    if target is None or target.closed or target.epoch != run.epoch or not has_targets(run.rule):
        raise Refusal("target", "there is no such target open in this epoch")
    key = target_key(action.target) + sender
    if run.state.get(SUBMISSIONS, key) is not None:
        raise Refusal("exists", "this account has a submission to this target already")
    if action.size > run.parameters.target_bytes:
        raise Refusal("size", f"{action.size} bytes exceed the {run.parameters.target_bytes} of a submission")
    if len(submissions_of(run.state, action.target)) >= SUBMISSIONS_MOST:
        raise Refusal("full", f"{SUBMISSIONS_MOST} submissions to this target wait; try another")
    least = target.reward * run.parameters.target_bond // BASIS
    bond = max(least, run.rule.bond(target.reward, action.size))
    take(run.state, sender, bond, "the bond")
    order = change(run.state, sealed=run.state.need(RACE).sealed + 1).sealed
    submission = Submission(
        order=order,
        commitment=action.commitment,
        size=action.size,
        bond=bond,
        deadline=run.time + run.parameters.target_show_ms,
    )
    run.state.put(SUBMISSIONS, key, submission)


def _show(run: Execution, sender: bytes, action: ShowSubmission) -> None:
    key = target_key(action.target) + sender
    submission = run.state.get(SUBMISSIONS, key)
    if submission is None:
        raise Refusal("submission", "the sender has no submission to an open target of this number")
    if submission.state != "sealed":
        raise Refusal("state", "this submission was shown before")
    if run.time > submission.deadline:
        raise Refusal("late", f"the deadline passed {run.time - submission.deadline} ms ago")
    sealed = submission_seal(
        action.target, sender, action.salt, action.blob, action.encoder, action.loss, action.vector
    )
    if sealed != submission.commitment:
        raise Refusal("seal", "this is not the submission that was sealed")
    target = _target(run, action.target)
    if action.encoder not in {assigned.encoder for assigned in target.encoders}:
        raise Refusal("encoder", "this encoder is not assigned to the target")
    spent = run.state.get(SPENT, action.blob)
    if spent is not None and not is_questioned(run.state, spent.target):
        raise Refusal("spent", "this blob has hit a target before")
    if action.loss > target.loss:
        raise Refusal("loss", f"a loss of {action.loss} exceeds the target's {target.loss}")
    away = _distance(run, target, action.vector)
    if away > target.radius:
        raise Refusal("distance", f"a distance of {away} exceeds the target's radius of {target.radius}")
    shown = evolve(
        submission,
        state="shown",
        blob=action.blob,
        encoder=action.encoder,
        loss=action.loss,
        vector=action.vector,
        distance=away,
    )
    run.state.put(SUBMISSIONS, key, shown)


def _target(run: Execution, number: int) -> Target:
    """The target that somebody has sealed for: open, or hit by somebody who sealed earlier."""
    target = run.state.get(TARGETS, target_key(number))
    return target if target is not None else run.state.need(HITS, target_key(number)).target


def _distance(run: Execution, target: Target, data: bytes) -> int:
    """How far a shown vector lies from the target's point, Q16. Raises `Refusal` if it is no vector."""
    dimension = run.parameters.dimension
    if len(data) != 2 * dimension:
        raise Refusal("vector", f"{len(data)} bytes are not {dimension} int16 values")
    vector, point = (fixed.vector_from_bytes(data_, dimension) for data_ in (data, target.point))
    if not fixed.is_vector(vector, dimension):
        raise Refusal("vector", "this is not of the norm that a quantised vector has")
    dot = int(fixed.dots(vector[None], point[None])[0, 0])
    return fixed.ONE - fixed.cosq(dot, fixed.squared_norm(vector), fixed.squared_norm(point))


ACTIONS: Final[Mapping[str, Handler]] = {
    "seal_submission": Handler(SealSubmission, _seal),
    "show_submission": Handler(ShowSubmission, _show),
}


# What every commit does. ----------------------------------------------------------------------------------------------


def advance(run: Execution) -> None:
    """Let those hit who sealed first, where nobody hits yet."""
    for number in contested(run.state):
        target = run.state.get(TARGETS, target_key(number))
        if target is not None:
            _decide(run, number, target)


def _decide(run: Execution, number: int, target: Target) -> None:
    """Go through a target's submissions by the order of their seals, as far as they are decided."""
    for submitter, submission in submissions_of(run.state, number):
        lost = 0
        if submission.state == "shown":
            spent = run.state.get(SPENT, submission.blob)
            if spent is None:
                hit(run, number, target, submitter, submission)
                return
            if is_questioned(run.state, spent.target):
                return
        elif run.time <= submission.deadline:
            return
        else:
            lost = submission.bond * run.parameters.target_late // BASIS
        give_back(run, number, submitter, submission, lost)
    if target.closed or target.epoch < run.epoch:
        expire(run, number, target)
