"""Ledgers in memory, of one machine that dies at the write it is told to: for whatever stands on ledgers.

`soma_core.testing.disk` is for ledgers themselves. Here a batch is there or it is not; what is tried is what a node
makes of it, at every single write of all its databases.
"""

import errno
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, final, get_args

Death = Literal["before", "after", "refused", "unsure"]
"""Of a write: the power goes ``before`` it or ``after`` it is on disk, unacknowledged either way; it fails and is
``refused`` as a whole; it fails, and is found whole at the next opening, as after a sync that failed.
"""
DEATHS: Final[tuple[Death, ...]] = get_args(Death)


@final
class Machine:
    """What the ledgers of one machine hold, by name. `writes` counts them all, from `restart` on."""

    def __init__(self) -> None:
        self.writes = 0
        self.struck: str | None = None
        """The ledger whose write was the one to die at."""
        self.off = False
        self.stored: dict[str, dict[bytes, bytes]] = {}
        self._plan: tuple[int, Death] | None = None

    def open(self, name: str) -> "FaultLedger":
        """The ledger `name` with what it holds. An earlier opening of it is not used again."""
        return FaultLedger(self, name, self.stored.setdefault(name, {}))

    def die(self, at: int, how: Death) -> None:
        """Die at the write numbered `at`, from 1."""
        self._plan = (at, how)

    def restart(self) -> None:
        """The machine is on, whole, and nobody uses its ledgers."""
        self.writes, self.struck, self.off, self._plan = 0, None, False, None

    def store(self, name: str, change: Callable[[dict[bytes, bytes]], None]) -> None:
        """Count a write, and do it or what was planned instead. Raises `OSError`."""
        if self.off:
            raise OSError(errno.EIO, "the power is gone", name)
        self.writes += 1
        how = self._plan[1] if self._plan is not None and self._plan[0] == self.writes else None
        if how is not None:
            self.struck = name
            self.off = how in ("before", "after")
        if how in (None, "after", "unsure"):
            change(self.stored[name])
        if how is not None:
            raise OSError(errno.ENOSPC if how == "refused" else errno.EIO, f"planned: {how}", name)


@final
class FaultLedger:
    """One ledger of a `Machine`. Durable, but for its deaths. After a failed write it takes no more."""

    def __init__(self, machine: Machine, name: str, stored: Mapping[bytes, bytes]) -> None:
        self._machine, self._name = machine, name
        self._seen = dict(stored)
        self._failed = False

    def get(self, key: bytes, /) -> bytes | None:
        """The value of `key`, or None."""
        return self._seen.get(key)

    def scan(self, start: bytes, stop: bytes, /) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop``, ascending, as they were when the scan began."""
        keys = sorted(self._seen)
        found = keys[bisect_left(keys, start) : bisect_left(keys, stop)]
        return iter([(key, self._seen[key]) for key in found])

    def write(self, batch: Mapping[bytes, bytes | None], /) -> None:
        """All of `batch` or nothing. Raises `OSError` when it is time to die, and ever after."""
        if self._failed:
            raise OSError(errno.EIO, "an earlier write failed", self._name)
        changes = dict(batch)
        try:
            self._machine.store(self._name, lambda stored: _apply(stored, changes))
        except OSError:
            self._failed = True
            raise
        _apply(self._seen, changes)

    def close(self) -> None:
        """Nothing is kept open."""


def _apply(values: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
