"""A dictionary with its keys in order, copied on write while somebody holds a snapshot."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock

from attrs import define

from soma_core.api import Reader


@define
class _State:
    values: dict[bytes, bytes]
    keys: list[bytes]

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        chosen = self.keys[bisect_left(self.keys, start) : bisect_left(self.keys, stop)]
        return iter([(key, self.values[key]) for key in chosen])


class MemoryLedger:
    """Feature ``snapshot``; not durable. One thread writes; snapshots may be taken and read in any."""

    def __init__(self) -> None:
        self._state = _State({}, [])
        self._shared = False  # whether a snapshot may still be reading self._state
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        return self._state.get(key)

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with ``start <= key < stop``, ascending, as they were when `scan` was called."""
        return self._state.scan(start, stop)

    def write(self, batch: Mapping[bytes, bytes | None]) -> None:
        """All of `batch` or nothing. Raises `TypeError` for what is not bytes."""
        changes = list(batch.items())  # whatever can fail fails here
        for key, value in changes:
            if type(key) is not bytes or not (value is None or type(value) is bytes):
                raise TypeError(f"a ledger holds bytes, not {type(key).__name__}: {type(value).__name__}")
        with self._lock:
            if self._shared:
                self._state = _State(dict(self._state.values), list(self._state.keys))
                self._shared = False
            _apply(self._state, changes)

    @contextmanager
    def snapshot(self) -> Iterator[Reader]:
        """The present state. Costs nothing, but the next write then copies the keys and the table of values."""
        with self._lock:
            self._shared = True
            state = self._state
        yield state

    def close(self) -> None:
        """Forget everything."""
        self._state = _State({}, [])


def _apply(state: _State, changes: list[tuple[bytes, bytes | None]]) -> None:
    added, removed = [], set()
    for key, value in changes:
        if value is None:
            if state.values.pop(key, None) is not None:
                removed.add(key)
        else:
            if key not in state.values:
                added.append(key)
            state.values[key] = value
    if removed:
        state.keys = [key for key in state.keys if key not in removed]
    if added:
        state.keys.extend(sorted(added))
        state.keys.sort()  # two sorted runs: linear
