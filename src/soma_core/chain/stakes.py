"""Stake: pools named by their owner, which anybody may join, for validators and encoders alike.

What joins is active from the next epoch on; what leaves earns nothing any more but can be slashed until it is released.
Nothing here costs more the more owners a pool has. Rules I7 to I17 of ``specs/22-staking.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import octets, uint

from .accounts import pay, take
from .execution import BASIS, Execution, Handler, Refusal
from .pools import add_to_pools
from .shares import TOKENS_MOST, Shares, cut, earned, joined, left
from .state import State, Table


@frozen(kw_only=True)
class StakePool:
    """`active` earns; `leaving` does not, and is slashed with it. `commission`: the owner's part of what is earned.

    `next_commission` replaces it from the epoch `since` on.
    """

    active: Shares
    leaving: Shares
    commission: int = uint(most=BASIS)
    next_commission: int = uint(most=BASIS)
    since: int = uint(default=0)


@frozen(kw_only=True)
class Entry:
    """What joins a pool with an epoch. `pending`: shannons that wait for it. `rate`: the pool as it was just before.

    `unclaimed`: shannons of those who have not counted their tokens by this rate yet.
    """

    pending: int = uint(most=SUPPLY_MOST, default=0)
    unclaimed: int = uint(most=SUPPLY_MOST, default=0)
    rate: Shares


@frozen(kw_only=True)
class Delegation:
    """What one account has in one pool: `tokens` as of `halvings`, and `joining` shannons that join with `since`."""

    tokens: int = uint(most=TOKENS_MOST, default=0)
    halvings: int = uint(default=0)
    joining: int = uint(most=SUPPLY_MOST, default=0)
    since: int = uint(default=0)


@frozen(kw_only=True)
class Departure:
    """`tokens` of the leaving part of a pool, as of `halvings`, until they are released."""

    tokens: int = uint(most=TOKENS_MOST)
    halvings: int = uint()


STAKES: Final = Table("stake pool", 0x28, StakePool, lambda pool: pool.active.balance + pool.leaving.balance)
ENTRIES: Final = Table("stake entry", 0x29, Entry, lambda entry: entry.pending)
DELEGATIONS: Final = Table("delegation", 0x2A, Delegation)
DEPARTURES: Final = Table("departure", 0x2B, Departure)


def open_pool(state: State, owner: bytes, amount: int, commission: int) -> None:
    """Put an owner's first stake, taken elsewhere, into its pool: it is active at once."""
    active, tokens = joined(Shares(), amount)
    pool = StakePool(active=active, leaving=Shares(), commission=commission, next_commission=commission)
    state.put(STAKES, owner, pool)
    if tokens:
        state.put(DELEGATIONS, owner + owner, Delegation(tokens=tokens))


def stake_of(state: State, owner: bytes) -> int:
    """Shannons that count for an owner: those that are active in its pool."""
    pool = state.get(STAKES, owner)
    return pool.active.balance if pool else 0


def at_risk(state: State, owner: bytes) -> int:
    """Shannons that an owner's faults can cost: active and leaving."""
    pool = state.get(STAKES, owner)
    return pool.active.balance + pool.leaving.balance if pool else 0


def cut_stake(run: Execution, owner: bytes, amount: int) -> int:
    """Move up to `amount` from a pool to the treasury, active and leaving alike. Returns what was moved."""
    moved = min(amount, at_risk(run.state, owner))
    if moved:
        pool = run.state.need(STAKES, owner)
        gone = moved * pool.leaving.balance // (pool.active.balance + pool.leaving.balance)
        changed = evolve(pool, active=cut(pool.active, moved - gone), leaving=cut(pool.leaving, gone))
        run.state.put(STAKES, owner, changed)
        add_to_pools(run.state, treasury=moved)
    return moved


