"""Blobs: data by digest, in chunks that are checked one by one, on disk and from peers (``specs/50-network.md``).

A blob's digest covers its size and the digests of its 256 KiB chunks, so that every chunk can be checked when it comes,
and a fetch that was cut off goes on with the chunks it has.
"""

import os
from pathlib import Path
from typing import Final, final

import attrs
from attrs import frozen

from soma_core import records
from soma_core.crypto import digest
from soma_core.errors import CorruptionError, DecodeError, RefusedError

CHUNK: Final = 256 << 10
"""Bytes of every chunk but the last."""
MAX_BLOB: Final = 64 << 20
MAX_TOTAL: Final = 8 << 30
"""Bytes a store keeps; beyond it the blobs that were longest not used are dropped."""


@frozen
class Manifest:
    """What a blob consists of. `chunks`: the chunks' digests, 32 bytes each, joined."""

    size: int = records.uint(least=1, most=MAX_BLOB)
    chunks: bytes = records.octets(most=32 * (MAX_BLOB // CHUNK))

    @chunks.validator
    def _fits(self, _attribute: "attrs.Attribute[bytes]", value: bytes) -> None:
        if len(value) != 32 * -(-self.size // CHUNK):
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
        return min(CHUNK, self.size - place * CHUNK)

    def holds(self, place: int, data: bytes) -> bool:
        """Whether `data` is the chunk at `place`."""
        wanted = self.chunks[32 * place : 32 * place + 32]
        return len(data) == self.length(place) and digest("soma/chunk", data) == wanted


def manifest_of(data: bytes) -> Manifest:
    """The manifest of `data`, which is not empty. Raises `RefusedError` if it is, or is too long."""
    if not 0 < len(data) <= MAX_BLOB:
        raise RefusedError(f"a blob of {len(data)} bytes", f"a blob has 1 to {MAX_BLOB} bytes")
    pieces = (data[at : at + CHUNK] for at in range(0, len(data), CHUNK))
    return Manifest(len(data), b"".join(digest("soma/chunk", piece) for piece in pieces))


@final
class BlobStore:
    """Blobs in a directory: ``HEX`` is a whole blob, ``HEX.manifest`` what it consists of, ``HEX.part`` a begun one.

    Blocking; safe from several threads, because every file appears whole.
    """

    def __init__(self, directory: Path, *, max_blob: int = MAX_BLOB, max_total: int = MAX_TOTAL) -> None:
        self._directory = directory
        self.max_blob = min(max_blob, MAX_BLOB)
        self._max_total = max_total

    def put(self, data: bytes) -> bytes:
        """Store `data`; its digest. Raises `RefusedError` if it is empty or longer than `max_blob`."""
        if len(data) > self.max_blob:
            raise RefusedError(f"a blob of {len(data)} bytes", f"this network takes at most {self.max_blob}")
        manifest = manifest_of(data)
        name = manifest.digest
        if not self.has(name):
            self._write(self._path(name, ".manifest"), records.pack(manifest))
            self._write(self._path(name), data)
            self._make_room(name)
        return name

    def has(self, name: bytes) -> bool:
        """Whether the whole blob is here."""
        return self._path(name).exists()

    def get(self, name: bytes) -> bytes:
        """The blob, checked. Raises `RefusedError` if it is not here, `CorruptionError` (and drops it) if it has rotted."""
        manifest = self.manifest(name)
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise _absent(name) from None
        if manifest is None or manifest_of(data) != manifest:
            path.unlink(missing_ok=True)
            raise CorruptionError(f"blob {name.hex()[:12]} is not what it was", "it was dropped; get it again")
        os.utime(path)
        return data

    def manifest(self, name: bytes) -> Manifest | None:
        """What the blob consists of, if that is known here."""
        try:
            found = records.unpack(Manifest, self._path(name, ".manifest").read_bytes())
        except (FileNotFoundError, DecodeError):
            return None
        return found if found.digest == name else None

    def chunk(self, name: bytes, place: int) -> bytes:
        """One chunk of a whole blob, checked. Raises as `get`."""
        manifest = self.manifest(name)
        if manifest is None or not 0 <= place < manifest.count:
            raise _absent(name)
        try:
            with self._path(name).open("rb") as file:
                file.seek(place * CHUNK)
                data = file.read(CHUNK)
        except FileNotFoundError:
            raise _absent(name) from None
        if not manifest.holds(place, data):
            self._path(name).unlink(missing_ok=True)
            raise CorruptionError(f"blob {name.hex()[:12]} is not what it was", "it was dropped; get it again")
        return data

    def begin(self, manifest: Manifest) -> set[int]:
        """Begin a blob, or go on with it: the places of the chunks that are missing."""
        name = manifest.digest
        self._write(self._path(name, ".manifest"), records.pack(manifest))
        missing = set(range(manifest.count))
        try:
            with self._path(name, ".part").open("rb") as file:
                for place in range(manifest.count):
                    file.seek(place * CHUNK)
                    if manifest.holds(place, file.read(manifest.length(place))):
                        missing.discard(place)
        except FileNotFoundError:
            self._path(name, ".part").touch(mode=0o600)
        return missing

    def fill(self, manifest: Manifest, place: int, data: bytes) -> None:
        """Put a checked chunk into a begun blob."""
        with self._path(manifest.digest, ".part").open("r+b") as file:
            file.seek(place * CHUNK)
            file.write(data)

    def finish(self, manifest: Manifest) -> None:
        """Check a begun blob whose chunks are all there, and make it whole. Raises `CorruptionError`."""
        name = manifest.digest
        part = self._path(name, ".part")
        data = part.read_bytes()
        if manifest_of(data) != manifest:
            part.unlink()
            raise CorruptionError(f"blob {name.hex()[:12]} did not reach the disk whole", "get it again")
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(self._path(name))
        self._make_room(name)

    def _path(self, name: bytes, suffix: str = "") -> Path:
        return self._directory / f"{name.hex()}{suffix}"

    def _write(self, path: Path, data: bytes) -> None:
        draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    def _make_room(self, spared: bytes) -> None:
        """Drop what was longest not used while there is more than `max_total`."""
        whole = [(p.stat().st_mtime_ns, p.stat().st_size, p) for p in self._directory.iterdir() if len(p.name) == 64]
        total = sum(size for _, size, _ in whole)
        for _, size, path in sorted(whole):
            if total <= self._max_total:
                return
            if path.name != spared.hex():
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}.manifest").unlink(missing_ok=True)
                total -= size


def _absent(name: bytes) -> RefusedError:
    return RefusedError(f"blob {name.hex()[:12]} is not here", "ask another peer")
