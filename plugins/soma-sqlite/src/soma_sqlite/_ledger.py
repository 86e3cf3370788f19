"""One table of byte strings in key order, in WAL mode with a sync at every commit."""

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from soma_core.api import Reader

from ._faults import ClearErrors
from ._lock import FileLock

APPLICATION_ID: Final = 0x534F4D41
"""``SOMA`` in the file's head: another program's database is refused, not filled."""
LAYOUT: Final = 1
PAGE_BYTES: Final = 1 << 20
PAGE_ROWS: Final = 512
"""A scan takes at most this much from the database at a time, so that it holds no read open and no more memory."""

_TABLE: Final = "CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_DELETE: Final = "DELETE FROM entries WHERE key = ?"
_GET: Final = "SELECT value FROM entries WHERE key = ?"
_FROM: Final = "SELECT key, value FROM entries WHERE key >= ? AND key < ? ORDER BY key"
_AFTER: Final = "SELECT key, value FROM entries WHERE key > ? AND key < ? ORDER BY key"


class _Table:
    """Reading through one connection."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._errors = ClearErrors(path)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        with self._errors:
            row = self._connection.execute(_GET, (key,)).fetchone()
        return None if row is None else row[0]

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop``, ascending. What is written meanwhile may or may not be seen."""
        page = self._page(_FROM, start, stop)
        while page:
            yield from page
            page = self._page(_AFTER, page[-1][0], stop)

    def _page(self, query: str, start: bytes, stop: bytes) -> list[tuple[bytes, bytes]]:
        page, size = [], 0
        with self._errors, closing(self._connection.execute(query, (start, stop))) as rows:
            for row in rows:
                page.append(row)
                size += len(row[0]) + len(row[1])
                if size >= PAGE_BYTES or len(page) >= PAGE_ROWS:
                    break
        return page


class SqliteLedger(_Table):
    """Features ``durable`` and ``snapshot``. Used by the thread that opened it; snapshots are taken and read in any."""

    def __init__(self, path: Path, *, cache_mb: int) -> None:
        self._failed: OSError | None = None
        self._lock = FileLock(path.with_suffix(".lock"))
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # log and index take its mode over
            with ClearErrors(path):
                connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
            super().__init__(path, connection)
            try:
                with ClearErrors(path):
                    _prepare(connection, path, cache_mb)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """All of `batch` or nothing, in one transaction, synced. Raises `TypeError` for what is not bytes.

        After an `OSError` of the database every further write is refused: what the disk holds is known again only when
        the ledger is opened anew.
        """
        if self._failed is not None:
            raise OSError(errno.EIO, "an earlier write failed; start the node again", str(self._path)) from self._failed
        puts, deletes = _sorted_out(batch)
        if not puts and not deletes:
            return
        try:
            with self._errors:
                self._commit(puts, deletes)
        except OSError as error:
            self._failed = error
            raise

    def _commit(self, puts: list[tuple[bytes, bytes]], deletes: list[tuple[bytes]]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany(_DELETE, deletes)
            self._connection.executemany(_PUT, puts)
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite has rolled back by itself after some errors
                execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """The last committed state, through a connection of its own. While it is open, the write-ahead log grows."""
        with self._errors:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
            )
        with closing(connection):
            with self._errors:
                connection.execute("BEGIN")
                connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone()  # only a read fixes what is seen
            yield _Table(self._path, connection)

    def close(self) -> None:
        """Close the file and let it be opened again."""
        try:
            with self._errors:
                self._connection.close()
        finally:
            self._lock.release()


def _sorted_out(batch: Mapping[bytes, bytes | None]) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes]]]:
    puts, deletes = [], []
    for key, value in batch.items():
        if type(key) is not bytes or not (value is None or type(value) is bytes):
            # SQLite would store other types as themselves and order them apart
            raise TypeError(f"a ledger holds bytes, not {type(key).__name__}: {type(value).__name__}")
        if value is None:
            deletes.append((key,))
        else:
            puts.append((key, value))
    return puts, deletes


def _prepare(connection: sqlite3.Connection, path: Path, cache_mb: int) -> None:
    def pragma(text: str) -> object:
        row = connection.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    # FULL, and a deleted journal does not come back. First of all: the first read may have a journal to play back.
    pragma("synchronous = EXTRA")
    owner, layout = pragma("application_id"), pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or tables):
        raise OSError(errno.EINVAL, "this is another program's database; move it away", str(path))
    if owner == APPLICATION_ID and layout != LAYOUT:
        raise OSError(errno.EINVAL, f"layout {layout} is not {LAYOUT}; use the soma-sqlite that wrote it", str(path))
    # A killed process leaves what is seen and not on disk, names too: out of its log and in again syncs all.
    pragma("journal_mode = DELETE")
    if pragma("journal_mode = WAL") != "wal":
        raise OSError(errno.ENOTSUP, "this file system has no shared memory for SQLite; use a local disk", str(path))
    pragma("fullfsync = 1")  # macOS: F_FULLFSYNC; elsewhere without effect
    pragma("checkpoint_fullfsync = 1")
    pragma(f"cache_size = {-1024 * cache_mb}")
    if owner != APPLICATION_ID:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLE)
        pragma(f"user_version = {LAYOUT}")
        pragma(f"application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone()  # damage at the root shows now, not in a transaction
