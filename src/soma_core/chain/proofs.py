"""A receipt that proves itself offline: what a submitter keeps (rules H8 to H15, ``specs/17-receipts.md``).

The file holds the receipt, its way to a commit record, the records from there to one that a quorum signed, and the
genesis that names the committee. `verify` recomputes all of it, the joined vector included.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from attrs import frozen

from soma_core import fixed
from soma_core.crypto import digest, signing_digest, verify
from soma_core.errors import DecodeError, EncoderError, VerificationError
from soma_core.genesis import Genesis, check
from soma_core.records import octets, pack, unpack

from .receipts import CommitRecord, JobReceipt, Step, committee_digest, record_digest, root_from
from .validators import quorum

MAX_FILE: Final = 4 << 20


@frozen(kw_only=True)
class Checkpoint:
    """A record and signatures of a quorum under it: (place in the committee, signature)."""

    record: CommitRecord
    signatures: tuple[tuple[int, bytes], ...]


@frozen(kw_only=True)
class ReceiptFile:
    """`trail`: records from the receipt's commit up to, without, the checkpoint's."""

    format: str
    genesis: Genesis
    receipt: bytes = octets()
    path: tuple[Step, ...]
    trail: tuple[CommitRecord, ...]
    checkpoint: Checkpoint


FORMAT: Final = "soma-receipt/1"
_REMEDY: Final = "do not rely on it; get the receipt again from a node you trust"


def vector_digest(vector: bytes) -> bytes:
    """The digest of a joined vector (int16 little endian bytes)."""
    return digest("soma/vector", vector)


def load(data: bytes) -> ReceiptFile:
    """A receipt file from its bytes. Raises `DecodeError`."""
    return unpack(ReceiptFile, data, max_size=MAX_FILE)


def dump(file: ReceiptFile) -> bytes:
    """A receipt file as bytes."""
    return pack(file)


def check_checkpoint(genesis: Genesis, checkpoint: Checkpoint) -> int:
    """The voting power that signed the checkpoint. Raises `VerificationError` below a quorum of the committee."""
    record = checkpoint.record
    members = genesis.validators
    _hold(
        record.committee == committee_digest([(v.key, v.power) for v in members]),
        "the record names another committee than the trusted one",
    )
    signed = signing_digest("soma/checkpoint", genesis.chain, record.epoch, record_digest(record))
    places = [place for place, _ in checkpoint.signatures]
    # No more than there are members before they are put into a set: integers could be chosen to collide there.
    few = len(places) <= len(members) and all(0 <= p < len(members) for p in places)
    _hold(few and len(set(places)) == len(places), "a signer is named wrongly")
    for place, signature in checkpoint.signatures:
        _hold(verify(members[place].key, signed, signature), f"the signature of {members[place].name} does not fit")
    power = sum(members[place].power for place in places)
    needed = quorum(tuple(v.power for v in members))
    _hold(power >= needed, f"power {power} signed where a quorum of {needed} is needed")
    return power


def verify_receipt(file: ReceiptFile, trusted: Genesis) -> JobReceipt:
    """The job's receipt, proved from `trusted`. Raises `VerificationError` naming the first thing that fails."""
    _hold(file.format == FORMAT, f"the file's format is {file.format!r}, not {FORMAT!r}")
    genesis = check(trusted)
    _hold(
        file.genesis.chain == genesis.chain,
        f"the receipt is of chain {file.genesis.chain.hex()[:12]}, the trusted one is {genesis.chain.hex()[:12]}",
    )
    check_checkpoint(genesis, file.checkpoint)
    records = (*file.trail, file.checkpoint.record)
    for earlier, later in pairwise(records):
        _hold(
            later.previous == record_digest(earlier) and later.index == earlier.index + 1,
            f"record {later.index} does not follow record {earlier.index}",
        )
    _hold(root_from(file.receipt, file.path) == records[0].receipts, "the receipt is not in the commit it names")
    try:
        receipt = unpack(JobReceipt, file.receipt)
        _check_job(receipt, genesis.parameters.dimension)
    except (DecodeError, EncoderError) as error:
        raise VerificationError(f"the receipt is no job's: {error.what}", _REMEDY) from error
    return receipt


def _check_job(receipt: JobReceipt, dimension: int) -> None:
    """What the receipt says of itself: the money is all there, and the vector is the weighted mean of the members'."""
    paid = sum(payment.amount for payment in receipt.payments)
    _hold(paid == receipt.pot + receipt.commission, f"payments of {paid} do not add up to what was paid in")
    _hold(receipt.dimension == dimension, f"the receipt is in {receipt.dimension} dimensions, not {dimension}")
    if not receipt.vector:
        return
    weighted = [member for member in receipt.shard if member.weight]
    _hold(sum(member.weight for member in weighted) == fixed.ONE, "the weights do not add up to one")
    joined = np.zeros(dimension, np.int64)
    for member in weighted:
        joined += member.weight * fixed.vector_from_bytes(member.vector, dimension).astype(np.int64)
    mean = fixed.vector_bytes(fixed.quant(joined.tolist()))
    _hold(mean == receipt.vector, "the joined vector is not the members' mean")


def _hold(holds: bool, what: str) -> None:  # noqa: FBT001  # reads as an assertion
    if not holds:
        raise VerificationError(what, _REMEDY)
