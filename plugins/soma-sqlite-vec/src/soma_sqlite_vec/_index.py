"""One table of vectors, one of labels, and a sum over all of it for each search.

A virtual table of sqlite-vec would answer small searches about twice as fast. It takes equals in no order, and 4096 at
most: then what is nearest would not be said.
"""

import errno
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import apsw
import numpy as np
import sqlite_vec
from numpy.typing import NDArray

from soma_core.api import Hit, IndexStats, Labels
from soma_core.vectors import OneOpening, checked_batch, checked_ids, checked_queries, measured_recall

from ._faults import clear_errors

FILE: Final = "vectors.sqlite"
APPLICATION_ID: Final = 0x534F4D56
"""``SOMV`` in the file's head: another program's database is refused, not filled."""
LAYOUT: Final = 1

_TABLES: Final = """
CREATE TABLE settled (dim INTEGER NOT NULL);
CREATE TABLE vectors (row INTEGER PRIMARY KEY, id BLOB UNIQUE NOT NULL, labels TEXT NOT NULL, vector BLOB NOT NULL);
CREATE TABLE labels (name TEXT, value, row INTEGER, PRIMARY KEY (name, value, row)) WITHOUT ROWID;
"""
_NEAREST: Final = """
SELECT id, 1 - min(max(vec_distance_cosine(vector, ?), 0), 2) AS similarity, labels
FROM vectors WHERE {where} ORDER BY similarity DESC, id LIMIT ?
"""
_LABELLED: Final = "row IN (SELECT row FROM labels WHERE name = ? AND value = ?)"


class SqliteVecIndex:
    """Feature ``durable``."""

    def __init__(self, directory: Path, *, cache_mb: int) -> None:
        self._path = directory / FILE
        with clear_errors(self._path), ExitStack() as opened:
            opened.callback(OneOpening(directory).release)
            self._base = apsw.Connection(str(self._path))
            opened.callback(self._base.close)
            self._dim = self._prepared(cache_mb)
            self._opened = opened.pop_all()

    def add(self, ids: Sequence[bytes], vectors: NDArray[np.float32], labels: Sequence[Labels] | None = None) -> None:
        """Keep these, in one transaction. On disk when this returns."""
        batch = checked_batch(ids, vectors, labels, self._dim)
        if not len(batch):
            return
        dim = batch.vectors.shape[1]
        with clear_errors(self._path), self._transaction():
            if not self._dim:
                self._base.execute("INSERT INTO settled VALUES (?)", (dim,))
            self._forget(batch.ids)
            for id_, vector, some in zip(batch.ids, batch.vectors, batch.labels, strict=True):
                told = json.dumps(dict(some), ensure_ascii=False)
                self._base.execute("INSERT INTO vectors VALUES (NULL, ?, ?, ?)", (id_, told, vector.tobytes()))
                row = self._base.last_insert_rowid()
                self._base.executemany("INSERT INTO labels VALUES (?, ?, ?)", [(*label, row) for label in some.items()])
        self._dim = dim

    def remove(self, ids: Sequence[bytes]) -> int:
        """Forget these, in one transaction; how many were there."""
        checked = checked_ids(ids)
        with clear_errors(self._path), self._transaction():
            return self._forget(checked)

    def search(self, queries: NDArray[np.float32], k: int, where: Labels | None = None) -> list[list[Hit]]:
        """The `k` nearest of each query, of all there are."""
        scaled, wanted = checked_queries(queries, k, where, self._dim)
        query = _NEAREST.format(where=" AND ".join([_LABELLED] * len(wanted)) or "true")
        asked = [part for label in wanted.items() for part in label]
        with clear_errors(self._path):
            return [
                [Hit(id_, cosine, json.loads(told)) for id_, cosine, told in self._base.execute(query, (v, *asked, k))]
                for v in (vector.tobytes() for vector in scaled)
            ]

    def __len__(self) -> int:
        with clear_errors(self._path):
            return int(self._one("SELECT count(*) FROM vectors"))

    def stats(self) -> IndexStats:
        """Recall is measured, although every vector is looked at: it shows what float32 does to equals."""
        with clear_errors(self._path):
            rows = list(self._base.execute("SELECT id, vector FROM vectors ORDER BY row"))
        vectors = np.frombuffer(b"".join(vector for _, vector in rows), np.float32).reshape(len(rows), self._dim)
        recall, sampled = measured_recall([id_ for id_, _ in rows], vectors, self.search)
        about = f"sqlite-vec {sqlite_vec.__version__}, SQLite {apsw.sqlite_lib_version()}; every vector is looked at"
        return IndexStats(count=len(rows), dim=self._dim, recall=recall, sampled=sampled, about=about)

    def close(self) -> None:
        """Close the database and let it be opened again."""
        with clear_errors(self._path):
            self._opened.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of it or nothing. After some errors, such as a full disk, SQLite has rolled back already."""
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def _forget(self, ids: Sequence[bytes]) -> int:
        gone = 0
        for row in self._rows(ids):
            self._base.execute("DELETE FROM labels WHERE row = ?", (row,))
            self._base.execute("DELETE FROM vectors WHERE row = ?", (row,))
            gone += 1
        return gone

    def _rows(self, ids: Sequence[bytes]) -> Iterator[int]:
        for id_ in dict.fromkeys(ids):
            for (row,) in self._base.execute("SELECT row FROM vectors WHERE id = ?", (id_,)).fetchall():
                yield row

    def _one(self, query: str) -> int:
        found = self._base.execute(query).fetchone()
        return int(found[0]) if found else 0

    def _prepared(self, cache_mb: int) -> int:
        """The database set up, filled if it is new; the dim that is settled, or 0."""
        base = self._base
        base.execute("PRAGMA synchronous = EXTRA")  # a commit is on disk, and so is that its journal is gone
        owner, layout = self._one("PRAGMA application_id"), self._one("PRAGMA user_version")
        if owner != APPLICATION_ID and (owner or self._one("SELECT count(*) FROM sqlite_schema")):
            raise OSError(errno.EINVAL, "this is another program's database; move it away", str(self._path))
        if owner == APPLICATION_ID and layout != LAYOUT:
            what = f"layout {layout} is not {LAYOUT}; use the soma-sqlite-vec that wrote it"
            raise OSError(errno.EINVAL, what, str(self._path))
        base.enable_load_extension(enable=True)
        base.load_extension(sqlite_vec.loadable_path())
        base.enable_load_extension(enable=False)
        base.execute(f"PRAGMA cache_size = {-1024 * cache_mb}")
        base.execute("PRAGMA fullfsync = 1")  # macOS: F_FULLFSYNC; elsewhere without effect
        if owner != APPLICATION_ID:
            with self._transaction():
                base.execute(_TABLES)
                base.execute(f"PRAGMA user_version = {LAYOUT}")
                base.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        return self._one("SELECT dim FROM settled")
