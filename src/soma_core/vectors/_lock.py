"""One process, one opening: a lock file in the index's directory."""

import errno
import fcntl
import os
from pathlib import Path


class OneOpening:
    """Held from construction to `release`; the system releases it when the process dies, however it dies."""

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise OSError(errno.EBUSY, "this index is already open; close it there first", str(directory)) from error

    def release(self) -> None:
        """Let the next one open."""
        os.close(self._descriptor)
