r"""The file of a store: frames, each with its length and its checksum, synced before `append` returns.

    file   HEAD  frame*
    HEAD   8s  b"SOMAVEC1"   u32 dim   u32 crc of those 12 bytes
    frame  4s  b"\xf5vf1"     u64 length   u32 crc of the body   u32 crc of those 16 bytes   body

Integers are little-endian, checksums those of zlib. Rules IX11 to IX16 of ``specs/83-indexes.md``.
"""

import errno
import mmap
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Final
from zlib import crc32

from soma_core.errors import CorruptionError

MAGIC: Final = b"SOMAVEC1"
HEAD: Final = struct.Struct("<8sII")
MARK: Final = b"\xf5vf1"
FRAME: Final = struct.Struct("<4sQII")
_AT_ONCE: Final = 1 << 20
"""Bytes that are read together."""
SECTOR: Final = 512
"""Bytes that a disk writes wholly or not at all."""
_PIECES: Final = 512
"""Buffers written by one call, below what systems allow."""

Body = Sequence[bytes | memoryview]
"""A frame's body in pieces, so that vectors are not copied to be written."""


class Log:
    """An append-only file. `dim` is 0, and there is no file, before `begin`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._failed = False
        self.dim = 0
        self.size = 0

    def read(self) -> Iterator[bytes]:
        """Opens the file, if there is one: every body, oldest first.

        A last frame of which a part was never written is cut off, and kept in a file beside; any other damage is
        `CorruptionError`, and then nothing is changed.
        """
        self._path.with_suffix(".new").unlink(missing_ok=True)  # of a `begin` that did not come to its end
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        end = os.fstat(self._file).st_size
        if end < HEAD.size:
            raise self._damaged(0)
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as data, memoryview(data) as view:
            magic, self.dim, check = HEAD.unpack_from(view)
            if magic != MAGIC or check != crc32(view[: HEAD.size - 4]):
                raise self._damaged(0)
            self.size = HEAD.size
            while (length := _whole(view, self.size)) is not None:
                start, self.size = self.size + FRAME.size, self.size + FRAME.size + length
                yield bytes(view[start : self.size])
            if self.size == end:
                return
            if not _is_torn(view, self.size) or _any_whole(data, view, self.size + 1):
                raise self._damaged(self.size)
            torn = bytes(view[self.size :])
        self._path.with_suffix(".torn").write_bytes(torn)
        os.ftruncate(self._file, self.size)
        os.fsync(self._file)

    def begin(self, dim: int, bodies: Iterable[Body]) -> None:
        """A new file that holds these, in place of the one there is, at once."""
        self._ready()
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            head = HEAD.pack(MAGIC, dim, 0)[:-4]
            size = _write(file, [head, crc32(head).to_bytes(4, "little")])
            for body in bodies:
                size += _write(file, _framed(body))
            os.fsync(file)
            new.replace(self._path)
        except BaseException:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self.dim, self.size = file, dim, size
        self._failed = True  # unless the name is on disk too
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._failed = False

    def append(self, body: Body) -> None:
        """On disk when this returns. After an `OSError` it is not, and nothing more is taken until it is opened again.

        Only a new opening knows what the disk holds after a failed write.
        """
        self._ready()
        try:
            written = _write(self._file, _framed(body))
            os.fsync(self._file)
        except BaseException:
            self._failed = True
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise
        self.size += written

    def digest(self, size: int) -> bytes:
        """Of the first `size` bytes. BLAKE2b, 16 bytes."""
        found = blake2b(digest_size=16)
        for place in range(0, size, _AT_ONCE):
            found.update(os.pread(self._file, min(_AT_ONCE, size - place), place))
        return found.digest()

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _ready(self) -> None:
        if self._failed:
            raise OSError(errno.EIO, "an earlier write failed; open the index again", str(self._path))

    def _damaged(self, place: int) -> CorruptionError:
        return CorruptionError(
            f"{self._path}: damaged at byte {place}", "restore a copy of it, or move it away; nothing was changed"
        )


def _framed(body: Body) -> list[bytes | memoryview]:
    check = 0
    for piece in body:
        check = crc32(piece, check)
    head = FRAME.pack(MARK, sum(map(len, body)), check, 0)[:-4]
    return [head, crc32(head).to_bytes(4, "little"), *body]


def _write(file: int, pieces: Sequence[bytes | memoryview]) -> int:
    """All of it; how many bytes."""
    left = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    total = sum(map(len, left))
    while left:
        written = os.writev(file, left[:_PIECES])
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]
    return total


def _whole(view: memoryview, place: int) -> int | None:
    """The length of the body of the frame at `place`, if that is there, unharmed."""
    if place + FRAME.size > len(view):
        return None
    mark, length, check, own = FRAME.unpack_from(view, place)
    start = place + FRAME.size
    if mark != MARK or own != crc32(view[place : start - 4]) or start + length > len(view):
        return None
    return length if check == crc32(view[start : start + length]) else None


def _is_torn(view: memoryview, place: int) -> bool:
    """Whether the frame at `place`, which is not whole, was not written to its end: it is too short, or lacks sectors.

    What a file system made room for and did not write is zeros. Other damage came later, to what was answered for.
    """
    if len(view) - place < FRAME.size:
        return True
    _, length, _, own = FRAME.unpack_from(view, place)
    if own == crc32(view[place : place + FRAME.size - 4]) and place + FRAME.size + length > len(view):
        return True
    ends = [*range(place - place % SECTOR + SECTOR, len(view), SECTOR), len(view)]
    return any(not any(view[start:end]) for start, end in pairwise([place, *ends]))


def _any_whole(data: mmap.mmap, view: memoryview, place: int) -> bool:
    """Whether an unharmed frame begins at `place` or later: then what is before it was not the last one."""
    while (place := data.find(MARK, place)) >= 0:
        if _whole(view, place) is not None:
            return True
        place += 1
    return False
