"""A disk in memory that loses power: what was not synced is then lost, kept or torn, sector by sector.

What programs see and what is on the platter are kept apart. Everything is decided by one seed.
"""

import errno
from itertools import pairwise
from random import Random
from typing import Final, Literal, final

from attrs import define, field

from soma_core.errors import UsageError

SECTOR: Final = 512
"""Bytes that are written whole or not at all; a larger write may be torn between any two of them."""

Fault = Literal["power", "full", "write", "sync"]
"""``power``: it goes in the middle of the operation. ``full``: no room from here on. ``write``, ``sync``: it fails."""

_Change = tuple[int, bytes] | int
"""A write at an offset, or a truncation to a size."""


class PowerLostError(OSError):
    """The disk is off. Whoever uses it has died with it."""

    def __init__(self) -> None:
        super().__init__(errno.EIO, "the power is gone")


@define(eq=False)
class _File:
    """`view`: what programs read. `durable`: what is on the platter; `named`: whether its name is there too."""

    view: bytearray = field(factory=bytearray)
    durable: bytearray = field(factory=bytearray)
    changes: list[_Change] = field(factory=list)
    named: bool = False


@final
class Disk:
    """Files by name. As on ext4, XFS and btrfs, syncing a new file puts its name on disk too.

    ``fail(n, fault)`` plans a fault; `after_power_loss` and `after_kill` give the disk of the next life.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.off = False
        self.struck = False
        """Whether the planned fault has befallen it."""
        self.operations = 0
        """Writes, truncations, syncs and deletions so far."""
        self._files: dict[str, _File] = {}
        self._deleted: list[tuple[str, _File]] = []
        self._fault: tuple[int, Fault] | None = None
        self._full = False

    def fail(self, after: int, fault: Fault) -> None:
        """Let `fault` befall the operation that follows the next `after` ones; ``write`` and ``sync`` wait for one."""
        if after < 0:
            raise UsageError(f"a fault after {after} operations", "name 0 or more")
        self._fault = (self.operations + after, fault)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        self._alive()
        return name in self._files

    def create(self, name: str) -> None:
        """An empty file, unless it is there."""
        self._alive()
        self._files.setdefault(name, _File())

    def read(self, name: str, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; fewer at the end of the file."""
        self._alive()
        return bytes(self._files[name].view[offset : offset + size])

    def size(self, name: str) -> int:
        """Bytes of the file."""
        self._alive()
        return len(self._files[name].view)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write, durable only after `sync`. Raises `OSError`: then a part may have been written."""
        file = self._files[name]
        fault = self._begin("write")
        grows = offset + len(data) > len(file.view)
        if fault in ("write", "full") or (self._full and grows):
            self._full |= fault == "full"
            part = data[: self.random.randrange(len(data) + 1)] if fault == "write" else b""
            _change(file, (offset, part))
            raise OSError(errno.EIO if fault == "write" else errno.ENOSPC, "planned", name)
        _change(file, (offset, data))
        self._end(fault)

    def truncate(self, name: str, size: int) -> None:
        """Cut the file, or lengthen it with zeros."""
        fault = self._begin("truncate")
        _change(self._files[name], size)
        self._end(fault)

    def sync(self, name: str) -> None:
        """Put the file and its name on the platter.

        Raises `OSError`: some of it may be there, the rest is forgotten, as Linux does: the next `sync` will not try
        again, though programs still read it.
        """
        file = self._files[name]
        fault = self._begin("sync")
        self._end(fault)  # when the power goes here, nothing was synced for certain
        if fault == "sync":
            file.durable = self._survivor(file)
            file.changes.clear()
            raise OSError(errno.EIO, "planned", name)
        _apply_all(file.durable, file.changes)
        file.changes.clear()
        file.named = True
        self._deleted = [(other, gone) for other, gone in self._deleted if other != name]  # names change in order

    def delete(self, name: str, *, durably: bool) -> None:
        """Remove the file; unless `durably`, it may be there again after a loss of power.

        `durably` syncs the directory, which all files share: every name is then as it is seen.
        """
        fault = self._begin("delete")
        self._deleted.append((name, self._files.pop(name)))
        self._end(fault)
        if durably:
            self._deleted.clear()
            for file in self._files.values():
                file.named = True

    def after_power_loss(self) -> "Disk":
        """The disk when the power is back: of what was not synced anything may be there. This one is off."""
        self.off = True
        found = Disk(self.random)
        for name, file in [*self._deleted, *self._files.items()]:
            certain = file.named and self._files.get(name) is file
            if certain or self.random.random() < 0.5:
                content = self._survivor(file)
                found._files[name] = _File(content, bytearray(content), named=True)
        return found

    def after_kill(self) -> "Disk":
        """The disk for the next process after this one was killed: all is as programs saw it. This one is off."""
        self.off = True
        found = Disk(self.random)
        found._files, found._deleted = self._files, self._deleted
        return found

    def _alive(self) -> None:
        if self.off:
            raise PowerLostError

    def _begin(self, what: str) -> Fault | None:
        """The fault that befalls this operation."""
        self._alive()
        self.operations += 1
        if self._fault is None or self.operations <= self._fault[0]:
            return None
        fault = self._fault[1]
        if (fault == "sync" and what != "sync") or (fault in ("write", "full") and what != "write"):
            return None
        self._fault = None
        self.struck = True
        return fault

    def _end(self, fault: Fault | None) -> None:
        if fault == "power":
            self.off = True
            raise PowerLostError

    def _survivor(self, file: _File) -> bytearray:
        """What may be on the platter if the power goes now: each unsynced change whole, in part, or not at all."""
        content = bytearray(file.durable)
        choose = self.random.choice((_none, _all, self._first_ones, self._any))
        _apply_all(content, choose(file.changes))
        return content

    def _first_ones(self, changes: list[_Change]) -> list[_Change]:
        """In order, up to a torn one."""
        end = self.random.randrange(len(changes) + 1)
        return [*changes[:end], *self._any(changes[end : end + 1])]

    def _any(self, changes: list[_Change]) -> list[_Change]:
        """Any sectors of any of them."""
        kept: list[_Change] = []
        for change in changes:
            if isinstance(change, int):
                kept += [change] if self.random.random() < 0.5 else []
            else:
                kept += [piece for piece in _sectors(*change) if self.random.random() < 0.5]
        return kept


def _none(_changes: list[_Change]) -> list[_Change]:
    return []


def _all(changes: list[_Change]) -> list[_Change]:
    return changes


def _sectors(offset: int, data: bytes) -> list[_Change]:
    """A write cut where the sectors of the disk end."""
    cuts = [0, *range(SECTOR - offset % SECTOR, len(data), SECTOR), len(data)]
    return [(offset + a, data[a:b]) for a, b in pairwise(cuts) if a < b]


def _change(file: _File, change: _Change) -> None:
    file.changes.append(change)
    _apply(file.view, change)


def _apply_all(content: bytearray, changes: list[_Change]) -> None:
    for change in changes:
        _apply(content, change)


def _apply(content: bytearray, change: _Change) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
    else:
        offset, data = change
        content.extend(bytes(max(0, offset - len(content))))
        content[offset : offset + len(data)] = data
