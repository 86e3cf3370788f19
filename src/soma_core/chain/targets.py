"""The race for targets: openings, sealed submissions, hits, claims (rules Z7 to Z21, ``specs/24-targets.md``).

A target is drawn by the beacon and open for its epoch. A submission is sealed first, with a bond, and shown afterwards;
the chain computes its distance itself. Of the valid ones the one that was sealed first hits, whoever showed first.

    opening → open → hit → claimed, missing or false, or expired without a hit
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from soma_core import beacon, fixed
from soma_core.api import Difficulty, HasTargets
from soma_core.genesis import OPAQUE
from soma_core.records import octets, uint

from .accounts import pay, take
from .audits import AUDITS, Audit, Item, Word, open_audit, subject
from .encoders import Encoder, candidates
from .events import TargetEnded, TargetHit, TargetOpened
from .execution import BASIS, Execution, Handler, Refusal
from .jobs import enough
from .pools import add_to_pools
from .race import (
    HITS,
    OPENINGS,
    RACE,
    RESERVE_EPOCHS,
    SPENT,
    SUBMISSIONS,
    TARGETS,
    VECTOR_MOST,
    Assigned,
    Hit,
    Opening,
    Race,
    Spent,
    Submission,
    Target,
    change,
    contested,
    has_targets,
    submission_seal,
    submissions_of,
    target_key,
)
from .settlement import LOSS_UNKNOWN, REFERENCES_UNTIL, SETTLED
from .stakes import reward, stake_of
from .validators import BEACON
from .weakness import cells_of, note_outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND: Final = "target"
"""The kind of a hit's audits."""
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


@frozen
class ClaimTarget:
    """Have a hit paid, whoever asks."""

    target: int = uint()


def _seal(run: Execution, sender: bytes, action: SealSubmission) -> None:
    target = run.state.get(TARGETS, target_key(action.target))
    if target is None or target.epoch != run.epoch or not has_targets(run.rule):
        raise Refusal("target", "there is no such target open in this epoch")
    key = target_key(action.target) + sender
    if run.state.get(SUBMISSIONS, key) is not None:
        raise Refusal("exists", "this account has a submission to this target already")
    if action.size > run.parameters.target_bytes:
        raise Refusal("size", f"{action.size} bytes exceed the {run.parameters.target_bytes} of a submission")
    if len(submissions_of(run.state, action.target)) >= SUBMISSIONS_MOST:
        raise Refusal("full", f"{SUBMISSIONS_MOST} submissions to this target wait; try another")
    bond = max(0, run.rule.bond(target.reward, action.size))
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
    target = run.state.need(TARGETS, target_key(action.target))
    if action.encoder not in {assigned.encoder for assigned in target.encoders}:
        raise Refusal("encoder", "this encoder is not assigned to the target")
    if run.state.get(SPENT, action.blob) is not None:
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


def _claim(run: Execution, sender: bytes, action: ClaimTarget) -> None:
    key = target_key(action.target)
    hit = run.state.get(HITS, key)
    if hit is None:
        raise Refusal("target", "there is no such hit that is not yet paid")
    if run.time < hit.claimable:
        raise Refusal("early", f"the hit can be audited for {hit.claimable - run.time} ms more")
    if run.state.get(AUDITS, subject(KIND, audit_key(action.target))) is not None:
        raise Refusal("early", "the hit's audit is not over")
    p = run.parameters
    submitter, encoder, claimer = (
        hit.reward * share // BASIS for share in (p.target_submitter, p.target_encoder, p.target_claimer)
    )
    pay(run.state, hit.submitter, submitter + hit.bond)
    reward(run, hit.encoder, encoder)
    pay(run.state, sender, claimer)
    add_to_pools(run.state, treasury=hit.reward - submitter - encoder - claimer)
    run.state.delete(HITS, key)
    run.events.append(TargetEnded(action.target, "claimed"))


ACTIONS: Final[Mapping[str, Handler]] = {
    "seal_submission": Handler(SealSubmission, _seal),
    "show_submission": Handler(ShowSubmission, _show),
    "claim_target": Handler(ClaimTarget, _claim),
}


def audit_key(number: int) -> bytes:
    """How audits name a target: its number, 32 bytes."""
    return number.to_bytes(32, "big")


