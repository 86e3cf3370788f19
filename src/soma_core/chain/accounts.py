"""Accounts: balances, sequence windows, fees, transfers, and keys that may act for them in one role.

Rules A1 to A12 of ``specs/13-accounts.md``.
"""

from collections.abc import Mapping
from typing import Final

from attrs import evolve, frozen

from soma_core.crypto import KEY_SIZE, SIGNATURE_SIZE, address_of, signing_digest, verify
from soma_core.genesis import SUPPLY_MOST, Genesis
from soma_core.records import octets, text, uint

from .execution import Execution, Handler, Refusal
from .fees import least_fee
from .pools import add_to_pools
from .state import State, Table
from .transactions import WINDOW, SignedTransaction, Transaction


@frozen
class Account:
    """`sequence`: the lowest unused sequence number. `used`: bit i says that `sequence` + i was used."""

    balance: int = uint(most=SUPPLY_MOST, default=0)
    sequence: int = uint(default=0)
    used: int = uint(most=(1 << 64) - 1, default=0)


@frozen(kw_only=True)
class Operator:
    """A key that acts for an account in a `role` ("": no more), with a purse and sequence numbers of its own."""

    role: str = text(most=16)
    purse: Account


ROLES: Final[Mapping[str, frozenset[str]]] = {
    "encoder": frozenset({"commit_embedding", "reveal_embedding", "report_unavailable", "offer_weights"}),
    "validator": frozenset(
        {
            "attest_data",
            "commit_verdict",
            "reveal_verdict",
            "report_validator",
            "undo_report",
            "report_encoder",
            "undo_encoder_report",
            "accuse_validator",
            "support_protocol",
        }
    ),
}
"""What keys of a role may sign: nothing that moves the account's own money."""
OPERATORS_MOST: Final = 16
"""Keys that an account ever lets act for it."""

ACCOUNTS: Final = Table("account", 0x11, Account, lambda a: a.balance)
OPERATORS: Final = Table("operator", 0x1F, Operator, lambda o: o.purse.balance)


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


def _payer(state: State, t: Transaction) -> Account | None:
    """Whose fee and sequence number it is: the account's, or those of an operator key. None if the key may not act."""
    signer = address_of(t.key)
    if signer == t.sender:
        return account_of(state, t.sender)
    operator = state.get(OPERATORS, t.sender + signer)
    return operator.purse if operator is not None and t.kind in ROLES.get(operator.role, ()) else None


def admission(  # noqa: PLR0911  # a list of reasons
    genesis: Genesis, state: State, epoch: int, signed: SignedTransaction
) -> Refusal | None:
    """Why a transaction is skipped: no fee is taken and nothing changes. None if it may be tried.

    The signature is not checked here: it is the last reason (rule X5), and dear.
    """
    t = signed.transaction
    account = _payer(state, t)
    if t.chain != genesis.chain:
        return Refusal("chain", f"made for chain {t.chain.hex()[:12]}, this is {genesis.chain.hex()[:12]}")
    if account is None:
        return Refusal("key", f"the signing key may not {t.kind:.32} for the sender")
    place = t.sequence - account.sequence
    if t.expiry < epoch:
        return Refusal("expired", f"expired with epoch {t.expiry}; this is epoch {epoch}")
    if not 0 <= place < WINDOW:
        return Refusal(
            "sequence", f"sequence {t.sequence} is outside {account.sequence}..{account.sequence + WINDOW - 1}"
        )
    if account.used >> place & 1:
        return Refusal("replay", f"sequence {t.sequence} was used before")
    if t.fee < (least := least_fee(state)):
        return Refusal("fee", f"a fee of {t.fee} shannons is below the network's {least}")
    if account.balance < t.fee:
        return Refusal("fee", f"the fee of {t.fee} shannons exceeds the balance of {account.balance}")
    return None


def charge(run: Execution, signed: SignedTransaction) -> None:
    """Take the fee of an admitted transaction and use up its sequence number. Neither comes back."""
    t = signed.transaction
    signer = address_of(t.key)
    operator = None if signer == t.sender else run.state.need(OPERATORS, t.sender + signer)
    account = account_of(run.state, t.sender) if operator is None else operator.purse
    used = account.used | 1 << (t.sequence - account.sequence)
    advance = (~used & (used + 1)).bit_length() - 1  # trailing ones
    charged = Account(account.balance - t.fee, account.sequence + advance, used >> advance)
    if operator is None:
        run.state.put(ACCOUNTS, t.sender, charged)
    else:
        run.state.put(OPERATORS, t.sender + signer, evolve(operator, purse=charged))
    add_to_pools(run.state, validators=t.fee)


@frozen
class Transfer:
    """Move `amount` shannons to the account `to`."""

    to: bytes = octets(32)
    amount: int = uint(least=1, most=SUPPLY_MOST)


def _transfer(run: Execution, sender: bytes, action: Transfer) -> None:
    take(run.state, sender, action.amount, "the transfer")
    pay(run.state, action.to, action.amount)


@frozen(kw_only=True)
class SetOperator:
    """Let `key` act for the sender in a `role`, with `purse` shannons more for its fees.

    `possession`: its signature under the sender's address.
    """

    key: bytes = octets(KEY_SIZE)
    role: str = text(most=16)
    purse: int = uint(most=SUPPLY_MOST)
    possession: bytes = octets(SIGNATURE_SIZE)


@frozen
class DropOperator:
    """Let `key` act for the sender no more; what is in its purse comes back."""

    key: bytes = octets(KEY_SIZE)


def _set_operator(run: Execution, sender: bytes, action: SetOperator) -> None:
    if action.role not in ROLES:
        raise Refusal("role", f"{action.role!r} is no role; there are {', '.join(sorted(ROLES))}")
    signer = address_of(action.key)
    signed = signing_digest("soma/possession", run.genesis.chain, 0, sender)
    if signer == sender or not verify(action.key, signed, action.possession):
        raise Refusal("possession", "another key than the account's own has to sign the sender's address")
    known = run.state.get(OPERATORS, sender + signer)
    if known is None:
        named = sum(1 for _ in run.state.scan(OPERATORS, sender, sender + b"\xff" * 33))
        if named >= OPERATORS_MOST:
            raise Refusal("full", f"an account names at most {OPERATORS_MOST} keys")
        known = Operator(role="", purse=Account())
    take(run.state, sender, action.purse, "the purse")
    purse = evolve(known.purse, balance=known.purse.balance + action.purse)
    run.state.put(OPERATORS, sender + signer, Operator(role=action.role, purse=purse))


def _drop_operator(run: Execution, sender: bytes, action: DropOperator) -> None:
    name = sender + address_of(action.key)
    known = run.state.get(OPERATORS, name)
    if known is None or not known.role:
        raise Refusal("operator", "this key does not act for the sender")
    pay(run.state, sender, known.purse.balance)
    run.state.put(OPERATORS, name, Operator(role="", purse=evolve(known.purse, balance=0)))


ACTIONS: Final[Mapping[str, Handler]] = {
    "transfer": Handler(Transfer, _transfer),
    "set_operator": Handler(SetOperator, _set_operator),
    "drop_operator": Handler(DropOperator, _drop_operator),
}
