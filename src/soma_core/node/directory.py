"""The data directory of one node: what lies where, and the lock that keeps a second node out."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from soma_core.errors import UsageError

GENESIS: Final = "genesis.cbor"
BLOBS: Final = "blobs"
ANSWERS: Final = "answers"
VERDICTS: Final = "verdicts"
SUBMISSIONS: Final = "submissions"
WEIGHTS: Final = "weights"
CANARIES: Final = "canaries"
COMPONENTS: Final = "components"
INDEXES: Final = "indexes"
RECEIPTS: Final = "receipts"
LOG: Final = "node.log"


def make(path: Path, *parts: str) -> Path:
    """A directory below `path`, made if it is missing, mode 0700."""
    here = path.joinpath(*parts)
    here.mkdir(mode=0o700, parents=True, exist_ok=True)
    return here


def holder(data_dir: Path) -> str | None:
    """The process that holds the directory's lock, or None. Looks only; a lock is taken by `locked`."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _owner(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _owner(descriptor: int) -> str:
    return os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises `UsageError` if another process holds it."""
    make(data_dir)
    descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{data_dir}: a node is running here already (process {_owner(descriptor)})",
                "stop it first, or give this one another --data-dir",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
