"""Blobs: data by digest, in chunks that are checked one by one, on disk. Rules N34 to N41 of ``specs/50-network.md``.

A blob's digest covers its size and the digests of its 256 KiB chunks, so that every chunk can be checked when it comes,
and a fetch that was cut off goes on with the chunks it has.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

import attrs
from attrs import frozen

from soma_core import records
from soma_core.crypto import digest
from soma_core.errors import CorruptionError, DecodeError, RefusedError

from ._shelf import Shelf

CHUNK_SIZE: Final = 256 << 10
"""Bytes of every chunk but the last."""
MAX_BLOB: Final = 64 << 20
"""Bytes of a blob."""
MAX_TOTAL: Final = 8 << 30
"""Bytes a store keeps, begun blobs with their whole size included."""
KEEP_FOR: Final = 3600
"""Seconds after its last use for which a whole blob is never dropped, and after which a begun one is given up."""

_FILE: Final = re.compile(r"[0-9a-f]{64}(\.manifest|\.part)?|\.[0-9a-f]{64}(\.manifest|\.part)?\.[0-9a-f]{8}")
"""Files of a store, and drafts of them."""


@frozen
class Manifest:
    """What a blob consists of. `chunks`: the chunks' digests, 32 bytes each, joined."""

    size: int = records.uint(least=1, most=MAX_BLOB)
    chunks: bytes = records.octets(most=32 * (MAX_BLOB // CHUNK_SIZE))

    @chunks.validator
    def _fits(self, _attribute: "attrs.Attribute[bytes]", value: bytes) -> None:
        if len(value) != 32 * -(-self.size // CHUNK_SIZE):
            raise ValueError(f"chunks: {len(value)} bytes of digests for {self.size} bytes of data")

    @property
    def digest(self) -> bytes:
        """The blob's digest, 32 bytes."""
        return digest("soma/blob", records.pack(self))

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return len(self.chunks) // 32

    def length(self, place: int) -> int:
        """Bytes of the chunk at `place`."""
        return min(CHUNK_SIZE, self.size - place * CHUNK_SIZE)

    def holds(self, place: int, data: bytes) -> bool:
        """Whether `data` is the chunk at `place`."""
        wanted = self.chunks[32 * place : 32 * place + 32]
        return len(data) == self.length(place) and digest("soma/chunk", data) == wanted


def manifest_of(data: bytes) -> Manifest:
    """The manifest of `data`, which is not empty. Raises `RefusedError` if it is, or is too long."""
    if not 0 < len(data) <= MAX_BLOB:
        raise RefusedError(f"a blob of {len(data)} bytes", f"a blob has 1 to {MAX_BLOB} bytes")
    pieces = (data[at : at + CHUNK_SIZE] for at in range(0, len(data), CHUNK_SIZE))
    return Manifest(len(data), b"".join(digest("soma/chunk", piece) for piece in pieces))


@final
class BlobStore:
    """Blobs in a directory: ``HEX`` is a whole blob, ``HEX.manifest`` what it consists of, ``HEX.part`` a begun one.

    Blocking, but for `has`; safe from several threads. The directory is this store's alone. A name appears when what it
    names is whole and on disk. When there is no room, begun blobs go first, then whole ones, the longest unused before
    others; a whole blob used within `keep_for` seconds stays, and what is new is refused instead. With `keep_for` at
    least as long as a job may last, no blob of an open job is ever dropped.

    `max_blob`, `max_total`: bytes. `clock`: seconds of UTC.
    """

    def __init__(
        self,
        directory: Path,
        *,
        max_blob: int = MAX_BLOB,
        max_total: int = MAX_TOTAL,
        keep_for: float = KEEP_FOR,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self.max_blob = min(max_blob, MAX_BLOB)
        self._keep_for = keep_for
        self._clock = clock
        self._lock = threading.RLock()
        self._whole, self._begun = Shelf(), Shelf()
        self._max_total = max_total
        self._load()

    def put(self, data: bytes) -> bytes:
        """Store `data`; its digest. Raises `RefusedError` if it is empty or longer than `max_blob`, or has no room."""
        if len(data) > self.max_blob:
            raise RefusedError(f"a blob of {len(data)} bytes", f"this network takes at most {self.max_blob}")
        manifest = manifest_of(data)
        name = manifest.digest
        with self._lock, _disk():
            if name in self._whole and self._read(name) == data:
                self._use(name)
                return name
            self._drop(name)
            self._make_room(manifest.size, name)
            self._write(self._path(name, ".manifest"), records.pack(manifest))
            self._write(self._path(name), data)
            self._whole.put(name, manifest.size, self._clock())
            self._use(name)
        return name

    def has(self, name: bytes) -> bool:
        """Whether the whole blob is here. Does not block."""
        return name in self._whole

    def get(self, name: bytes) -> bytes:
        """The blob, checked. Raises `RefusedError` if it is not here, `CorruptionError` (and drops it) if it rotted."""
        data = self._read(name)
        if not 0 < len(data) <= MAX_BLOB or manifest_of(data).digest != name:
            raise self._rotten(name)
        self._use(name)
        return data

    def manifest(self, name: bytes) -> Manifest | None:
        """What the blob, whole or begun, consists of, if that is known here."""
        try:
            found = records.unpack(Manifest, self._path(name, ".manifest").read_bytes())
        except (FileNotFoundError, DecodeError):
            return None
        return found if found.digest == name else None

    def chunk(self, name: bytes, place: int) -> bytes:
        """One chunk of a whole blob, checked. Raises as `get`, and `RefusedError` for a place it does not have."""
        if name not in self._whole:
            raise _absent(name)
        manifest = self.manifest(name)
        if manifest is None:
            raise self._rotten(name)
        if not 0 <= place < manifest.count:
            raise RefusedError(
                f"blob {name.hex()[:12]} has {manifest.count} chunks, not one at {place}", "ask for less"
            )
        data = self._read(name, place * CHUNK_SIZE, CHUNK_SIZE)
        if not manifest.holds(place, data):
            raise self._rotten(name)
        self._use(name)
        return data

    def begin(self, manifest: Manifest) -> set[int]:
        """Begin a blob, or go on with it: the places of the chunks that are missing.

        Raises `RefusedError` if the blob is longer than `max_blob`, or has no room.
        """
        name = manifest.digest
        if manifest.size > self.max_blob:
            raise RefusedError(
                f"blob {name.hex()[:12]} has {manifest.size} bytes", f"this network takes at most {self.max_blob}"
            )
        with self._lock, _disk():
            if name in self._whole:
                return set()
            if name not in self._begun:
                self._make_room(manifest.size, name)
                self._write(self._path(name, ".manifest"), records.pack(manifest))
                self._write(self._path(name, ".part"), b"")
            self._begun.put(name, manifest.size, self._clock())
            missing = set(range(manifest.count))
            with self._part(manifest) as descriptor:
                for place in range(manifest.count):
                    if manifest.holds(place, os.pread(descriptor, manifest.length(place), place * CHUNK_SIZE)):
                        missing.discard(place)
            return missing

    def fill(self, manifest: Manifest, place: int, data: bytes) -> None:
        """Put a chunk, which the caller has checked, into a begun blob. Raises `RefusedError` if it was dropped."""
        with self._lock:
            if manifest.digest in self._whole:
                return
            with self._part(manifest) as descriptor:
                view = memoryview(data)
                while view:
                    view = view[os.pwrite(descriptor, view, place * CHUNK_SIZE + len(data) - len(view)) :]
            self._begun.put(manifest.digest, manifest.size, self._clock())

    def finish(self, manifest: Manifest) -> None:
        """Check a begun blob whose chunks are all there, and make it whole.

        Raises `CorruptionError` (and drops it) if the disk did not keep it, `RefusedError` if it was dropped before.
        """
        name = manifest.digest
        with self._lock, _disk():
            if name in self._whole:
                return
            with self._part(manifest) as descriptor:
                data = os.pread(descriptor, manifest.size + 1, 0)
                if len(data) != manifest.size or manifest_of(data) != manifest:
                    raise self._rotten(name)
                os.fsync(descriptor)
            self._path(name, ".part").replace(self._path(name))
            self._sync_directory()
            self._begun.take(name)
            self._whole.put(name, manifest.size, self._clock())
            self._use(name)

    def _load(self) -> None:
        """Take up what an earlier run has left; drop drafts, begun blobs given up, and what belongs to no blob."""
        now = self._clock()
        with os.scandir(self._directory) as entries:
            found = {entry.name: entry.stat() for entry in entries if _FILE.fullmatch(entry.name)}
        for file, status in sorted(found.items(), key=lambda item: item[1].st_mtime):
            stem, _, suffix = file.partition(".")
            used = min(status.st_mtime, now)
            if not suffix and f"{stem}.manifest" in found:
                self._whole.put(bytes.fromhex(stem), status.st_size, used)
            elif suffix == "part" and stem not in found and now - used <= self._keep_for:
                manifest = self.manifest(bytes.fromhex(stem))
                if manifest is not None:
                    self._begun.put(bytes.fromhex(stem), manifest.size, used)
        wanted = {name.hex() + suffix for name in self._whole for suffix in ("", ".manifest")}
        wanted |= {name.hex() + suffix for name in self._begun for suffix in (".part", ".manifest")}
        for file in found.keys() - wanted:
            (self._directory / file).unlink(missing_ok=True)

    def _make_room(self, size: int, spared: bytes) -> None:
        """Drop what may go until `size` bytes more fit. Raises `RefusedError` if they cannot; whole blobs then stay."""
        now = self._clock()
        for name in list(self._begun.unused_since(now - self._keep_for)):
            self._drop(name)
        short = self._whole.total + self._begun.total + Shelf.weight(size) - self._max_total
        going: list[bytes] = []
        for shelf, until in ((self._begun, now + 1), (self._whole, now - self._keep_for)):
            for name in shelf.unused_since(until):
                if short > 0 and name != spared:
                    going.append(name)
                    short -= shelf.weight_of(name)
        if short > 0:
            raise RefusedError(
                f"the store of blobs is full: {self._max_total} bytes, all in use", "try again later, or free space"
            )
        for name in going:
            self._drop(name)

    def _drop(self, name: bytes) -> None:
        with self._lock:
            self._whole.take(name)
            self._begun.take(name)
            for suffix in ("", ".part", ".manifest"):
                self._path(name, suffix).unlink(missing_ok=True)

    def _use(self, name: bytes) -> None:
        with self._lock:
            if name in self._whole:
                now = self._clock()
                self._whole.use(name, now)
                os.utime(self._path(name), (now, now))

    def _rotten(self, name: bytes) -> CorruptionError:
        self._drop(name)
        return CorruptionError(f"blob {name.hex()[:12]} is not what it was", "it was dropped; get it again")

    def _read(self, name: bytes, offset: int = 0, size: int = MAX_BLOB + 1) -> bytes:
        """Bytes of a whole blob. A file that somebody took away is forgotten."""
        with _disk():
            try:
                with self._path(name).open("rb") as file:
                    file.seek(offset)
                    return file.read(size)
            except FileNotFoundError:
                self._drop(name)
                raise _absent(name) from None

    @contextmanager
    def _part(self, manifest: Manifest) -> Iterator[int]:
        """The begun blob's file, open for reading and writing. The lock is held."""
        name = manifest.digest
        with _disk():
            try:
                descriptor = os.open(self._path(name, ".part"), os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                self._begun.take(name)
                raise RefusedError(
                    f"what had come of blob {name.hex()[:12]} was dropped to make room", "get it again"
                ) from None
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _path(self, name: bytes, suffix: str = "") -> Path:
        return self._directory / f"{name.hex()}{suffix}"

    def _write(self, path: Path, data: bytes) -> None:
        """A file that appears whole, or not at all."""
        draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        self._sync_directory()

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _disk() -> Iterator[None]:
    """A disk that is full or broken refuses a blob; it does not stop the node."""
    try:
        yield
    except OSError as error:
        raise RefusedError(f"the disk failed a blob: {error.strerror}", "see whether it is full, or broken") from error


def _absent(name: bytes) -> RefusedError:
    return RefusedError(f"blob {name.hex()[:12]} is not here", "ask another peer")
