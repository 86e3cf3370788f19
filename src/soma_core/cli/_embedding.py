"""Having files embedded by a running node: upload, ask, wait, keep the receipt and the name."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from attrs import frozen

from soma_core.api import control
from soma_core.chain.proofs import MAX_FILE, ReceiptFile, load
from soma_core.chain.receipts import JobReceipt
from soma_core.errors import UnreachableError, UsageError

from ._client import Node
from ._receipts import job_of

PATIENCE: Final = 30
"""Waits without any change (of up to `control.WAIT_MOST` each) after which a job is given up as stuck."""

NAME_MOST: Final = 4096
"""Bytes of a name that is kept beside a receipt."""

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


def embed_file(node: Node, path: Path, nonce: int, keep: Path, told: Told, *, name: str = "") -> Embedded:
    """Embed one file; `told` hears each stage. The directory `keep` has its receipt then, and `name`, or the path."""
    size = size_of(path)
    node.ask(control.PRICE, control.AskPrice(size))  # refuses what is too large before it goes up
    told("uploading")
    blob = node.put_file(path, size)
    asked = node.ask(control.EMBED, control.Embed(blob=blob, size=size, nonce=nonce))
    file = wait_for(node, asked.job, told)
    saved = receipt_path(keep, asked.job)
    saved.write_bytes(file[1])
    _name_path(keep, asked.job).write_bytes(os.fsencode(name or path.absolute())[:NAME_MOST])
    return Embedded(path, job_of(file[0]), saved)


def receipts_dir(data_dir: Path) -> Path:
    """Where receipts of what is embedded through the node of `data_dir` are kept."""
    keep = data_dir / "receipts"
    keep.mkdir(mode=0o700, exist_ok=True)
    return keep


def teller(name: str) -> Told:
    """Says each stage on a terminal's stderr, on one line."""
    terminal = sys.stderr.isatty()

    def tell(stage: str) -> None:
        if terminal:
            click.echo(f"\r\x1b[K{name}: {stage}", err=True, nl=stage in ("settled", "refunded"))

    return tell


def receipt_path(keep: Path, job: bytes) -> Path:
    """Where the receipt of a job lies in the directory `keep`, if it was embedded from here."""
    return keep / f"{job.hex()[:12]}.receipt"


def name_of(keep: Path, job: bytes) -> str:
    """What was embedded as `job`, as whoever did it from here called it; empty where it was not."""
    try:
        with _name_path(keep, job).open("rb") as file:
            return file.read(NAME_MOST).decode("utf-8", "replace")
    except OSError:
        return ""


def _name_path(keep: Path, job: bytes) -> Path:
    return keep / f"{job.hex()[:12]}.name"


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
