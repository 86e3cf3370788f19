"""Money that several own in common, by tokens: what stake is made of (rules I1 to I6, ``specs/22-staking.md``).

Pure arithmetic. Whoever puts money in gets tokens at the rate of the moment; what is earned or lost changes what all
tokens are worth, and no owner's record. Every rounding is in favour of those who stay.
"""

from typing import Final

from attrs import evolve, frozen

from soma_core.genesis import SUPPLY_MOST
from soma_core.records import uint

TOKENS_MOST: Final = 2 * SUPPLY_MOST - 1
"""Of one pool. There are never more than two for each shannon, so that they stay inside a record's integers."""


@frozen(kw_only=True)
class Shares:
    """`balance`: shannons, all together. `tokens`: of all owners. `halvings`: how often every token counted half."""

    balance: int = uint(most=SUPPLY_MOST, default=0)
    tokens: int = uint(most=TOKENS_MOST, default=0)
    halvings: int = uint(default=0)

    def minted(self, amount: int) -> int:
        """The tokens that `amount` shannons buy; one each while there are none."""
        return amount * self.tokens // self.balance if self.tokens else amount

    def worth(self, tokens: int) -> int:
        """The shannons that `tokens`, counted as of now, are worth."""
        return tokens * self.balance // self.tokens if self.tokens else 0

    def needed(self, amount: int) -> int:
        """The fewest tokens that are worth `amount` shannons, of a pool that has as many."""
        return -(-amount * self.tokens // self.balance) if amount else 0

    def current(self, tokens: int, halvings: int) -> int:
        """`tokens` that were counted after so many `halvings`, counted as of now."""
        return tokens >> self.halvings - halvings


def joined(shares: Shares, amount: int) -> tuple[Shares, int]:
    """`amount` shannons more, at the rate of the moment. Returns the tokens that they bought."""
    tokens = shares.minted(amount)
    return evolve(shares, balance=shares.balance + amount, tokens=shares.tokens + tokens), tokens


def earned(shares: Shares, amount: int) -> Shares:
    """`amount` shannons more, for all owners. Somebody must own something."""
    return evolve(shares, balance=shares.balance + amount)


def left(shares: Shares, tokens: int) -> tuple[Shares, int]:
    """Without `tokens`. Returns the shannons that they were worth; who leaves last takes all there is."""
    amount = shares.worth(tokens)
    return evolve(shares, balance=shares.balance - amount, tokens=shares.tokens - tokens), amount


def cut(shares: Shares, amount: int) -> Shares:
    """`amount` shannons less, at most all, at the cost of all owners."""
    balance = shares.balance - amount
    tokens, halvings = shares.tokens, shares.halvings
    while tokens > 2 * balance:  # a pool that lost all it had ends without tokens, and begins anew
        tokens, halvings = tokens >> 1, halvings + 1
    return Shares(balance=balance, tokens=tokens, halvings=halvings)
