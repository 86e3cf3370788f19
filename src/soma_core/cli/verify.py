"""``soma verify``: a receipt checked offline, saying what is trusted for it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._options import json_option
from ._print import data, data_json, printable, talk

if TYPE_CHECKING:
    from soma_core.chain.proofs import ReceiptFile
    from soma_core.genesis import Charter


@click.command()
@click.argument("receipt", type=click.Path(path_type=Path))
@click.option("--genesis", type=click.Path(path_type=Path), metavar="FILE", help="The genesis file to trust.")
@click.option("--chain", metavar="ID", help="The chain id to trust, in hex.")
@click.option("--record", metavar="DIGEST", help="The digest of a newer record to trust, in hex: see the RECEIPT's.")
@json_option
def verify(
    receipt: Path,
    genesis: Path | None,
    chain: str | None,
    record: str | None,
    as_json: bool,  # noqa: FBT001  # a flag
) -> None:
    """Check RECEIPT offline: who signed it, what it proves, and that its numbers add up."""
    import time

    from soma_core.chain.proofs import basis_of, load, signing_committee, vector_digest, verify_receipt
    from soma_core.chain.receipts import record_digest
    from soma_core.errors import VerificationError

    file = load(_read(receipt))
    trusted, basis = _trusted(receipt, file, genesis, chain)
    newer = None if record is None else _digest(record)
    if newer is not None:
        basis = f"the record {newer.hex()[:12]}, which you named"
    job = verify_receipt(file, trusted, newer)
    begun = trusted.time if newer is None else basis_of(file, newer).time
    age = time.time_ns() // 1_000_000 - begun
    if age > trusted.parameters.unbonding_ms:
        raise VerificationError(
            f"the committee of the {'genesis' if newer is None else 'record'} is {age // 1000} s old, older than the"
            f" unbonding time of {trusted.parameters.unbonding_ms // 1000} s: its keys prove nothing any more",
            "verify receipts while they are young, or against a newer record with --record",
        )
    known = file.handovers[-1].checkpoint.record if file.handovers else file.checkpoint.record
    names = {validator.key: validator.name for validator in trusted.validators}
    keys = [signing_committee(file)[place][0] for place, _ in file.checkpoint.signatures]
    signers = [names.get(key, key.hex()[:12]) for key in keys]
    if as_json:
        data_json(
            {
                "valid": True,
                "trusts": basis,
                "chain": trusted.chain.hex(),
                "signers": signers,
                "commit": file.checkpoint.record.index,
                "record": record_digest(known).hex(),
                "job": job.job.hex(),
                "outcome": job.outcome,
                "winner": job.winner or None,
                "vector_digest": vector_digest(job.vector).hex() if job.vector else None,
            }
        )
        return
    from ._receipts import lines

    talk(f"trusts   {basis}")
    talk(f"record   {record_digest(known).hex()}, which you may trust in later receipts with --record")
    talk(f"signed   by {printable(', '.join(signers))} under commit {file.checkpoint.record.index}")
    for line in lines(f"job {job.job.hex()[:12]}", job, str(receipt)):
        data(line)
    data("valid    signatures, proof, payments and joined vector hold")


def _trusted(receipt: Path, file: "ReceiptFile", genesis: Path | None, chain: str | None) -> "tuple[Charter, str]":
    """The charter that is trusted, and in words why: named, by chain id, found beside the receipt, or its own word."""
    from soma_core.errors import UsageError
    from soma_core.genesis import read

    if genesis is not None:
        return read(genesis).charter, f"the committee of {genesis}"
    own = file.charter
    if chain is not None:
        if own.chain.hex() != chain.lower():
            raise UsageError(f"the receipt is of chain {own.chain.hex()}", "name that chain, or get the right receipt")
        return own, f"the committee of chain {chain.lower()}, which you named"
    beside = receipt.absolute().parent.parent / "genesis.cbor"
    if beside.is_file():
        return read(beside).charter, f"the committee of {beside}"
    return own, f"the receipt's own word for its chain {own.chain.hex()}; name it with --chain or --genesis to be sure"


def _digest(text: str) -> bytes:
    from soma_core.errors import UsageError

    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UsageError(f"{text!r:.80} is no record's digest", "give 64 hex digits, as `soma verify` prints them")
    return digest


def _read(path: Path) -> bytes:
    from soma_core.chain.proofs import MAX_FILE
    from soma_core.errors import UsageError

    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a receipt that `soma embed` kept") from error
