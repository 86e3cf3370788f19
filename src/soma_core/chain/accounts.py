"""Accounts: balances, sequence windows, fees and transfers (rules A1 to A7, ``specs/13-accounts.md``)."""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.crypto import address_of
from soma_core.genesis import SUPPLY_MOST, Genesis
from soma_core.records import octets, uint

from .execution import Execution, Handler, Refusal
from .pools import add_to_pools
from .state import State, Table
from .transactions import WINDOW, SignedTransaction


@frozen
class Account:
    """`sequence`: the lowest unused sequence number. `used`: bit i says that `sequence` + i was used."""

    balance: int = uint(most=SUPPLY_MOST, default=0)
    sequence: int = uint(default=0)
    used: int = uint(most=(1 << 64) - 1, default=0)


ACCOUNTS: Final = Table("account", 0x11, Account, lambda a: a.balance)


def account_of(state: State, address: bytes) -> Account:
    """The account at `address`; one that nobody has paid yet is empty."""
    return state.get(ACCOUNTS, address) or Account()


def pay(state: State, address: bytes, amount: int) -> None:
    """Add `amount`, which was taken elsewhere, to a balance."""
    if amount:
        account = account_of(state, address)
        state.put(ACCOUNTS, address, evolve(account, balance=account.balance + amount))


def take(state: State, address: bytes, amount: int, purpose: str) -> None:
    """Take `amount` from a balance, to put it elsewhere. Raises `Refusal` if there is less."""
    account = account_of(state, address)
    if account.balance < amount:
        raise Refusal("overdraft", f"{purpose} needs {amount} shannons and the balance is {account.balance}")
    state.put(ACCOUNTS, address, evolve(account, balance=account.balance - amount))


def admission(  # noqa: PLR0911  # a list of reasons
    genesis: Genesis, state: State, epoch: int, signed: SignedTransaction
) -> Refusal | None:
    """Why a transaction is skipped: no fee is taken and nothing changes. None if it may be tried.

    The signature is not checked here: it is the last reason (rule X5), and dear.
    """
    t = signed.transaction
    account = account_of(state, t.sender)
    place = t.sequence - account.sequence
    if t.chain != genesis.chain:
        return Refusal("chain", f"made for chain {t.chain.hex()[:12]}, this is {genesis.chain.hex()[:12]}")
    if address_of(t.key) != t.sender:
        return Refusal("key", "the signing key may not act for the sender")
    if t.expiry < epoch:
        return Refusal("expired", f"expired with epoch {t.expiry}; this is epoch {epoch}")
    if not 0 <= place < WINDOW:
        return Refusal(
            "sequence", f"sequence {t.sequence} is outside {account.sequence}..{account.sequence + WINDOW - 1}"
        )
    if account.used >> place & 1:
        return Refusal("replay", f"sequence {t.sequence} was used before")
    if t.fee < genesis.parameters.fee:
        return Refusal("fee", f"a fee of {t.fee} shannons is below the network's {genesis.parameters.fee}")
    if account.balance < t.fee:
        return Refusal("fee", f"the fee of {t.fee} shannons exceeds the balance of {account.balance}")
    return None


def charge(run: Execution, signed: SignedTransaction) -> None:
    """Take the fee of an admitted transaction and use up its sequence number. Neither comes back."""
    t = signed.transaction
    account = account_of(run.state, t.sender)
    used = account.used | 1 << (t.sequence - account.sequence)
    advance = (~used & (used + 1)).bit_length() - 1  # trailing ones
    run.state.put(
        ACCOUNTS,
        t.sender,
        Account(account.balance - t.fee, account.sequence + advance, used >> advance),
    )
    add_to_pools(run.state, validators=t.fee)


@frozen
class Transfer:
    """Move `amount` shannons to the account `to`."""

    to: bytes = octets(32)
    amount: int = uint(least=1, most=SUPPLY_MOST)


def _transfer(run: Execution, sender: bytes, action: Transfer) -> None:
    take(run.state, sender, action.amount, "the transfer")
    pay(run.state, action.to, action.amount)


ACTIONS: Final[Mapping[str, Handler]] = {"transfer": Handler(Transfer, _transfer)}
