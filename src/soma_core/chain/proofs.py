"""A receipt that proves itself offline: what a submitter keeps (rules H8 to H17, ``specs/17-receipts.md``).

The file holds the receipt, its way to a commit record, the records from there to one that a quorum signed, what of the
genesis names the first committee, and for every later one the record in which the committee before it names it.
`verify_receipt` recomputes all of it, the joined vector included.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from attrs import frozen

from soma_core import fixed
from soma_core.crypto import digest, signing_digest, verify
from soma_core.errors import DecodeError, EncoderError, VerificationError
from soma_core.genesis import Charter, Genesis, check
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
class Handover:
    """The last record a committee signed, and the `committee` it names: (key, power) by place."""

    checkpoint: Checkpoint
    committee: tuple[tuple[bytes, int], ...]


@frozen(kw_only=True)
class ReceiptFile:
    """`trail`: records from the receipt's commit up to, without, the checkpoint's.

    `handovers`: from the committee of genesis to the one that signed the checkpoint.
    """

    format: str
    charter: Charter
    handovers: tuple[Handover, ...]
    receipt: bytes = octets()
    path: tuple[Step, ...]
    trail: tuple[CommitRecord, ...]
    checkpoint: Checkpoint


FORMAT: Final = "soma-receipt/2"
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


def founders(charter: Charter | Genesis) -> tuple[tuple[bytes, int], ...]:
    """The first committee: (key, power) by place."""
    return tuple((v.key, v.power) for v in charter.validators)


def signing_committee(file: ReceiptFile) -> tuple[tuple[bytes, int], ...]:
    """The committee that signed the file's checkpoint, as the file says."""
    return file.handovers[-1].committee if file.handovers else founders(file.charter)


def signing_power(chain: bytes, committee: Sequence[tuple[bytes, int]], checkpoint: Checkpoint) -> int:
    """The power of `committee` that signed. Raises `VerificationError` for a signature that does not fit."""
    record = checkpoint.record
    signed = signing_digest("soma/checkpoint", chain, record.epoch, record_digest(record))
    places = [place for place, _ in checkpoint.signatures]
    # No more than there are members before they are put into a set: integers could be chosen to collide there.
    few = len(places) <= len(committee) and all(0 <= p < len(committee) for p in places)
    _hold(few and len(set(places)) == len(places), "a signer is named wrongly")
    for place, signature in checkpoint.signatures:
        key = committee[place][0]
        _hold(verify(key, signed, signature), f"the signature of the key {key.hex()[:12]} does not fit")
    return sum(committee[place][1] for place in places)


def check_checkpoint(chain: bytes, committee: Sequence[tuple[bytes, int]], checkpoint: Checkpoint) -> int:
    """The power of `committee` that signed the checkpoint. Raises `VerificationError` below a quorum of it."""
    power = signing_power(chain, committee, checkpoint)
    needed = quorum(tuple(power for _, power in committee))
    _hold(power >= needed, f"power {power} signed where a quorum of {needed} is needed")
    return power


def basis_of(file: ReceiptFile, basis: bytes) -> CommitRecord:
    """The record of digest `basis` that the file leads through. Raises `VerificationError` if there is none."""
    handed = (handover.checkpoint.record for handover in file.handovers)
    for record in (*handed, *file.trail, file.checkpoint.record):
        if record_digest(record) == basis:
            return record
    raise VerificationError(
        f"the receipt does not lead through the record {basis.hex()[:12]}",
        "trust the last record of an epoch before the receipt's, or a record of its own",
    )


def _begin(file: ReceiptFile, basis: bytes | None) -> tuple[int, int, Sequence[tuple[bytes, int]]]:
    """From which handover on signatures are checked, the index before it, and the committee that is believed there.

    A `basis` is the record of one of the handovers.
    """
    if basis is None:
        return 0, -1, founders(file.charter)
    place = [record_digest(handover.checkpoint.record) for handover in file.handovers].index(basis)
    record, committee = file.handovers[place].checkpoint.record, file.handovers[place].committee
    _hold(record.committee == committee_digest(committee), f"record {record.index} names others")
    return place + 1, record.index, committee


def _handed_over(chain: bytes, file: ReceiptFile, basis: bytes | None) -> Sequence[tuple[bytes, int]]:
    """The committee that the handovers lead to, each signed by a quorum of the one before."""
    place, last, committee = _begin(file, basis)
    for handover in file.handovers[place:]:
        record = handover.checkpoint.record
        check_checkpoint(chain, committee, handover.checkpoint)
        _hold(last < record.index < file.checkpoint.record.index, f"record {record.index} is handed over out of order")
        _hold(
            record.committee == committee_digest(handover.committee),
            f"record {record.index} names another committee than it is said to",
        )
        committee, last = handover.committee, record.index
    return committee


def verify_receipt(file: ReceiptFile, trusted: Charter | Genesis, basis: bytes | None = None) -> JobReceipt:
    """The job's receipt, proved from `trusted`. Raises `VerificationError` naming the first thing that fails.

    `trusted`: a genesis, which is checked, or a charter. `basis`: the digest of a record that is trusted as well: what
    it names needs no older signature (rule H17).
    """
    _hold(file.format == FORMAT, f"the file's format is {file.format!r}, not {FORMAT!r}")
    charter = check(trusted).charter if isinstance(trusted, Genesis) else trusted
    _hold(
        file.charter.chain == charter.chain,
        f"the receipt is of chain {file.charter.chain.hex()[:12]}, the trusted one is {charter.chain.hex()[:12]}",
    )
    _hold(bool(charter.validators), "nobody founded its network")
    records = (*file.trail, file.checkpoint.record)
    if basis is None or basis_of(file, basis) not in records:
        committee = _handed_over(charter.chain, file, basis)
        _hold(
            file.checkpoint.record.committee == committee_digest(committee),
            "the record names another committee than the trusted one",
        )
        check_checkpoint(charter.chain, committee, file.checkpoint)
    for earlier, later in pairwise(records):
        _hold(
            later.previous == record_digest(earlier) and later.index == earlier.index + 1,
            f"record {later.index} does not follow record {earlier.index}",
        )
    _hold(root_from(file.receipt, file.path) == records[0].receipts, "the receipt is not in the commit it names")
    try:
        receipt = unpack(JobReceipt, file.receipt)
        _check_job(receipt, charter.parameters.dimension)
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
