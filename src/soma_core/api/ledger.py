"""Ledgers: durable, ordered keys and values. Blocking; the core opens, uses and closes one in one thread."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol


class Reader(Protocol):
    """Reading, from a ledger or from a snapshot of one."""

    def get(self, key: bytes, /) -> bytes | None:
        """The value of `key`, or None."""
        ...

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop``, ascending by bytes."""
        ...


class Ledger(Reader, Protocol):
    """An ``OSError`` from `write` ends its use: at the next opening the batch is there whole or not at all."""

    def write(self, batch: Mapping[bytes, bytes | None], /) -> None:
        """All of `batch` or nothing; None deletes. With the feature ``durable`` it is on disk when this returns."""
        ...

    def close(self) -> None:
        """Release everything. A closed ledger is not used again."""
        ...


class HasSnapshot(Ledger, Protocol):
    """Feature ``snapshot``."""

    def snapshot(self) -> AbstractContextManager[Reader]:
        """The present state, readable from another thread while writing goes on."""
        ...
