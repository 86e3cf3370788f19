"""Receipts as people and programs read them."""

from collections.abc import Mapping
from typing import Any

from soma_core.chain.proofs import ReceiptFile, vector_digest
from soma_core.chain.receipts import JobReceipt, MemberReceipt
from soma_core.records import unpack

from ._money import soma
from ._print import columns, printable

Q16 = 1 << 16


def job_of(file: ReceiptFile) -> JobReceipt:
    """The job's receipt in a receipt file."""
    return unpack(JobReceipt, file.receipt)


def as_json(path: str, receipt: JobReceipt, saved: str) -> Mapping[str, Any]:
    """One entry of ``inputs``. Weights are fractions and sum to 1."""
    return {
        "path": path,
        "bytes": receipt.size,
        "job": receipt.job.hex(),
        "outcome": receipt.outcome,
        "why": receipt.why,
        "final": receipt.final,
        "due_ms": receipt.due,
        "audit_sampled": receipt.sampled,
        "dim": receipt.dimension,
        "vector_digest": vector_digest(receipt.vector).hex() if receipt.vector else None,
        "shard": [
            {
                "encoder": member.name,
                "loss_bits_per_byte": loss_of(member),
                "weight": member.weight / Q16,
                "disqualified": is_out(member),
                "answer": member.answer,
                "verdict": member.verdict,
                "fine": member.fine,
            }
            for member in receipt.shard
        ],
        "winner": receipt.winner or None,
        "payments": [{"to": p.to, "amount": p.amount, "reason": p.reason} for p in receipt.payments],
        "receipt": saved,
    }


def loss_of(member: MemberReceipt) -> float | None:
    """Bits per byte, or None of a member that showed nothing or gives no loss."""
    return None if member.opaque or member.answer != "revealed" else member.loss / Q16


def is_out(member: MemberReceipt) -> bool:
    """Whether a member was left out of the joined vector by the rule."""
    return member.out or member.slash > 0


def lines(path: str, receipt: JobReceipt, saved: str) -> list[str]:
    """A settled job, as ``soma embed`` prints it."""
    return [printable(line) for line in _lines(path, receipt, saved)]


def _lines(path: str, receipt: JobReceipt, saved: str) -> list[str]:
    paid = receipt.pot + receipt.commission
    head = f"{path} · {receipt.size:,} bytes · {soma(paid, 4)} SOMA"
    if receipt.outcome != "settled":
        return [head, f"  refunded: {receipt.why}", f"receipt  {saved}"]
    rows = [("", "bits/byte", "weight", "")]
    for member in sorted(receipt.shard, key=lambda m: (m.answer != "revealed", m.loss)):
        loss = "        –" if (bits := loss_of(member)) is None else f"{bits:9.3f}"
        notes = [
            note
            for note, holds in (
                ("winner", member.name == receipt.winner),
                (member.answer, member.answer != "revealed"),
                ("disqualified", is_out(member)),
                (f"found {member.verdict}", member.verdict != "none"),
                (f"fined {soma(member.fine)}", member.fine > 0),
            )
            if holds
        ]
        rows.append((f"  {member.name}", loss, f"{member.weight / Q16:6.3f}", ", ".join(notes)))
    money = " · ".join(f"{p.to} {soma(p.amount, 4)}" for p in receipt.payments)
    digest = vector_digest(receipt.vector).hex()
    return [
        head,
        *columns(rows),
        f"{'paid    ' if receipt.final else 'escrowed'} {money}",
        f"vector   {receipt.dimension} × int16 · {digest[:8]}…{digest[-4:]}",
        f"receipt  {saved}",
    ]
