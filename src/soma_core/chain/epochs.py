"""Epochs: what happens at their boundary, and the money that is made there (rules U1 to U6, ``specs/18-epochs.md``)."""

from collections.abc import Collection
from typing import Final

from attrs import evolve, frozen

from soma_core.records import uint

from . import fees
from .audits import forfeits
from .encoders import WINS
from .events import EpochBegan
from .execution import BASIS, Execution
from .faults import absent_from, reported_by, rest
from .openings import fund
from .pools import POOLS, add_to_pools
from .powers import parts
from .stakes import reward
from .state import State, Table
from .validators import TALLIES_KEPT, committee, quorum


@frozen(kw_only=True)
class Epoch:
    """`start` in ms; `first_index`: the epoch's first commit."""

    number: int = uint()
    start: int = uint()
    first_index: int = uint()


@frozen
class Parked:
    """How many epochs ended without sharing their money."""

    epochs: int = uint()


EPOCH: Final = Table("epoch", 0x12, Epoch)
PARKED: Final = Table("parked", 0x41, Parked)


def is_over(run: Execution) -> bool:
    """Whether the epoch ends with this commit. After a long silence one long epoch ends, not many."""
    return run.time >= run.state.need(EPOCH).start + run.parameters.epoch_ms


def begin_next(run: Execution) -> None:
    """Number and time of the next epoch."""
    epoch = run.state.need(EPOCH)
    run.state.put(
        EPOCH,
        b"",
        Epoch(number=epoch.number + 1, start=run.time, first_index=run.index + 1),
    )
    run.events.append(EpochBegan(epoch.number + 1))


def park(run: Execution) -> None:
    """Leave the epoch's money to be made and shared at the next end that holds."""
    run.state.put(PARKED, b"", Parked(parked(run.state) + 1))


def parked(state: State) -> int:
    """How many epochs' money waits: those that have ended in safe mode since one last ended whole."""
    known = state.get(PARKED)
    return 0 if known is None else known.epochs


def prolong(run: Execution) -> None:
    """Try to end this epoch again after the time of another one."""
    run.state.put(EPOCH, b"", evolve(run.state.need(EPOCH), start=run.time))


def change_fee(run: Execution) -> None:
    """The next epoch's least fee."""
    fees.on_epoch(run, run.state.need(EPOCH).start)


def on_epoch(run: Execution) -> None:
    """Make this epoch's money and share it out: first the embed winners, then the validators; the rest is treasury.

    The targets' share fills the race's escrow, and is not made as far as that is full: never is more emitted than
    somebody can get.
    """
    p = run.parameters
    room = max(0, p.supply_limit - run.genesis.supply - run.state.need(POOLS).emitted)
    emission = min(p.emission * (1 + parked(run.state)), room)
    embed = emission * p.emission_embed // BASIS
    validators = emission * p.emission_validators // BASIS
    treasury = emission * p.emission_treasury // BASIS
    targets = fund(run, emission * p.emission_targets // BASIS)
    run.state.delete(PARKED, b"")
    add_to_pools(run.state, validators=validators, emitted=embed + validators + treasury + targets)
    treasury += _share_with_winners(run, embed)
    add_to_pools(run.state, treasury=treasury)
    closed = run.index - TALLIES_KEPT - run.state.need(EPOCH).first_index
    absent = absent_from(run, closed)
    _share_with_validators(run, absent)
    rest(run, absent)


def _share_with_winners(run: Execution, amount: int) -> int:
    """Share `amount` by jobs won in the epoch; returns what nobody got."""
    winners = list(run.state.scan(WINS))
    total = sum(wins.jobs for _, wins in winners)
    left = amount
    for address, wins in winners:
        share = amount * wins.jobs // total
        reward(run, address, share)
        left -= share
        run.state.delete(WINS, address)
    return left


def _share_with_validators(run: Execution, absent: Collection[bytes]) -> None:
    pools = run.state.need(POOLS)
    validators = committee(run.state)
    powers = tuple(validator.power for validator in validators)
    against = reported_by(run)
    left = pools.validators
    for validator, part in zip(validators, parts(pools.validators, powers), strict=True):
        withheld = against.get(validator.account, 0) >= quorum(powers)
        share = part - part * run.parameters.reward_withheld // BASIS if withheld else part
        if validator.account in absent or forfeits(run, validator.account):
            share = 0
        reward(run, validator.account, share)
        left -= share
    run.state.put(POOLS, b"", evolve(pools, validators=0, treasury=pools.treasury + left))
