"""The published staking cases, played with the chain's arithmetic and nothing else: no state, no blocks, no clock."""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from soma_core.chain.execution import BASIS
from soma_core.chain.powers import parts, voting_powers
from soma_core.chain.shares import Shares, cut, earned, joined, left


@define
class Pool:
    """`joining`: (owner, shannons) of the epoch that ends. `held`: tokens by owner."""

    shares: Shares
    held: dict[str, int]
    joining: list[tuple[str, int]] = field(factory=list)
    commission: int = 0
    next_commission: int = 0


def begun(stakes: Sequence[int]) -> list[Pool]:
    return [Pool(shares=joined(Shares(), stake)[0], held={"owner": stake}) for stake in stakes]


def powers(pools: Sequence[Pool]) -> tuple[int, ...]:
    return voting_powers([(pool.shares.balance, bytes([place])) for place, pool in enumerate(pools)])


def play(stakes: Sequence[int], steps: Sequence[Sequence[Any]]) -> None:
    """Do the steps of a case in order, and hold what comes of each against what the case says."""
    pools = begun(stakes)
    power = powers(pools)
    for step in steps:
        match step:
            case ["stake", place, owner, amount]:
                pools[place].joining.append((owner, amount))
            case ["commission", place, basis]:
                pools[place].next_commission = basis
            case ["withdraw", place, owner, amount]:
                pool = pools[place]
                pool.shares, got = left(pool.shares, pool.held.pop(owner))
                assert got == amount, step
            case ["worth", place, owner, amount]:
                assert pools[place].shares.worth(pools[place].held[owner]) == amount, step
            case ["tokens", place, amount]:
                assert pools[place].shares.tokens == amount, step
            case ["balance", place, amount]:
                assert pools[place].shares.balance == amount, step
            case ["balances", amounts]:
                assert [pool.shares.balance for pool in pools] == amounts, step
            case ["cut", place, amount]:
                pools[place].shares = cut(pools[place].shares, amount)
            case ["epoch", reward, *reported]:
                _end(pools, _rewards(reward, power, *reported))
                power = powers(pools)
            case _:
                raise AssertionError(step)


def _rewards(reward: int, power: Sequence[int], reported: Sequence[int] = (), basis: int = 0) -> list[int]:
    rewards = parts(reward, power)
    lost = [rewards[place] * basis // BASIS if place in reported else 0 for place in range(len(power))]
    shared = parts(sum(lost), [0 if place in reported else p for place, p in enumerate(power)])
    return [reward - less + more for reward, less, more in zip(rewards, lost, shared, strict=True)]


def _end(pools: Sequence[Pool], rewards: Sequence[int]) -> None:
    for pool, reward in zip(pools, rewards, strict=True):
        commission = reward * pool.commission // BASIS
        pool.shares = earned(pool.shares, reward - commission)
        rate = pool.shares
        for owner, amount in [*pool.joining, ("owner", commission)]:
            pool.held[owner] = pool.held.get(owner, 0) + rate.minted(amount)
        pool.shares, _ = joined(rate, sum(amount for _, amount in pool.joining) + commission)
        pool.joining, pool.commission = [], pool.next_commission
