"""The consensus ledger: what engines persist, written as group commits, and read back.

A group commit is all that waits, in order, as one batch of the ledger.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Final, Protocol, final

import trio
from attrs import frozen

from soma_core.api import Ledger

from .threads import Thread

TOGETHER: Final = 4 << 20
"""Bytes written in one batch; what was persisted at once stays together."""
SWEPT: Final = 1_024
"""Records of earlier epochs that are deleted in one batch."""


class Writer(Protocol):
    """Whoever has something written."""

    def recorded(self, barrier: int, size: int) -> None:
        """All up to `barrier` is on disk: `size` bytes more than before."""
        ...


@frozen
class _Batch:
    writer: Writer
    barrier: int
    values: Mapping[bytes, bytes | None]
    size: int


@final
class Recorder:
    """The one user of the consensus ledger. A write that fails ends `run` with its error, and with it the node."""

    def __init__(self, ledger: Ledger, thread: Thread) -> None:
        self._ledger = ledger
        self._thread = thread
        self._waiting: deque[_Batch] = deque()
        self._some = trio.Event()

    def put(self, writer: Writer, barrier: int, values: Mapping[bytes, bytes | None]) -> int:
        """Queue a batch; ``writer.recorded`` says when it is on disk. Returns its bytes."""
        size = sum(len(key) + len(value or b"") for key, value in values.items())
        self._waiting.append(_Batch(writer, barrier, values, size))
        self._some.set()
        return size

    def forget(self, writer: Writer) -> None:
        """Drop what waits of `writer`: nothing of it matters any more."""
        self._waiting = deque(batch for batch in self._waiting if batch.writer is not writer)

    async def load(self, start: bytes, stop: bytes, limit: float) -> tuple[tuple[bytes, bytes], ...]:
        """Up to `limit` records with ``start <= key < stop``. What still waits to be written is not among them."""

        def read() -> tuple[tuple[bytes, bytes], ...]:
            found: list[tuple[bytes, bytes]] = []
            for entry in self._ledger.scan(start, stop):
                if len(found) >= limit:
                    break
                found.append(entry)
            return tuple(found)

        return await self._thread.run(read)

    async def sweep(self, stop: bytes) -> bool:
        """Delete some of what lies before `stop`. False if there was nothing."""

        def delete() -> bool:
            old = {key: None for key, _ in islice(self._ledger.scan(b"", stop), SWEPT)}
            if old:
                self._ledger.write(old)
            return bool(old)

        return await self._thread.run(delete)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            while not self._waiting:
                self._some = trio.Event()
                await self._some.wait()
            taken = self._together()
            values = {key: value for batch in taken for key, value in batch.values.items()}
            await self._thread.run(self._ledger.write, values)
            for writer in {id(batch.writer): batch.writer for batch in taken}.values():
                own = [batch for batch in taken if batch.writer is writer]
                writer.recorded(own[-1].barrier, sum(batch.size for batch in own))

    def _together(self) -> list[_Batch]:
        taken = [self._waiting.popleft()]
        size = taken[0].size
        while self._waiting and size + self._waiting[0].size <= TOGETHER:
            taken.append(self._waiting.popleft())
            size += taken[-1].size
        return taken