def reward(run: Execution, owner: bytes, amount: int) -> None:
    """Give an owner what it earned, taken elsewhere: its commission to its account, the rest to all in its pool."""
    pool = run.state.get(STAKES, owner)
    if pool is None or not pool.active.tokens:
        pay(run.state, owner, amount)
        return
    commission = amount * commission_of(pool, run.epoch) // BASIS
    pay(run.state, owner, commission)
    if amount > commission:
        run.state.put(STAKES, owner, evolve(pool, active=earned(pool.active, amount - commission)))


def commission_of(pool: StakePool, epoch: int) -> int:
    """Parts of `BASIS` that the owner keeps in `epoch`."""
    return pool.next_commission if epoch >= pool.since else pool.commission


def delegation(state: State, epoch: int, owner: bytes, staker: bytes) -> Delegation:
    """What `staker` has in the pool of `owner`, as of now: what has joined by `epoch` is counted in tokens."""
    found = state.get(DELEGATIONS, owner + staker) or Delegation()
    halvings = state.need(STAKES, owner).active.halvings
    tokens = found.tokens >> halvings - found.halvings
    if not found.joining or found.since > epoch:
        return evolve(found, tokens=tokens, halvings=halvings)
    rate = state.need(ENTRIES, _entry_key(found.since, owner)).rate
    tokens += rate.minted(found.joining) >> halvings - rate.halvings
    return Delegation(tokens=tokens, halvings=halvings)


def on_epoch(run: Execution) -> None:
    """Release what has left long enough ago, then let in what joins with the epoch that begins."""
    for key, departure in run.state.scan(DEPARTURES, stop=_number(run.time + 1)):
        _release(run, key, departure)
    begins = run.epoch + 1
    for key, entry in run.state.scan(ENTRIES, _number(begins), _number(begins + 1)):
        owner = key[8:]
        pool = run.state.need(STAKES, owner)
        active, _ = joined(pool.active, entry.pending)
        run.state.put(STAKES, owner, evolve(pool, active=active))
        run.state.put(ENTRIES, key, evolve(entry, pending=0, rate=pool.active))


def put_in(run: Execution, owner: bytes, staker: bytes, amount: int) -> None:
    """Take `amount` from a balance, to join a pool with the next epoch. Raises `Refusal`."""
    if amount < run.parameters.stake_least:
        raise Refusal("stake", f"a stake of {amount} shannons is below the least, {run.parameters.stake_least}")
    take(run.state, staker, amount, "the stake")
    mine = _claimed(run, owner, staker)
    key = _entry_key(run.epoch + 1, owner)
    entry = run.state.get(ENTRIES, key) or Entry(rate=Shares())
    entry = evolve(entry, pending=entry.pending + amount, unclaimed=entry.unclaimed + amount)
    run.state.put(ENTRIES, key, entry)
    mine = evolve(mine, joining=mine.joining + amount, since=run.epoch + 1)
    run.state.put(DELEGATIONS, owner + staker, mine)


@frozen
class Stake:
    """Put `amount` shannons of the sender's balance into the pool of `owner`, to join with the next epoch."""

    owner: bytes = octets(32)
    amount: int = uint(least=1, most=SUPPLY_MOST)


@frozen
class Unstake:
    """Take out of the pool of `owner` what is worth `amount` shannons; all, if less than `stake_least` would stay."""

    owner: bytes = octets(32)
    amount: int = uint(least=1, most=SUPPLY_MOST)


@frozen
class SetCommission:
    """Keep `commission` parts of 10,000 of what the sender's own pool earns, from the next epoch on."""

    commission: int = uint(most=BASIS)


def _stake(run: Execution, sender: bytes, action: Stake) -> None:
    _need_pool(run, action.owner)
    put_in(run, action.owner, sender, action.amount)


