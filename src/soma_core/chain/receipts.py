"""Receipts: what a commit did, under one Merkle root (rules H1 to H7, ``specs/17-receipts.md``).

The tree is RFC 6962's: a leaf is hashed under ``soma/leaf``, two nodes under ``soma/node``; the empty root is the
digest of nothing under ``soma/node``.
"""

from collections.abc import Sequence
from typing import Final, Literal

from attrs import frozen

from soma_core import codec
from soma_core.crypto import digest
from soma_core.genesis import SUPPLY_MOST
from soma_core.records import octets, pack, text, uint

LEAF_TAG: Final = b"\x00"
NODE_TAG: Final = b"\x01"


@frozen(kw_only=True)
class CommitRecord:
    """What a commit came to; validators sign its digest. `previous`: the digest of the record before, or 32 zero bytes.

    `time` in ms; `epoch` is the one the commit belongs to; `committee` is the digest of the committee that signs the
    next record.
    """

    index: int = uint()
    previous: bytes = octets(32)
    commit: bytes = octets(32)
    time: int = uint()
    epoch: int = uint()
    receipts: bytes = octets(32)
    state: bytes = octets(32)
    committee: bytes = octets(32)


@frozen(kw_only=True)
class TransactionReceipt:
    """A transaction that paid its fee. `code` is "" if its action was applied, else why not."""

    kind: str = text(default="transaction")
    id: bytes = octets(32)
    sender: bytes = octets(32)
    sequence: int = uint()
    fee: int = uint()
    code: str = text()


@frozen(kw_only=True)
class MemberReceipt:
    """A member of a shard. `loss`: bits per byte, Q16. `weight`: Q16 of the joined vector. `gate`: as it is now, Q16.

    `answer`: ``revealed``, ``silent``, ``unavailable``. `opaque`: it gives no loss. `out`: disqualified as an outlier.
    `verdict`: ``none``, ``honest``, ``false``, ``missing``, ``open``, ``canary``. `fine`, `slash`: shannons.
    """

    encoder: bytes = octets(32)
    name: str = text()
    answer: str = text()
    opaque: bool
    loss: int = uint()
    vector: bytes = octets(most=1 << 14)
    weight: int = uint(most=1 << 16)
    gate: int = uint(least=-(1 << 16), most=3 << 16)
    out: bool
    verdict: str = text()
    fine: int = uint(most=SUPPLY_MOST)
    slash: int = uint(most=SUPPLY_MOST)


@frozen(kw_only=True)
class PaymentReceipt:
    """Money that a job moves. `to`: an encoder's name, ``submitter``, ``validators`` or ``treasury``."""

    to: str = text()
    amount: int = uint(most=SUPPLY_MOST)
    reason: str = text()


@frozen(kw_only=True)
class JobReceipt:
    """An embed job, whole. `vector`: joined, int16 little endian; empty on a refund. `winner`: a name, or "".

    `final`: its money has moved. Until then, at least until `due` (ms), verdicts may change all that is said here.
    `sampled`: only one in ten such winners is audited.
    """

    kind: str = text(default="embed")
    job: bytes = octets(32)
    blob: bytes = octets(32)
    size: int = uint()
    requester: bytes = octets(32)
    nonce: int = uint()
    epoch: int = uint()
    time: int = uint()
    outcome: str = text()
    why: str = text(most=200)
    final: bool
    due: int = uint()
    sampled: bool
    dimension: int = uint()
    vector: bytes = octets(most=1 << 14)
    shard: tuple[MemberReceipt, ...]
    winner: str = text()
    weakest: str = text()
    pot: int = uint(most=SUPPLY_MOST)
    commission: int = uint(most=SUPPLY_MOST)
    payments: tuple[PaymentReceipt, ...]


@frozen
class Step:
    """One step from a leaf to the root: the sibling's hash, and on which side it stands."""

    side: Literal["left", "right"] = text()
    sibling: bytes = octets(32)


def record_digest(record: CommitRecord) -> bytes:
    """The 32 bytes that validators sign and the next record names."""
    return digest("soma/record", pack(record))


def committee_digest(members: Sequence[tuple[bytes, int]]) -> bytes:
    """The digest of a committee: (key, power) by place."""
    return digest("soma/record", codec.encode([[key, power] for key, power in members]))


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf."""
    return digest("soma/leaf", LEAF_TAG, leaf)


def _node_hash(left: bytes, right: bytes) -> bytes:
    return digest("soma/node", NODE_TAG, left, right)


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def root(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes."""
    if not hashes:
        return digest("soma/node")
    if len(hashes) == 1:
        return hashes[0]
    middle = _split(len(hashes))
    return _node_hash(root(hashes[:middle]), root(hashes[middle:]))


def proof(hashes: Sequence[bytes], place: int) -> tuple[Step, ...]:
    """The steps from the leaf at `place` up to the root."""
    if not 0 <= place < len(hashes):
        raise IndexError(f"there is no leaf {place} among {len(hashes)}")
    if len(hashes) == 1:
        return ()
    middle = _split(len(hashes))
    if place < middle:
        return (*proof(hashes[:middle], place), Step("right", root(hashes[middle:])))
    return (*proof(hashes[middle:], place - middle), Step("left", root(hashes[:middle])))


def root_from(leaf: bytes, steps: Sequence[Step]) -> bytes:
    """The root that `steps` lead to from the encoded `leaf`."""
    here = leaf_hash(leaf)
    for step in steps:
        here = _node_hash(step.sibling, here) if step.side == "left" else _node_hash(here, step.sibling)
    return here
