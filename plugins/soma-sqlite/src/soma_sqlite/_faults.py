"""What SQLite reports, as the `OSError` that a ledger promises: what happened, to which file, what to do."""

import errno
import sqlite3
from pathlib import Path
from typing import Final

_IO: Final = 10
_FULL: Final = 13
_CANNOT_OPEN: Final = 14
_CORRUPT: Final = 11
_NOT_A_DATABASE: Final = 26
_READ_ONLY: Final = 8
_BUSY: Final = (5, 6)

_MEANING: Final = {
    _IO: (
        errno.EIO,
        "the disk failed",
        "look at the system log and restart the machine before the node: after a failed sync it may show what is lost",
    ),
    _FULL: (errno.ENOSPC, "the disk is full", "free space and start again; nothing of the last write was kept"),
    _CANNOT_OPEN: (errno.ENOENT, "the file cannot be opened", "check that its directory exists and is yours"),
    _CORRUPT: (errno.EIO, "the database is damaged", "restore a backup, or remove it and sync from peers"),
    _NOT_A_DATABASE: (errno.EIO, "this is not a database, or its head is damaged", "restore a backup, or move it away"),
    _READ_ONLY: (errno.EROFS, "the file cannot be written", "check its permissions and those of its directory"),
    _BUSY[0]: (errno.EBUSY, "another program holds the database", "close it; only the node may open this file"),
    _BUSY[1]: (errno.EBUSY, "another program holds a table", "close it; only the node may open this file"),
}


class ClearErrors:
    """A context in which SQLite's errors about `path` become `OSError`, and misuse `RuntimeError`.

    A class with no state, because every read goes through it.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if not isinstance(error, sqlite3.Error):
            return
        path = self._path
        if isinstance(error, sqlite3.ProgrammingError):
            raise RuntimeError(
                f"{path}: only the thread that opened a ledger uses it, until close ({error})"
            ) from error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        number, what, remedy = _MEANING.get(
            code, (errno.EIO, "the disk or the database failed", "look at the system log, then start again")
        )
        raise OSError(number, f"{what} ({error}); {remedy}", str(path)) from error
