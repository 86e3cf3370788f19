"""Epochs: what happens at their boundary, and the money that is made there (rules U1 to U6, ``specs/18-epochs.md``)."""

from typing import Final

from attrs import evolve, frozen

from soma_core.records import uint

from .audits import forfeits
from .encoders import ENCODERS
from .events import EpochBegan
from .execution import BASIS, Execution
from .faults import reported_by
from .pools import POOLS, add_to_pools
from .powers import parts
from .stakes import reward
from .state import Table
from .targets import fund
from .validators import committee, quorum


@frozen(kw_only=True)
class Epoch:
    """`start` in ms; `first_index`: the epoch's first commit."""

    number: int = uint()
    start: int = uint()
    first_index: int = uint()


EPOCH: Final = Table("epoch", 0x12, Epoch)


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


def on_epoch(run: Execution) -> None:
    """Make this epoch's money and share it out: first the embed winners, then the validators; the rest is treasury.

    The targets' share fills the race's escrow, and is not made as far as that is full: never is more emitted than
    somebody can get.
    """
    p = run.parameters
    emission = min(p.emission, max(0, p.supply_limit - run.genesis.supply - run.state.need(POOLS).emitted))
    embed = emission * p.emission_embed // BASIS
    validators = emission * p.emission_validators // BASIS
    treasury = emission * p.emission_treasury // BASIS
    targets = fund(run, emission * p.emission_targets // BASIS)
    add_to_pools(run.state, validators=validators, emitted=embed + validators + treasury + targets)
    treasury += _share_with_winners(run, embed)
    add_to_pools(run.state, treasury=treasury)
    _share_with_validators(run)


def _share_with_winners(run: Execution, amount: int) -> int:
    """Share `amount` by jobs won in the epoch; returns what nobody got."""
    winners = [(address, encoder) for address, encoder in run.state.scan(ENCODERS) if encoder.won]
    total = sum(encoder.won for _, encoder in winners)
    left = amount
    for address, encoder in winners:
        share = amount * encoder.won // total
        reward(run, address, share)
        left -= share
        run.state.put(ENCODERS, address, evolve(encoder, won=0))
    return left


def _share_with_validators(run: Execution) -> None:
    pools = run.state.need(POOLS)
    validators = committee(run.state)
    powers = tuple(validator.power for validator in validators)
    against = reported_by(run)
    left = pools.validators
    for validator, part in zip(validators, parts(pools.validators, powers), strict=True):
        withheld = against.get(validator.account, 0) >= quorum(powers)
        share = part - part * run.parameters.reward_withheld // BASIS if withheld else part
        if forfeits(run, validator.account):
            share = 0
        reward(run, validator.account, share)
        left -= share
    run.state.put(POOLS, b"", evolve(pools, validators=0, treasury=pools.treasury + left))
