"""What an encoder stands to lose: stake locked by its open answers, slashes that grow by repeat.

Locked stake stays where it is and is drawn, earns and is slashed like any other; it only bounds how many answers an
encoder may have out that nobody has checked yet. Rules AU13 to AU16 of ``specs/25-audits.md``.
"""

from typing import Final

from attrs import frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import uint

from .execution import Execution
from .stakes import cut_stake, stake_of
from .state import Table
from .weights import retire

SAMPLE_ODDS: Final = 10
"""Where audits are sampled, one in so many winners is audited, and so many pots are locked."""
SAMPLE_STAKE: Final = 100
"""Audits are sampled where each stake of the shard is at least so many pots."""
REPEAT_TENTHS: Final = (10, 50, 95)
"""What a first, second and any later false answer costs, in tenths of what the scoring rule takes for a first."""
OFFENCES_EPOCHS: Final = 30
"""An offence counts as a repeat while the last one is at most so many epochs old."""


@frozen
class Lock:
    """Shannons of an encoder's stake that open answers lock."""

    amount: int = uint(most=SUPPLY_MOST)


@frozen(kw_only=True)
class Offences:
    """False answers of an encoder: how many in a row, and the epoch of the last."""

    count: int = uint()
    epoch: int = uint()


LOCKS: Final = Table("stake lock", 0x26, Lock)
OFFENCES: Final = Table("offences", 0x27, Offences)


def is_sampled(pot: int, stakes: list[int]) -> bool:
    """Whether a job of this pot is audited one time in ten: every stake of its shard is worth a hundred pots."""
    return all(SAMPLE_STAKE * pot <= stake for stake in stakes)


def lock_of(pot: int, *, sampled: bool) -> int:
    """Shannons that each member of a shard has locked for a job."""
    return pot * SAMPLE_ODDS if sampled else pot


def can_lock(run: Execution, address: bytes, pot: int) -> bool:
    """Whether what is free of a stake covers one more answer to a job of this pot."""
    stake = stake_of(run.state, address)
    return locked(run, address) + lock_of(pot, sampled=is_sampled(pot, [stake])) <= stake


def locked(run: Execution, address: bytes) -> int:
    """Shannons of a stake that answers lock. What has left the stake in the meantime can make it more than is there."""
    lock = run.state.get(LOCKS, address)
    return 0 if lock is None else lock.amount


def lock(run: Execution, address: bytes, amount: int) -> None:
    """Lock `amount` more."""
    if amount:
        run.state.put(LOCKS, address, Lock(locked(run, address) + amount))


def unlock(run: Execution, address: bytes, amount: int) -> None:
    """Free what was locked."""
    left = locked(run, address) - amount
    if left:
        run.state.put(LOCKS, address, Lock(left))
    else:
        run.state.delete(LOCKS, address)


def convict(run: Execution, address: bytes, first: int) -> int:
    """Slash for a false answer, and eject at the third. `first`: what a first one costs. Returns what was taken."""
    known = run.state.get(OFFENCES, address)
    before = known.count if known is not None and run.epoch - known.epoch <= OFFENCES_EPOCHS else 0
    run.state.put(OFFENCES, address, Offences(count=before + 1, epoch=run.epoch))
    if before + 1 >= len(REPEAT_TENTHS):
        retire(run, address)
    return cut_stake(run, address, first * REPEAT_TENTHS[min(before, len(REPEAT_TENTHS) - 1)] // 10)