def heard(run: Execution, key: bytes, audit: Audit, words: Mapping[int, Word]) -> None:
    """Take what an audit found of a hit. False: its bond is forfeit. Missing, for the committee too: part of it."""
    number, word = int.from_bytes(key, "big"), words[0]
    if word == "missing" and not audit.appeal:
        open_audit(run, KIND, key, audit.blob, audit.size, audit.items, appeal=True)
    elif word != "honest":
        hit = run.state.need(HITS, target_key(number))
        late = hit.bond * run.parameters.target_late // BASIS
        lost = {"false": hit.bond, "missing": late}.get(word, 0)
        pay(run.state, hit.submitter, hit.bond - lost)
        add_to_pools(run.state, treasury=lost)
        change(run.state, pool=run.state.need(RACE).pool + hit.reward)
        run.state.delete(HITS, target_key(number))
        run.events.append(TargetEnded(number, word))


# What every commit does. ----------------------------------------------------------------------------------------------


def advance(run: Execution, leader: int, *, mixed: bool) -> None:
    """Open what has waited long enough for the beacon, then let those who sealed first hit.

    An opening counts the leaders of later commits only, so that nobody who saw it come could choose its link.
    """
    for key, opening in list(run.state.scan(OPENINGS, stop=target_key(run.index))):
        if mixed:
            waited = evolve(opening, leaders=tuple(sorted({*opening.leaders, leader})))
            if enough(run, waited.leaders):
                run.state.delete(OPENINGS, key)
                _open(run, waited.count)
            else:
                run.state.put(OPENINGS, key, waited)
    for number in contested(run.state):
        _decide(run, number)


def _decide(run: Execution, number: int) -> None:
    """Go through a target's submissions by the order of their seals, as far as they are decided."""
    target = run.state.need(TARGETS, target_key(number))
    for submitter, submission in submissions_of(run.state, number):
        if submission.state == "shown" and run.state.get(SPENT, submission.blob) is None:
            _hit(run, number, target, submitter, submission)
            return
        if submission.state == "sealed" and run.time <= submission.deadline:
            return
        lost = submission.bond * run.parameters.target_late // BASIS if submission.state == "sealed" else 0
        _give_back(run, number, submitter, submission, lost)
    if target.epoch < run.epoch:
        _expire(run, number, target)


def _hit(run: Execution, number: int, target: Target, submitter: bytes, submission: Submission) -> None:
    hit = Hit(
        submitter=submitter,
        encoder=submission.encoder,
        blob=submission.blob,
        size=submission.size,
        loss=submission.loss,
        vector=submission.vector,
        distance=submission.distance,
        reward=target.reward,
        bond=submission.bond,
        claimable=run.time + run.parameters.audit_ms,
    )
    run.state.delete(SUBMISSIONS, target_key(number) + submitter)
    for other, late in submissions_of(run.state, number):
        _give_back(run, number, other, late, 0)
    run.state.delete(TARGETS, target_key(number))
    run.state.put(HITS, target_key(number), hit)
    run.state.put(SPENT, hit.blob, Spent(number))
    note_outcome(run, target.cell, hit=True)
    run.events.append(TargetHit(number, hit.submitter, hit.encoder, hit.blob, hit.claimable))
    if run.parameters.audit_ms:
        (assigned,) = (each for each in target.encoders if each.encoder == hit.encoder)
        item = Item(
            member=0,
            encoder=hit.encoder,
            weights=assigned.weights,
            frame=assigned.frame,
            loss=hit.loss,
            vector=hit.vector,
        )
        open_audit(run, KIND, audit_key(number), hit.blob, hit.size, [item])
    if target.epoch == run.epoch:
        change(run.state, hits=run.state.need(RACE).hits + 1)
        _await(run, 1)


def _give_back(run: Execution, number: int, submitter: bytes, submission: Submission, lost: int) -> None:
    """End a submission that does not hit: its bond goes back, but for what is `lost` to the treasury."""
    pay(run.state, submitter, submission.bond - lost)
    add_to_pools(run.state, treasury=lost)
    run.state.delete(SUBMISSIONS, target_key(number) + submitter)


def _expire(run: Execution, number: int, target: Target) -> None:
    change(run.state, pool=run.state.need(RACE).pool + target.reward)
    run.state.delete(TARGETS, target_key(number))
    note_outcome(run, target.cell, hit=False)
    run.events.append(TargetEnded(number, "expired"))


def _await(run: Execution, count: int) -> None:
    """Let `count` more targets wait for the beacon."""
    key = target_key(run.index)
    waiting = run.state.get(OPENINGS, key)
    run.state.put(OPENINGS, key, Opening(count=count + (waiting.count if waiting else 0)))


