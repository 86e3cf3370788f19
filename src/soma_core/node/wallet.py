"""An account this node acts for: numbers, signs and sends its transactions, and learns what became of them."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, final

import trio
from attrs import define, field

from soma_core import chain
from soma_core.crypto import address_of
from soma_core.errors import RefusedError, SettingsError, SomaError, UnreachableError
from soma_core.records import to_value

from .events import Hub
from .signing import Signer, Signing
from .store import Store
from .threads import Thread

PATIENCE: Final = 60.0
"""Seconds to wait until a transaction is ordered."""
AGAIN_AFTER: Final = 5.0
"""Seconds after which what was not ordered is handed over once more."""
INSIST_AFTER: Final = 1.0
"""Seconds after which what nobody took is made anew, by who insists."""
EXPIRES_AFTER: Final = 8
"""Epochs a transaction stays valid: long enough for a slow network, short enough to be forgotten."""

_log = logging.getLogger("soma.wallet")
Submit = Callable[[chain.SignedTransaction], Awaitable[None]]
"""Hand a signed transaction to whoever orders it. Raises `RefusedError` or `UnreachableError`."""


@define(eq=False)
class _Pending:
    sequence: int
    done: trio.Event = field(factory=trio.Event)
    outcome: chain.TransactionDone | None = None


def accounts_of(acts_for: Sequence[str]) -> dict[str, bytes]:
    """The setting `node.acts_for`: each ROLE=ADDRESS. Raises `SettingsError`."""
    found = {}
    for text in acts_for:
        role, equals, address = text.partition("=")
        if not equals or not re.fullmatch(r"[0-9a-f]{64}", address):
            raise SettingsError(
                f"node.acts_for: {text!r:.100} is not ROLE=ADDRESS", "write account=, then 64 hex digits"
            )
        found[role] = bytes.fromhex(address)
    return found


@final
class Wallet:
    """One account and its signing capability. `account`: whose operator the key is; None: its own."""

    def __init__(
        self, signing: Signing, store: Store, thread: Thread, hub: Hub, submit: Submit, account: bytes | None = None
    ) -> None:
        self._signing = signing
        self._account = account
        self._store = store
        self._thread = thread
        self._submit = submit
        self._pending: dict[bytes, _Pending] = {}
        self._numbering = trio.Lock()
        hub.listen(self._note)

    @property
    def address(self) -> bytes:
        """The account's address."""
        return self._account or address_of(self._signing.key)

    async def send(self, kind: str, action: object) -> chain.TransactionDone:
        """Have `action` ordered and wait for its outcome (``applied`` or ``failed``).

        Raises `RefusedError` if nobody takes it or the chain skips it, `UnreachableError` if it is not ordered in time.
        """
        async with self._numbering:
            sequence, epoch, fee = await self._thread.run(self._store.read, self._next)
            signed = await self._sign(kind, action, sequence, epoch + EXPIRES_AFTER, fee)
            pending = self._pending[signed.id] = _Pending(sequence)
        try:
            await self._submit(signed)
            with trio.move_on_after(PATIENCE):
                await self._ordered(pending, signed)
        finally:
            del self._pending[signed.id]
        outcome = pending.outcome
        if outcome is None:
            raise UnreachableError(
                f"the {kind} transaction {signed.id.hex()[:12]} was not ordered within {PATIENCE:g} s",
                "see whether the network moves with `soma status`, then ask again",
            )
        if outcome.outcome == "skipped":
            raise RefusedError(f"the chain skipped the {kind} transaction: {outcome.text}", "ask again")
        return outcome

    async def _ordered(self, pending: _Pending, signed: chain.SignedTransaction) -> None:
        """Wait for the outcome. A validator that was restarted has forgotten what waited: it is told the same again."""
        while not pending.done.is_set():
            with trio.move_on_after(AGAIN_AFTER):
                await pending.done.wait()
                return
            with suppress(SomaError):  # it may be refused because it is ordered already
                await self._submit(signed)

    def _next(self, state: chain.State) -> tuple[int, int, int]:
        """The lowest sequence number that is neither used nor on its way, the epoch, and the fee."""
        account = chain.account_of(state, self.address)
        if self.address != (signer := address_of(self._signing.key)):
            operator = state.get(chain.OPERATORS, self.address + signer)
            if operator is None:
                raise RefusedError(
                    f"the key {self._signing.key.hex()[:12]} does not act for {self.address.hex()[:12]}…",
                    "have the account's owner say so: `soma keys operator set`",
                )
            account = operator.purse
        taken = {pending.sequence for pending in self._pending.values()}
        for place in range(chain.WINDOW):
            sequence = account.sequence + place
            if not account.used >> place & 1 and sequence not in taken:
                return sequence, state.need(chain.EPOCH).number, chain.least_fee(state)
        raise RefusedError(
            f"{chain.WINDOW} transactions of this account are on their way", "wait until some are ordered"
        )

    async def _sign(self, kind: str, action: object, sequence: int, expiry: int, fee: int) -> chain.SignedTransaction:
        transaction = chain.Transaction(
            chain=self._store.genesis.chain,
            sender=self.address,
            key=self._signing.key,
            sequence=sequence,
            expiry=expiry,
            fee=fee,
            kind=kind,
            action=to_value(action),
        )
        unsigned = chain.unsigned_bytes(transaction)
        return chain.SignedTransaction(transaction, unsigned, await self._signing.sign("soma/tx", expiry, unsigned))

    def _note(self, applied: chain.Applied) -> None:
        for event in applied.events:
            if not isinstance(event, chain.TransactionDone) or (pending := self._pending.get(event.id)) is None:
                continue
            if pending.outcome is None:  # ordered twice, it was applied first and skipped then
                pending.outcome = event
                pending.done.set()


@final
class Wallets:
    """The one wallet of each role: it alone knows which of its account's numbers are on their way.

    `acts_for`: role → the account whose operator the role's key is.
    """

    def __init__(
        self, signer: Signer, store: Store, thread: Thread, hub: Hub, submit: Submit, acts_for: Mapping[str, bytes]
    ) -> None:
        self._made: dict[str, Wallet] = {}

        def make(role: str) -> Wallet:
            return Wallet(signer.role(role), store, thread, hub, submit, acts_for.get(role))

        self._make = make

    def of(self, role: str) -> Wallet:
        """The wallet of `role`. Raises `KeyStoreError` if its key is not open."""
        if role not in self._made:
            self._made[role] = self._make(role)
        return self._made[role]


async def insist(wallet: Wallet, kind: str, action: object) -> chain.TransactionDone:
    """`Wallet.send`, again and again until somebody has ordered it. Who calls cancels it when nobody waits any more.

    Validators may be away for a while, and a node that has just started may not know which of its numbers are used.
    """
    while True:
        try:
            return await wallet.send(kind, action)
        except (RefusedError, UnreachableError) as error:
            _log.warning("%s is sent again: %s", kind, error.what)
        await trio.sleep(INSIST_AFTER)
