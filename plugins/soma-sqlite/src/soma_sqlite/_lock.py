"""One process, one opening: a lock file beside the database."""

import errno
import fcntl
import os
from pathlib import Path


class FileLock:
    """Held from construction to `release`; the system releases it when the process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            what = "this ledger is already open; stop the other node, or give this one another --data-dir"
            raise OSError(errno.EBUSY, what, str(path)) from error

    def release(self) -> None:
        """Let the next one open."""
        os.close(self._descriptor)
