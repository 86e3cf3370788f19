"""Validators against validators: reports, which cost a part of the reward, two headers of one slot, and absence.

Rules V21 to V30 of ``specs/14-validators.md``.
"""

from collections.abc import Collection, Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core import codec
from soma_core.crypto import SIGNATURE_SIZE, signing_digest, verify
from soma_core.errors import DecodeError
from soma_core.records import octets, uint

from .execution import BASIS, Execution, Handler, Refusal
from .members import KEYS, MEMBERS
from .powers import POWER
from .stakes import at_risk, cut_stake
from .state import State, Table
from .transactions import MAX_TRANSACTION
from .validators import committee

CORRELATION: Final = 3
"""Each part of all power that others were proven false with, at about the same time, costs as many parts of a stake."""

DOWNTIME_LEAST: Final = 64
"""Records of an epoch that must be closed before anybody is called absent."""


@frozen
class Report:
    """That one validator has reported another; its name says which."""

    epoch: int = uint()


@frozen
class Equivocation:
    """That a key is proven to have signed two headers of one slot in an epoch. `power`: of its owner, of `POWER`."""

    power: int = uint(most=POWER)


REPORTS: Final = Table("report", 0x1D, Report)
EQUIVOCATIONS: Final = Table("equivocation", 0x1E, Equivocation)


@frozen
class ReportValidator:
    """Say that the validator of `account` harms the network."""

    account: bytes = octets(32)


@frozen
class UndoReport:
    """Say it no more."""

    account: bytes = octets(32)


@frozen(kw_only=True)
class AccuseValidator:
    """Two headers of one slot of `epoch`, with the signatures of `key` under ``soma/block``."""

    key: bytes = octets(32)
    epoch: int = uint()
    first: bytes = octets(most=MAX_TRANSACTION)
    first_signature: bytes = octets(SIGNATURE_SIZE)
    second: bytes = octets(most=MAX_TRANSACTION)
    second_signature: bytes = octets(SIGNATURE_SIZE)


def _report(run: Execution, sender: bytes, action: ReportValidator) -> None:
    accounts = {validator.account for validator in committee(run.state)}
    if sender not in accounts:
        raise Refusal("sender", "only a validator's account reports")
    if action.account not in accounts - {sender}:
        raise Refusal("validator", "this is no other validator of the committee")
    if run.state.get(REPORTS, action.account + sender) is not None:
        raise Refusal("exists", "the sender has reported it already")
    run.state.put(REPORTS, action.account + sender, Report(run.epoch))


def _undo(run: Execution, sender: bytes, action: UndoReport) -> None:
    if run.state.get(REPORTS, action.account + sender) is None:
        raise Refusal("validator", "the sender has not reported it")
    run.state.delete(REPORTS, action.account + sender)


def _accuse(run: Execution, _sender: bytes, action: AccuseValidator) -> None:
    p = run.parameters
    owner = run.state.get(KEYS, action.key)
    if owner is None:
        raise Refusal("key", "no validator with stake has or had this key")
    if not 0 <= (run.epoch - action.epoch) * p.epoch_ms <= p.evidence_ms:
        raise Refusal("late", f"epoch {action.epoch} is not one whose faults can be proved in epoch {run.epoch}")
    name = action.epoch.to_bytes(8, "big") + action.key
    if run.state.get(EQUIVOCATIONS, name) is not None:
        raise Refusal("exists", "this key was slashed for that epoch already")
    slots = {slot_of(action.first), slot_of(action.second)}
    if action.first == action.second or len(slots) != 1 or None in slots:
        raise Refusal("evidence", "these are not two different headers of one slot")
    for header, signature in ((action.first, action.first_signature), (action.second, action.second_signature)):
        if not verify(action.key, signing_digest("soma/block", run.genesis.chain, action.epoch, header), signature):
            raise Refusal("evidence", "the key has not signed both headers")
    sitting = committee(run.state)
    power = sum(v.power for v in sitting if v.account == owner.account) * POWER // sum(v.power for v in sitting)
    earliest = max(0, run.epoch - p.evidence_ms // p.epoch_ms).to_bytes(8, "big")
    others = sum(known.power for key, known in run.state.scan(EQUIVOCATIONS, earliest) if key[8:] != action.key)
    basis = min(BASIS, p.slash_equivocation + CORRELATION * others * BASIS // POWER)
    cut_stake(run, owner.account, at_risk(run.state, owner.account) * basis // BASIS)
    run.state.put(EQUIVOCATIONS, name, Equivocation(power))
    member = run.state.get(MEMBERS, owner.account)
    if member is not None and member.key == action.key:
        run.state.put(MEMBERS, owner.account, evolve(member, barred=True))


ACTIONS: Final[Mapping[str, Handler]] = {
    "report_validator": Handler(ReportValidator, _report),
    "undo_report": Handler(UndoReport, _undo),
    "accuse_validator": Handler(AccuseValidator, _accuse),
}


def can_accuse(state: State, epoch: int, key: bytes) -> bool:
    """Whether a key has an owner, and is not proven yet to have signed two headers of one slot in an epoch."""
    return state.get(KEYS, key) is not None and state.get(EQUIVOCATIONS, epoch.to_bytes(8, "big") + key) is None


def slot_of(header: bytes) -> tuple[int, ...] | None:
    """(version, epoch, round, author) of a signed header: what every engine's begins with. None if it does not."""
    try:
        value = codec.decode(header, max_size=MAX_TRANSACTION)
    except DecodeError:
        return None
    match value:
        case [int(version), int(epoch), int(round_), int(author), *_]:
            return version, epoch, round_, author
        case _:
            return None


def reported_by(run: Execution) -> dict[bytes, int]:
    """Account → the power of the committee's validators that have reported it."""
    powers = {validator.account: validator.power for validator in committee(run.state)}
    found: dict[bytes, int] = {}
    for key, _ in run.state.scan(REPORTS):
        found[key[:32]] = found.get(key[:32], 0) + powers.get(key[32:], 0)
    return found


def absent_from(run: Execution, closed: int) -> frozenset[bytes]:
    """Accounts of validators that signed fewer than half of the `closed` records of this epoch.

    Nobody's, if more than a third of the power was absent: then the network had trouble, not its validators.
    """
    sitting = committee(run.state)
    absent = [validator for validator in sitting if 2 * validator.absent > closed]
    too_many = 3 * sum(v.power for v in absent) > sum(v.power for v in sitting)
    return frozenset() if closed < DOWNTIME_LEAST or too_many else frozenset(v.account for v in absent)


def rest(run: Execution, accounts: Collection[bytes]) -> None:
    """Cut what absent validators have at risk by a little; they have no seat until they say that they are back."""
    for account in sorted(accounts):
        cut_stake(run, account, at_risk(run.state, account) * run.parameters.slash_downtime // BASIS)
        member = run.state.get(MEMBERS, account)
        if member is not None:
            run.state.put(MEMBERS, account, evolve(member, down=True))


def on_epoch(run: Execution) -> None:
    """Forget reports of who is registered no more, where validators register at all, and what can be proved no more."""
    if run.state.count(MEMBERS):
        for key, _ in list(run.state.scan(REPORTS)):
            if run.state.get(MEMBERS, key[:32]) is None:
                run.state.delete(REPORTS, key)
    earliest = max(0, run.epoch - run.parameters.evidence_ms // run.parameters.epoch_ms).to_bytes(8, "big")
    for key, _ in list(run.state.scan(EQUIVOCATIONS, stop=earliest)):
        run.state.delete(EQUIVOCATIONS, key)
