"""Transactions: what an account asks of the chain, signed (rules X1 to X9, ``specs/12-transactions.md``).

On the wire a transaction is the array [unsigned bytes, signature]; its id is the digest of the unsigned bytes.
"""

from typing import Any, Final

from attrs import frozen

from soma_core import codec
from soma_core.crypto import KEY_SIZE, SIGNATURE_SIZE, digest, signing_digest, verify
from soma_core.errors import DecodeError
from soma_core.records import octets, pack, text, uint, unpack

MAX_TRANSACTION: Final = 64 << 10
"""Bytes on the wire. A reveal of 8192 dimensions needs 17 KiB."""
WINDOW: Final = 64
"""Sequence numbers above the lowest unused one that an account may use, because a DAG reorders."""


@frozen(kw_only=True)
class Transaction:
    """`expiry`: the last epoch in which it may be applied. `fee`: shannons, at least the network's. `action`: a map."""

    chain: bytes = octets(32)
    sender: bytes = octets(32)
    key: bytes = octets(KEY_SIZE)
    sequence: int = uint()
    expiry: int = uint()
    fee: int = uint()
    kind: str = text(most=32)
    action: Any


@frozen
class SignedTransaction:
    """A transaction as it travels: its parsed form, its exact unsigned bytes and the signature over them."""

    transaction: Transaction
    unsigned: bytes
    signature: bytes

    @property
    def id(self) -> bytes:
        """32 bytes."""
        return digest("soma/tx", self.unsigned)

    @property
    def wire(self) -> bytes:
        """The bytes that are ordered."""
        return codec.encode([self.unsigned, self.signature])

    def signature_holds(self) -> bool:
        """Whether `signature` is that of `transaction.key` for this chain and expiry epoch."""
        t = self.transaction
        return verify(t.key, signing_digest("soma/tx", t.chain, t.expiry, self.unsigned), self.signature)


def unsigned_bytes(transaction: Transaction) -> bytes:
    """What is signed, and hashed into the id."""
    return pack(transaction)


def parse(value: object) -> SignedTransaction:
    """A decoded payload item as a transaction. Raises `DecodeError`; the signature is not checked here."""
    match value:
        case [bytes(unsigned), bytes(signature)] if len(signature) == SIGNATURE_SIZE:
            return SignedTransaction(unpack(Transaction, unsigned, max_size=MAX_TRANSACTION), unsigned, signature)
        case _:
            raise DecodeError(
                "not a transaction", "send [unsigned bytes, 64-byte signature]; see specs/12-transactions.md"
            )


def parse_wire(data: bytes) -> SignedTransaction:
    """Bytes from outside as a transaction. Raises `DecodeError`; the signature is not checked here."""
    return parse(codec.decode(data, max_size=MAX_TRANSACTION))
