"""People who send money: real signed transfers, given to a member that is up, and again until the chain has them."""

from random import Random
from typing import TYPE_CHECKING, Final, final

import coincurve

from soma_core import chain
from soma_core.crypto import address_of, digest, signing_digest
from soma_core.errors import RefusedError

from .heap import MS, Heap

if TYPE_CHECKING:
    from .member import Member

ACCOUNTS: Final = 8
OUTSTANDING: Final = 24
"""Transfers of one account that wait; the chain's window is 64."""
IMPATIENT: Final = 3_000 * MS
"""After this a transfer is given to another member."""
BALANCE: Final = 10**12
FEE: Final = 10_000
NEVER: Final = 1 << 30
"""The epoch in which a transfer expires."""
_KEYS: Final = [coincurve.PrivateKey(digest("soma/chunk", b"client", bytes([number]))) for number in range(ACCOUNTS)]
_PUBLIC: Final = [bytes(coincurve.PublicKeyXOnly.from_secret(key.secret).format()) for key in _KEYS]
ADDRESSES: Final = [address_of(key) for key in _PUBLIC]


def transfer(chain_id: bytes, number: int, sequence: int, to: int) -> chain.SignedTransaction:
    """A transfer of account `number`. The same arguments give the same bytes."""
    transaction = chain.Transaction(
        chain=chain_id,
        sender=ADDRESSES[number],
        key=_PUBLIC[number],
        sequence=sequence,
        expiry=NEVER,
        fee=FEE,
        kind="transfer",
        action={"to": ADDRESSES[to], "amount": 1 + sequence},
    )
    unsigned = chain.unsigned_bytes(transaction)
    named = signing_digest("soma/tx", chain_id, NEVER, unsigned)
    # `None` is what the library calls BIP-340 with no auxiliary randomness; its types know only bytes.
    return chain.SignedTransaction(transaction, unsigned, bytes(_KEYS[number].sign_schnorr(named, None)))  # type: ignore[arg-type]


@final
class Clients:
    """`gap`: microseconds between transfers, on average. `given`: transfers by id → when they were first given."""

    def __init__(self, heap: Heap, random: Random, members: "list[Member]", chain_id: bytes, gap: int) -> None:
        self.given: dict[bytes, int] = {}
        self.done: set[bytes] = set()
        self.stopped = False
        self._heap, self._random, self._members, self._chain, self._gap = heap, random, members, chain_id, gap
        self._sequence = [0] * ACCOUNTS
        self._waiting: list[dict[bytes, chain.SignedTransaction]] = [{} for _ in range(ACCOUNTS)]

    def begin(self) -> None:
        """Send now and then."""
        self._heap.post(self._random.randrange(2 * self._gap), self._send)

    def decided(self, identity: bytes) -> None:
        """The chain of an honest member has it."""
        self.done.add(identity)

    def missing(self) -> list[bytes]:
        """What was given and is not done."""
        return [identity for identity in self.given if identity not in self.done]

    def _send(self) -> None:
        if self.stopped:
            return
        number = self._random.randrange(ACCOUNTS)
        waiting = self._waiting[number]
        for identity in [i for i in waiting if i in self.done]:
            del waiting[identity]
        if len(waiting) < OUTSTANDING:
            signed = transfer(self._chain, number, self._sequence[number], (number + 1) % ACCOUNTS)
            to = self._give(signed, -1)
            if to >= 0:
                self._sequence[number] += 1
                waiting[signed.id] = signed
                self.given[signed.id] = self._heap.now
                self._heap.post(IMPATIENT, self._again, signed, to)
        self._heap.post(self._random.randrange(2 * self._gap), self._send)

    def _again(self, signed: chain.SignedTransaction, before: int) -> None:
        """To another member than the last time."""
        if signed.id not in self.done:
            self._heap.post(IMPATIENT, self._again, signed, self._give(signed, before))

    def _give(self, signed: chain.SignedTransaction, before: int) -> int:
        """Who took it, or -1."""
        up = [member for member in self._members if member.up]
        others = [member for member in up if member.place != before] or up
        if not others:
            return -1
        chosen = self._random.choice(others)
        try:
            return chosen.place if chosen.submit(signed) else -1
        except RefusedError:
            return -1