def _open(run: Execution, count: int) -> None:
    """Draw `count` targets, as many as the race can still pay for and somebody can embed for."""
    rule, race = run.rule, run.state.need(RACE)
    assert has_targets(rule)  # without them nothing is ever waited for
    pool = [(address, e) for address, e in candidates(run) if e.architecture != OPAQUE]
    stakes = [stake_of(run.state, address) for address, _ in pool]
    positions = [_position(run, encoder) for _, encoder in pool]
    observed, losses, cells = _observed(run)
    difficulty = Difficulty(race.radius, race.memory)
    numbers = range(race.opened, race.opened + min(count, race.pool // race.reward if race.reward else 0))
    value = run.state.need(BEACON).value
    points = [rule.point(beacon.draw_seed(value, b"target" + target_key(number)), observed) for number in numbers]
    if not points:
        return
    chosen = rule.assign(points, positions, stakes, run.parameters.target_encoders)
    where = cells_of(points, observed, cells)
    for number, point, assigned, cell in zip(numbers, points, chosen, where, strict=True):
        if not assigned:
            return
        limits = rule.limits(point, difficulty, observed, losses)
        target = Target(
            epoch=run.epoch,
            point=fixed.vector_bytes(point),
            radius=limits.radius,
            loss=limits.loss,
            reward=race.reward,
            cell=cell,
            encoders=tuple(
                Assigned(pool[place][0], pool[place][1].weights, pool[place][1].frame) for place in assigned
            ),
        )
        run.state.put(TARGETS, target_key(number), target)
        run.events.append(TargetOpened(number, target.point, target.radius, target.loss, target.reward))
        change(run.state, pool=run.state.need(RACE).pool - race.reward, opened=number + 1)


def _observed(run: Execution) -> "tuple[list[NDArray[np.int16]], list[int], list[int | None]]":
    """Vectors of settled data, their losses and cells; while few jobs have settled, the references of genesis."""
    settled = [record for _, record in run.state.scan(SETTLED)]
    if len(settled) < REFERENCES_UNTIL:
        rows: list[tuple[bytes, int, int | None]] = [(vector, LOSS_UNKNOWN, None) for vector in run.genesis.references]
    else:
        rows = [(record.vector, record.loss, record.cell) for record in settled]
    vectors = [fixed.vector_from_bytes(vector, run.parameters.dimension) for vector, _, _ in rows]
    return vectors, [loss for _, loss, _ in rows], [cell for _, _, cell in rows]


def _position(run: Execution, encoder: Encoder) -> "NDArray[np.int16]":
    """Where an encoder lies. Who has named no place lies at 0, as far from every point as from any other."""
    dimension = run.parameters.dimension
    return fixed.vector_from_bytes(encoder.position or bytes(2 * dimension), dimension)


# What the end of an epoch does. ---------------------------------------------------------------------------------------


def close(run: Execution) -> None:
    """End the openings, and the targets that nobody has sealed anything for: their rewards go back to the race."""
    for key, _ in list(run.state.scan(OPENINGS)):
        run.state.delete(OPENINGS, key)
    busy = set(contested(run.state))
    for key, target in list(run.state.scan(TARGETS)):
        number = int.from_bytes(key, "big")
        if number not in busy:
            _expire(run, number, target)


def fund(run: Execution, share: int) -> int:
    """Put `share` into the race's escrow, as far as it has room. Returns what that takes: nothing without targets."""
    if not has_targets(run.rule):
        return 0
    race = run.state.get(RACE) or _first(run, run.rule)
    made = max(0, min(share, RESERVE_EPOCHS * share - race.pool))
    run.state.put(RACE, b"", evolve(race, pool=race.pool + made))
    return made


def begin(run: Execution) -> None:
    """The next epoch's difficulty by this one's hits, its reward, and its first openings."""
    race = run.state.get(RACE)
    if race is None or not has_targets(run.rule):
        return
    p = run.parameters
    observed, _, _ = _observed(run)
    following = Difficulty(race.radius, race.memory)
    if race.opened:
        following = run.rule.radius(following, race.hits, p.target_goal, observed)
    reward = race.pool // (RESERVE_EPOCHS * p.target_goal)
    change(run.state, radius=following.radius, memory=following.memory, reward=reward, hits=0)
    _await(run, p.targets)


def _first(run: Execution, rule: HasTargets) -> Race:
    difficulty = rule.start(_observed(run)[0])
    return Race(radius=difficulty.radius, memory=difficulty.memory)
