"""What may be left of ordinary files when the power goes: every state that some disk could show, enumerated.

`Trace` watches a directory while code under test works in it: at every system call that orders something, a sync, a
rename, a removal, it notes what is there and what was promised to stay. `leftovers` then gives the directories that a
loss of power could leave at any of these moments: a file holds what was synced, what it held last, or a part of that;
names stand as at any moment since the directory was synced, because file systems keep changes of names in order.
"""

import itertools
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

Names = Mapping[str, int]
"""Name → number of the file."""


@frozen
class Moment:
    """`contents`: of each file, what it may hold. `names`: what the directory may show. `done`: calls that returned."""

    contents: Mapping[int, frozenset[bytes]]
    names: tuple[Names, ...]
    done: int


@define
class Trace:
    """One directory. `done` is counted up by the test: so many promises were made."""

    directory: Path
    done: int = 0
    moments: list[Moment] = field(factory=list)
    _open: dict[int, int] = field(factory=dict)
    _synced: dict[int, bytes] = field(factory=dict)
    _names: list[Names] = field(factory=list)

    def look(self) -> None:
        """Note what a loss of power at this moment could leave."""
        names: dict[str, int] = {}
        for path in self.directory.iterdir():
            number = path.stat().st_ino
            names[path.name] = number
            if number not in self._open:
                self._open[number] = os.open(path, os.O_RDONLY)  # held, so that the number is not given to another
        if not self._names or self._names[-1] != names:
            self._names.append(names)
        contents = {number: self._possible(number) for shown in self._names for number in shown.values()}
        self.moments.append(Moment(contents, tuple(self._names), self.done))

    def _possible(self, number: int) -> frozenset[bytes]:
        now, synced = self._read(number), self._synced.get(number, b"")
        if now == synced:
            return frozenset({now})
        half = len(now) // 2
        return frozenset({synced, now, now[:half], now[:half] + bytes(len(now) - half)})

    def _read(self, number: int) -> bytes:
        descriptor = self._open[number]
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)

    def synced(self, descriptor: int) -> None:
        """A sync of this file or directory has returned."""
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._names = self._names[-1:]
        else:
            self._synced[status.st_ino] = self._read(status.st_ino)

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def leftovers(self, into: Path) -> Iterator[tuple[Path, int]]:
        """Each directory that may be left, made in `into`, and how many promises had been made."""
        seen: set[Any] = set()
        count = itertools.count()
        for moment in self.moments:
            for names in moment.names:
                for held in itertools.product(*(sorted(moment.contents[number]) for number in names.values())):
                    state = tuple(zip(names, held, strict=True))
                    if (state, moment.done) not in seen:
                        seen.add((state, moment.done))
                        directory = into / str(next(count))
                        directory.mkdir()
                        for name, data in state:
                            (directory / name).write_bytes(data)
                        yield directory, moment.done


@contextmanager
def traced(directory: Path, *, ignore: str = "") -> Iterator[Trace]:
    """Watch `directory`. `ignore`: ``file`` or ``directory``, syncs that do nothing, as if the code forgot them."""
    trace = Trace(directory)
    fsync, replace, unlink = os.fsync, os.replace, os.unlink

    def sync(descriptor: int) -> None:
        trace.look()
        fsync(descriptor)
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        if kind != ignore:
            trace.synced(descriptor)
        trace.look()

    def renamed(source: Any, target: Any) -> None:
        trace.look()
        replace(source, target)
        trace.look()

    def removed(path: Any) -> None:
        trace.look()
        unlink(path)
        trace.look()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "replace", renamed)
        patch.setattr(os, "unlink", removed)
        trace.look()
        for number in trace._open:
            trace._synced[number] = trace._read(number)  # what is there at the beginning is on disk
        trace.moments.clear()
        try:
            yield trace
            trace.look()
        finally:
            trace.close()
