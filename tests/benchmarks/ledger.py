"""Commits of ``ledger-sqlite`` against the same statements on a bare `sqlite3` connection, both synced at every commit.

A commit is 20 entries of 32-byte keys and 200-byte values, three quarters of them new and a quarter overwritten.
"""

import logging
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.harness import Row, interleaved

from soma_core.api import LedgerContext
from soma_sqlite import SqliteConfig, open_ledger

COMMITS: Final = 100
"""Timed together."""
ENTRIES: Final = 20
REPEATS: Final = 25
PUT: Final = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"


def batches(random: Random) -> Iterator[Mapping[bytes, bytes]]:
    """Without end."""
    known: list[bytes] = []
    while True:
        keys = [random.choice(known) if known and i % 4 == 0 else random.randbytes(32) for i in range(ENTRIES)]
        known.extend(keys)
        del known[:-10_000]
        yield {key: random.randbytes(200) for key in keys}


def bare(path: Path) -> sqlite3.Connection:
    """An empty database with the table that a ledger has."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = {-1024 * SqliteConfig().cache_mb}")
    connection.execute("CREATE TABLE entries (key BLOB PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID")
    return connection


def rows(seed: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as directory, closing(bare(Path(directory, "bare.sqlite"))) as connection:
        context = LedgerContext("ledger-sqlite", Path(directory), logging.getLogger("soma.bench"), "node")
        drawn = {"ours": batches(Random(seed)), "bare": batches(Random(seed))}
        with closing(open_ledger(SqliteConfig(), context)) as ledger:

            def put(batch: Mapping[bytes, bytes]) -> None:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(PUT, list(batch.items()))
                connection.execute("COMMIT")

            def timed(name: str) -> float:
                work = [next(drawn[name]) for _ in range(COMMITS)]
                write = ledger.write if name == "ours" else put
                start = time.perf_counter()
                for batch in work:
                    write(batch)
                return COMMITS / (time.perf_counter() - start)

            taken = interleaved({"ours": lambda: timed("ours"), "bare": lambda: timed("bare")}, REPEATS)
    ratio, low, high = taken.ratio("ours", "bare")
    return [
        Row(
            what="ledger: commits of 20 entries of 200 B",
            measured=f"ledger-sqlite, {taken.median('ours'):,.0f} commits/s",
            against=f"bare sqlite3, WAL, FULL, {taken.median('bare'):,.0f} commits/s",
            ratio=ratio,
            low=low,
            high=high,
            repeats=REPEATS,
        )
    ]