def _unstake(run: Execution, sender: bytes, action: Unstake) -> None:
    pool = _need_pool(run, action.owner)
    mine = _claimed(run, action.owner, sender)
    if not mine.joining and not mine.tokens:
        raise Refusal("stake", "the sender has nothing in this pool")
    whole = mine.joining + pool.active.worth(mine.tokens)
    amount = action.amount if action.amount + run.parameters.stake_least <= whole else whole
    waiting = min(amount, mine.joining)
    if waiting:
        _take_back(run, action.owner, sender, waiting)
    going = mine.tokens if amount == whole else pool.active.needed(amount - waiting)
    if going:
        _leave(run, action.owner, sender, pool, going)
    mine = evolve(mine, tokens=mine.tokens - going, joining=mine.joining - waiting)
    if mine.tokens or mine.joining:
        run.state.put(DELEGATIONS, action.owner + sender, mine)
    else:
        run.state.delete(DELEGATIONS, action.owner + sender)


def _set_commission(run: Execution, sender: bytes, action: SetCommission) -> None:
    pool = _need_pool(run, sender)
    commission = commission_of(pool, run.epoch)
    changed = evolve(pool, commission=commission, next_commission=action.commission, since=run.epoch + 1)
    run.state.put(STAKES, sender, changed)


ACTIONS: Final[Mapping[str, Handler]] = {
    "stake": Handler(Stake, _stake),
    "unstake": Handler(Unstake, _unstake),
    "set_commission": Handler(SetCommission, _set_commission),
}


def _need_pool(run: Execution, owner: bytes) -> StakePool:
    pool = run.state.get(STAKES, owner)
    if pool is None:
        raise Refusal("pool", "this account has no pool: it is neither a validator with stake nor an encoder")
    return pool


def _claimed(run: Execution, owner: bytes, staker: bytes) -> Delegation:
    """The delegation as of now; an entry that everybody has counted by is forgotten."""
    before = run.state.get(DELEGATIONS, owner + staker)
    now = delegation(run.state, run.epoch, owner, staker)
    if before is not None and before.joining and not now.joining:
        key = _entry_key(before.since, owner)
        entry = run.state.need(ENTRIES, key)
        _keep(run.state, key, evolve(entry, unclaimed=entry.unclaimed - before.joining))
    return now


def _take_back(run: Execution, owner: bytes, staker: bytes, amount: int) -> None:
    """What has not joined yet goes back at once."""
    key = _entry_key(run.epoch + 1, owner)
    entry = run.state.need(ENTRIES, key)
    _keep(run.state, key, evolve(entry, pending=entry.pending - amount, unclaimed=entry.unclaimed - amount))
    pay(run.state, staker, amount)


def _keep(state: State, key: bytes, entry: Entry) -> None:
    if entry.unclaimed:
        state.put(ENTRIES, key, entry)
    else:
        state.delete(ENTRIES, key)


def _leave(run: Execution, owner: bytes, staker: bytes, pool: StakePool, tokens: int) -> None:
    active, amount = left(pool.active, tokens)
    leaving, bought = joined(pool.leaving, amount)
    run.state.put(STAKES, owner, evolve(pool, active=active, leaving=leaving))
    key = _number(run.time + run.parameters.unbonding_ms) + owner + staker
    known = run.state.get(DEPARTURES, key) or Departure(tokens=0, halvings=leaving.halvings)
    tokens = bought + leaving.current(known.tokens, known.halvings)
    run.state.put(DEPARTURES, key, Departure(tokens=tokens, halvings=leaving.halvings))


def _release(run: Execution, key: bytes, departure: Departure) -> None:
    owner, staker = key[8:40], key[40:]
    pool = run.state.need(STAKES, owner)
    leaving, amount = left(pool.leaving, pool.leaving.current(departure.tokens, departure.halvings))
    run.state.put(STAKES, owner, evolve(pool, leaving=leaving))
    run.state.delete(DEPARTURES, key)
    pay(run.state, staker, amount)


def _entry_key(epoch: int, owner: bytes) -> bytes:
    return _number(epoch) + owner


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
