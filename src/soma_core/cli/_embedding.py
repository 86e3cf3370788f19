"""Having files embedded by a running node: upload, ask, wait, keep the receipt."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from soma_core.api import control
from soma_core.chain.proofs import MAX_FILE, ReceiptFile, load
from soma_core.chain.receipts import JobReceipt
from soma_core.errors import UnreachableError, UsageError

from ._client import Node
from ._receipts import job_of

PATIENCE: Final = 30
"""Waits without any change (of up to `control.WAIT_MOST` each) after which a job is given up as stuck."""

Told = Callable[[str], None]


@frozen
class Embedded:
    """A file and what came of it. `saved`: where the receipt lies."""

    path: Path
    receipt: JobReceipt
    saved: Path


def size_of(path: Path) -> int:
    """The bytes of a regular file that can be read. Raises `UsageError` saying what is wrong with it."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: not a regular file", "name files, not directories or devices")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "name a file that you can read") from error
    if status.st_size == 0:
        raise UsageError(f"{path}: the file is empty", "there is nothing to embed; name another file")
    return status.st_size


def embed_file(node: Node, path: Path, nonce: int, keep: Path, told: Told) -> Embedded:
    """Embed one file; `told` hears each stage. The receipt is kept in the directory `keep`."""
    size = size_of(path)
    node.ask(control.PRICE, control.AskPrice(size))  # refuses what is too large before it goes up
    told("uploading")
    blob = node.put_file(path, size)
    asked = node.ask(control.EMBED, control.Embed(blob=blob, size=size, nonce=nonce))
    file = wait_for(node, asked.job, told)
    saved = keep / f"{asked.job.hex()[:12]}.receipt"
    saved.write_bytes(file[1])
    return Embedded(path, job_of(file[0]), saved)


def wait_for(node: Node, job: bytes, told: Told) -> tuple[ReceiptFile, bytes]:
    """The receipt file of a job, once it has ended and a quorum has signed."""
    stage, quiet = "", 0
    while quiet < PATIENCE:
        reply, payload = node.ask_with_payload(
            control.WAIT_JOB, control.WaitJob(job=job, seen=stage, wait_ms=control.WAIT_MOST)
        )
        if payload:
            if len(payload) > MAX_FILE:
                raise UnreachableError("the node sent a receipt that is too long", "upgrade the older side")
            told(reply.stage)
            return load(payload), payload
        quiet = quiet + 1 if reply.stage == stage else 0
        stage = reply.stage
        told(stage)
    raise UnreachableError(f"job {job.hex()[:12]} does not move from {stage}", "see `soma status` and the node's log")
