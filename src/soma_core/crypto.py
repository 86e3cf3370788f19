"""Digests, keys and signatures, each bound to what it is for.

One hash: BLAKE2b-256 whose ``person`` is a tag of `DOMAINS`. One signature: BIP-340 Schnorr on secp256k1, of a digest
that names domain, chain and epoch, so that a signature says what it signs and nothing else. Rules S1 to S8 of
``specs/02-signatures.md``.
"""

import hashlib
from functools import cached_property
from typing import Final

import coincurve
from attrs import field, frozen

from .errors import KeyStoreError

DIGEST_SIZE: Final = 32
KEY_SIZE: Final = 32
SECRET_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64

DOMAINS: Final = {
    "soma/address": "account address: digest of a public key",
    "soma/anchor": "one item of the frame's anchors",
    "soma/backup": "everything in a backup, in order",
    "soma/beacon": "next beacon from the previous one and a leader's link",
    "soma/beaconlink": "one step of a validator's beacon hash chain",
    "soma/beaconseed": "a validator's secret seed of one epoch's hash chain",
    "soma/blob": "blob: digest of size and chunk digests",
    "soma/block": "signature of a consensus block",
    "soma/checkpoint": "signature of a validator under a commit record",
    "soma/canary": "an encoder's secret that excuses false answers, and the jobs it excuses",
    "soma/chunk": "one chunk of a blob",
    "soma/commit": "digest of one ordered commit",
    "soma/commitment": "an encoder's sealed answer to a job",
    "soma/draw": "the seed of a job's draws",
    "soma/founding": "what a genesis says beside its charter",
    "soma/frame": "frame map of an encoder, bound to its weights",
    "soma/genesis": "charter of a genesis: its digest is the chain id",
    "soma/hello": "signature of the transport handshake",
    "soma/job": "key of an embed job",
    "soma/leader": "who leads a round of consensus",
    "soma/leaf": "leaf of a receipt tree",
    "soma/lthash": "state digest: one entry",
    "soma/node": "inner node of a receipt tree",
    "soma/packed": "packed bytes, and the blocks they unpack to",
    "soma/payload": "raw payload of a message, named by its header",
    "soma/possession": "signature that proves possession of a registered key",
    "soma/protocol": "rules and parameters a network runs",
    "soma/record": "commit record",
    "soma/reply": "an answer of an operator's own server to a node",
    "soma/state": "state digest: the sum's digest",
    "soma/submission": "the seal of a submission to a target",
    "soma/tx": "transaction: its id and its signature",
    "soma/vector": "a joined vector",
    "soma/verdict": "what an auditor computed, sealed",
    "soma/webhook": "a request of a node to its operator's own server",
    "soma/weightseal": "new weights of an encoder, before they are shown",
    "soma/weights": "weights of an encoder",
}
"""Every domain tag, 1 to 16 ASCII bytes without NUL, and what it is for."""

ZERO_DIGEST: Final = bytes(DIGEST_SIZE)


def digest(domain: str, *parts: bytes) -> bytes:
    """The 32-byte BLAKE2b digest of the concatenated `parts` under `domain`, a tag of `DOMAINS`.

    Callers give at most one part of variable length, or an encoding: concatenation frames nothing.
    """
    state = hashlib.blake2b(digest_size=DIGEST_SIZE, person=_person(domain))
    for part in parts:
        state.update(part)
    return state.digest()


def signing_digest(domain: str, chain: bytes, epoch: int, body: bytes) -> bytes:
    """What is signed: domain tag, chain id (32 bytes), epoch (for a transaction its expiry epoch), then `body`."""
    return digest(domain, chain, epoch.to_bytes(8, "big"), body)


def address_of(key: bytes) -> bytes:
    """The address of the account that the 32-byte x-only public `key` owns."""
    return digest("soma/address", key)


def verify(key: bytes, message_digest: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is the BIP-340 signature of `message_digest` (32 bytes) by `key`. Never raises."""
    if len(key) != KEY_SIZE or len(signature) != SIGNATURE_SIZE or len(message_digest) != DIGEST_SIZE:
        return False
    try:
        return bool(coincurve.PublicKeyXOnly(key).verify(signature, message_digest))
    except ValueError:
        return False


@frozen(repr=False)
class SecretKey:
    """A secp256k1 secret. Lives in the signer process and in key files; its repr shows the public half."""

    _secret: bytes = field()

    @_secret.validator
    def _in_range(self, _attribute: object, value: bytes) -> None:
        if len(value) != SECRET_SIZE:  # the library would pad it: two spellings of one key, of different seeds
            raise KeyStoreError(f"a secret of {len(value)} bytes, not {SECRET_SIZE}", "make a key with `soma keys new`")
        try:
            coincurve.PrivateKey(value)
        except ValueError as error:
            raise KeyStoreError("these bytes are no secp256k1 secret", "make a key with `soma keys new`") from error

    @classmethod
    def generate(cls) -> "SecretKey":
        """A new key from the system's randomness."""
        return cls(coincurve.PrivateKey().secret)

    @cached_property
    def _private(self) -> coincurve.PrivateKey:
        return coincurve.PrivateKey(self._secret)

    @cached_property
    def public(self) -> bytes:
        """The 32-byte x-only public key."""
        return bytes(coincurve.PublicKeyXOnly.from_secret(self._secret).format())

    def sign(self, message_digest: bytes) -> bytes:
        """The 64-byte BIP-340 signature of a 32-byte digest."""
        return bytes(self._private.sign_schnorr(message_digest))

    def derive(self, domain: str, *parts: bytes) -> bytes:
        """32 secret bytes for another use, by hashing (never by signing) the secret under `domain`."""
        return digest(domain, self._secret, *parts)

    def expose(self) -> bytes:
        """The 32 secret bytes, for a key file."""
        return self._secret

    def __repr__(self) -> str:
        return f"SecretKey(public={self.public.hex()[:12]}…)"


def _person(domain: str) -> bytes:
    if domain not in DOMAINS:
        raise ValueError(f"{domain!r} is not a domain tag; add it to soma_core.crypto.DOMAINS")
    return domain.encode("ascii")
