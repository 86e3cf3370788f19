"""Reports of encoders by validators: a quorum of them ends an encoder's draws, and costs it nothing else.

What an audit can prove is slashed; this is for what it cannot, so that nobody loses stake by a vote. Rules L22 to L24
of ``specs/15-encoders.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import frozen

from soma_core.records import octets, uint

from .encoders import ENCODERS
from .execution import Execution, Handler, Refusal
from .state import Table
from .validators import committee, quorum
from .weights import retire


@frozen
class Objection:
    """That a validator's account has reported an encoder in this epoch; its name says which."""

    epoch: int = uint()


OBJECTIONS: Final = Table("encoder report", 0x46, Objection)


@frozen
class ReportEncoder:
    """Say, until the epoch ends, that the encoder of `account` harms the network."""

    account: bytes = octets(32)


@frozen
class UndoEncoderReport:
    """Say it no more."""

    account: bytes = octets(32)


def _report(run: Execution, sender: bytes, action: ReportEncoder) -> None:
    if all(validator.account != sender for validator in committee(run.state)):
        raise Refusal("sender", "only a validator's account reports")
    if run.state.get(ENCODERS, action.account) is None:
        raise Refusal("encoder", "this account has no encoder")
    if run.state.get(OBJECTIONS, action.account + sender) is not None:
        raise Refusal("exists", "the sender has reported it already")
    run.state.put(OBJECTIONS, action.account + sender, Objection(run.epoch))


def _undo(run: Execution, sender: bytes, action: UndoEncoderReport) -> None:
    if run.state.get(OBJECTIONS, action.account + sender) is None:
        raise Refusal("encoder", "the sender has not reported it")
    run.state.delete(OBJECTIONS, action.account + sender)


ACTIONS: Final[Mapping[str, Handler]] = {
    "report_encoder": Handler(ReportEncoder, _report),
    "undo_encoder_report": Handler(UndoEncoderReport, _undo),
}


def on_epoch(run: Execution) -> None:
    """Draw no more whom a quorum's power has reported; forget the reports."""
    powers: dict[bytes, int] = {}
    for validator in committee(run.state):
        powers[validator.account] = powers.get(validator.account, 0) + validator.power
    against: dict[bytes, int] = {}
    for name, _ in list(run.state.scan(OBJECTIONS)):
        against[name[:32]] = against.get(name[:32], 0) + powers.get(name[32:], 0)
        run.state.delete(OBJECTIONS, name)
    for account, power in against.items():
        if power >= quorum(tuple(powers.values())):
            retire(run, account)
