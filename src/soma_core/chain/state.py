"""The chain's state: typed keys to records, with every change journalled.

A `Table` gives a subject's records a prefix, a class, and what money each of them holds. A `State` reads a ledger and
keeps what changed in memory; the node writes all of it in one batch with the commit. Money is never counted on the
side: the supply check adds up what the changed records themselves hold, before and after. Rules T1 to T4 of
``specs/11-state.md``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, Generic, TypeVar

from attrs import frozen

from soma_core.api import Reader
from soma_core.errors import CorruptionError, DecodeError
from soma_core.records import pack, unpack

R = TypeVar("R")

REMEMBERED: Final = 2_048
"""Records, the last ones read. A commit reads every open job, most of them as the one before did."""
SMALL: Final = 512
"""Bytes of a record of which many may be remembered."""
REMEMBERED_SMALL: Final = 65_536
"""Small records: a draw reads encoders, pools and scores of a whole network."""


def _nothing(_record: Any) -> int:
    return 0


@frozen(eq=False)
class Table(Generic[R]):
    """Records of one kind. `prefix`: one byte, listed in ``specs/11-state.md``. `money`: shannons a record holds."""

    name: str
    prefix: int
    record: type[R]
    money: Callable[[R], int] = _nothing

    def key(self, part: bytes = b"") -> bytes:
        """The ledger key of the record named `part`."""
        return bytes([self.prefix]) + part

    @property
    def holds_money(self) -> bool:
        """Whether a record of this kind can hold any."""
        return self.money is not _nothing


STATE_FLOOR: Final = b"\x01"
STATE_CEILING: Final = b"\x80"
"""State keys lie between these; the node keeps its own records from `STATE_CEILING` on."""


class State:
    """Records over a `Reader`, with what was changed since kept in `changes`.

    A record that changes often in a commit is encoded once, when the commit is over.
    """

    def __init__(self, view: Reader) -> None:
        self._view = view
        self._before: dict[bytes, bytes | None] = {}
        self._now: dict[bytes, Any] = {}  # by ledger key: the record, or None
        self._undo: list[tuple[bytes, Any, bool]] | None = None
        self._read: dict[tuple[int, bytes], Any] = {}

    def get(self, table: Table[R], part: bytes = b"") -> R | None:
        """The record, or None."""
        key = table.key(part)
        if key in self._now:
            changed: R | None = self._now[key]
            return changed
        data = self._view.get(key)
        return None if data is None else self.record(table, data)

    def record(self, table: Table[R], data: bytes) -> R:
        """What `data` holds, read once however often it is asked for. Raises `CorruptionError` if it is damaged."""
        record: R | None = self._read.get((table.prefix, data))
        if record is None:
            record = self._read[table.prefix, data] = read_record(table, data)
        return record

    def need(self, table: Table[R], part: bytes = b"") -> R:
        """The record, which the rules say exists. Raises `CorruptionError` if it does not."""
        record = self.get(table, part)
        if record is None:
            raise CorruptionError(
                f"the state has no {table.name} {part.hex()}",
                "restore a backup or synchronise into a new data directory",
            )
        return record

    def put(self, table: Table[R], part: bytes, record: R) -> None:
        """Set the record."""
        self._set(table.key(part), record)

    def delete(self, table: Table[R], part: bytes) -> None:
        """Remove the record, if there is one."""
        self._set(table.key(part), None)

    def scan(self, table: Table[R], start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, R]]:
        """Pairs of name and record, ascending, from `start` until before `stop` (None: the table's end).

        The pairs are those at the time of the call: changes made while iterating are not seen.
        """
        low = table.key(start)
        high = bytes([table.prefix + 1]) if stop is None else table.key(stop)
        stored = dict(self._view.scan(low, high))
        changed = {key: record for key, record in self._now.items() if low <= key < high}
        for key in sorted(stored.keys() | changed) if changed else stored:
            record = changed[key] if key in changed else read_record(table, stored[key])
            if record is not None:
                yield key[1:], record

    def count(self, table: Table[R]) -> int:
        """How many records the table has. Reads no record."""
        low, high = table.key(), bytes([table.prefix + 1])
        names = {key for key, _ in self._view.scan(low, high)}
        for key, value in self._now.items():
            if low <= key < high:
                (names.discard if value is None else names.add)(key)
        return len(names)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """All changes made inside, or none if an exception leaves the block. Attempts do not nest."""
        if self._undo is not None:
            raise RuntimeError("attempts do not nest")
        self._undo = []
        try:
            yield
        except BaseException:
            for key, value, known in reversed(self._undo):
                if known:
                    self._now[key] = value
                else:
                    del self._now[key]
            raise
        finally:
            self._undo = None

    def changes(self) -> dict[bytes, tuple[bytes | None, bytes | None]]:
        """Ledger key → (value before, value now), for every key whose value differs."""
        found: dict[bytes, tuple[bytes | None, bytes | None]] = {}
        for key in sorted(self._now):
            record, before, data = self._now[key], self._before[key], None
            if record is not None:
                data = pack(record)
                self._read[key[0], data] = record
            if data != before:
                found[key] = before, data
        return found

    def _set(self, key: bytes, record: Any) -> None:
        if key not in self._before:
            self._before[key] = self._view.get(key)
        if self._undo is not None:
            self._undo.append((key, self._now.get(key), key in self._now))
        self._now[key] = record


def read_record(table: Table[R], data: bytes) -> R:
    """A stored record. Raises `CorruptionError` if it is damaged."""
    try:
        record: R = (_read_small if len(data) <= SMALL else _read_large)(table, data)
    except DecodeError as error:
        raise CorruptionError(
            f"a stored {table.name} is damaged: {error.what}",
            "restore a backup or synchronise into a new data directory",
        ) from error
    return record


def _unpacked(table: Table[Any], data: bytes) -> Any:
    return unpack(table.record, data)


# The same bytes are read once: records do not change.
_read_small: Final = lru_cache(REMEMBERED_SMALL)(_unpacked)
_read_large: Final = lru_cache(REMEMBERED)(_unpacked)
