"""A backup: one file from which the chain of a node is there again, whatever ledger it is kept in.

``soma-backup/1`` is frames, each four bytes of length (big endian) and the strict encoding of an array: first
``about``, then files of the data directory in pieces and the entries of the chain's ledger, at last ``end`` with the
digest of all bytes before its frame. What stands in it was in the ledger at one moment. Never in it: the consensus
database, the record of what was signed, a passphrase. Rules O14 to O17 of ``specs/40-node.md``.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, final

from attrs import frozen

from soma_core import __version__, chain, codec
from soma_core.api import Ledger, Reader
from soma_core.errors import CorruptionError, DecodeError, StorageError, UsageError
from soma_core.genesis import Genesis
from soma_core.keystore import KeyStore
from soma_core.records import octets, pack, structure, text, to_value, uint, unpack

from . import directory as places
from .durable import sync_directory
from .store import REPAIR, TIP, Store
from .submitting import SealedSubmission

FORMAT: Final = "soma-backup/1"
PIECE: Final = 512 << 10
"""Bytes of a file in one frame."""
MAX_BACKUP_FRAME: Final = 2 << 20
"""Bytes of a frame, checked before any memory is taken for it."""
BATCH: Final = 1 << 20
"""Bytes that a restoring ledger is given at a time."""

_LENGTH: Final = 4
_EVERYTHING: Final = b"", b"\xff"
_PATHS: Final = re.compile(
    r"genesis\.cbor|blobs/[0-9a-f]{64}(\.manifest)?|answers/[a-z0-9-]+/[0-9a-f]{64}"
    r"|verdicts/[a-z]+-[0-9a-f]{64}[a-z0-9-]*|submissions/[0-9]{1,19}|canaries/[a-z0-9-]+|keys/[a-z0-9_-]+\.key"
)
_OTHER: Final = "take another backup: nothing was restored"


@frozen(kw_only=True)
class About:
    """The first frame. `index`, `record`: the last commit and the digest of its record. `keys`: whether they are in."""

    format: str = text()
    version: str = text()
    chain: bytes = octets(32)
    index: int = uint()
    record: bytes = octets(32)
    keys: bool = False


def sealed_answers(data_dir: Path) -> dict[str, bytes]:
    """What encoders, a validator in audits and an account in the race sealed: path below `data_dir` → content.

    To be read where commits are applied, at the moment that is backed up: an answer goes when its job is over.
    """
    found = {}
    sealed = (places.ANSWERS, "*/*"), (places.VERDICTS, "*"), (places.SUBMISSIONS, "*"), (places.CANARIES, "*")
    for path in sorted(path for place, names in sealed for path in (data_dir / place).glob(names)):
        name = path.relative_to(data_dir).as_posix()
        if _PATHS.fullmatch(name):
            with suppress(FileNotFoundError):
                found[name] = path.read_bytes()
    return found


def write_backup(
    target: Path, data_dir: Path, genesis: Genesis, reader: Reader, answers: Mapping[str, bytes], *, keys: bool
) -> About:
    """Write what `reader` sees at one moment, and the files that open jobs need, as the file `target`, mode 0600.

    `answers`: the `sealed_answers` of that moment.
    The file is there whole or not at all. Raises `UsageError` if there is one of that name, `StorageError` if the disk
    does not take it.
    """
    if target.exists():
        raise UsageError(f"{target}: there is a file already", "name another one, or move it away")
    tip = unpack(chain.Tip, reader.get(TIP) or b"")
    about = About(
        format=FORMAT, version=__version__, chain=genesis.chain, index=tip.index, record=tip.record, keys=keys
    )
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:  # noqa: PTH123
            frames = _Frames(file)
            frames.put("about", to_value(about))
            frames.put("file", places.GENESIS, pack(genesis))
            for path in _files(data_dir, reader, answers, keys=keys):
                frames.put_file(data_dir, path)
            for name, answer in answers.items():
                frames.put("file", name, answer)
            for key, value in reader.scan(*_EVERYTHING):
                frames.put("entry", key, value)
            frames.end()
            file.flush()
            os.fsync(file.fileno())
        draft.rename(target)
        sync_directory(target.parent)
    except OSError as error:
        raise StorageError(f"{target}: {error.strerror}", "make room, or name a file on another disk") from error
    finally:
        draft.unlink(missing_ok=True)
    return about


def check_backup(source: Path) -> About:
    """Read all of `source` and hold it against its digest. Raises `DecodeError`, or `UsageError` if there is none."""
    frames = _frames(source)
    kind, *fields = next(frames)
    if kind != "about" or len(fields) != 1:
        raise DecodeError(f"{source}: it does not begin as a backup does", _OTHER)
    about = structure(About, fields[0])
    if about.format != FORMAT:
        raise DecodeError(f"{source}: its format is {about.format}, not {FORMAT}", "use the release that wrote it")
    for _ in frames:
        pass
    return about


def restore_files(source: Path, directory: Path) -> None:
    """Write the files of a checked backup below `directory`."""
    for kind, *fields in _frames(source):
        match kind, fields:
            case "file", [str(name), bytes(piece)] if _PATHS.fullmatch(name):
                path = directory / name
                places.make(path.parent)
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                with open(os.open(path, flags, 0o600), "ab") as file:  # noqa: PTH123  # a descriptor, not a path
                    file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
            case "file", _:
                raise DecodeError(f"{source}: it names a file that no backup has", _OTHER)


def restore_entries(source: Path, ledger: Ledger) -> None:
    """Write the entries of a checked backup into an empty `ledger`."""
    batch: dict[bytes, bytes | None] = {}
    size = 0
    for kind, *fields in _frames(source):
        match kind, fields:
            case "entry", [bytes(key), bytes(value)]:
                batch[key] = value
                size += len(key) + len(value)
            case "entry", _:
                raise DecodeError(f"{source}: an entry is no key and value", _OTHER)
        if size >= BATCH:
            ledger.write(batch)
            batch, size = {}, 0
    ledger.write(batch)


def check_restored(store: Store, about: About) -> None:
    """Hold an opened store, whose state and supply are checked, against what the backup says, and record to record."""
    if (store.tip.index, store.tip.record) != (about.index, about.record):
        raise CorruptionError(f"the backup says commit {about.index}, its ledger commit {store.tip.index}", REPAIR)
    previous: bytes | None = None
    for index in range(about.index + 1):
        record = store.record(index)
        if record is None or record.index != index or (previous is not None and record.previous != previous):
            raise CorruptionError(f"record {index} does not follow the one before", REPAIR)
        previous = chain.record_digest(record)
    if previous != about.record:
        raise CorruptionError(f"record {about.index} is not the one that the backup names", REPAIR)


def _files(data_dir: Path, reader: Reader, answers: Mapping[str, bytes], *, keys: bool) -> Iterator[str]:
    """The data of open jobs, of hits that are not paid and of what is submitted, as far as they are here; the keys."""
    state = chain.State(reader)
    wanted = {job.blob for _, job in state.scan(chain.JOBS)} | {hit.blob for _, hit in state.scan(chain.HITS)}
    wanted |= {submission.blob for _, submission in state.scan(chain.SUBMISSIONS) if submission.blob}
    for path, content in answers.items():
        if path.startswith(places.SUBMISSIONS):
            wanted.add(unpack(SealedSubmission, content).blob)
    for blob in sorted(wanted):
        name = f"{places.BLOBS}/{blob.hex()}"
        if (data_dir / name).exists():
            yield f"{name}.manifest"
            yield name
    if keys:
        for entry in KeyStore(data_dir).list():
            yield entry.path.relative_to(data_dir).as_posix()


@final
class _Frames:
    """Writes frames and sums them up."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = _new_sum()

    def put(self, *fields: codec.Value) -> None:
        data = codec.encode(list(fields))
        frame = len(data).to_bytes(_LENGTH, "big") + data
        self._sum.update(frame)
        self._file.write(frame)

    def put_file(self, data_dir: Path, name: str) -> None:
        """A file in pieces. One that has gone meanwhile is of a job that is over, and left out."""
        try:
            with (data_dir / name).open("rb") as file:
                while piece := file.read(PIECE):
                    self.put("file", name, piece)
        except FileNotFoundError:
            return

    def end(self) -> None:
        self.put("end", self._sum.digest())


def _frames(source: Path) -> Iterator[list[codec.Value]]:
    """All frames but the last, which has to be ``end`` with the digest of them."""
    total = _new_sum()
    try:
        with source.open("rb") as file:
            while True:
                head = file.read(_LENGTH)
                size = int.from_bytes(head, "big")
                if len(head) < _LENGTH or not 0 < size <= MAX_BACKUP_FRAME:
                    raise DecodeError(f"{source}: it ends early, or is no backup", _OTHER)
                data = file.read(size)
                if len(data) < size:
                    raise DecodeError(f"{source}: it ends early", _OTHER)
                match codec.decode(data, max_size=MAX_BACKUP_FRAME):
                    case ["end", bytes(digest)]:
                        if digest != total.digest() or file.read(1):
                            raise DecodeError(f"{source}: it is damaged", _OTHER)
                        return
                    case [str(), *_] as fields:
                        yield fields
                    case _:
                        raise DecodeError(f"{source}: this is no backup", _OTHER)
                total.update(head + data)
    except FileNotFoundError as error:
        raise UsageError(f"{source}: there is no such file", "name a backup") from error
    except OSError as error:
        raise StorageError(f"{source}: {error.strerror}", "mend the disk, or read it from another one") from error


def _new_sum() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=32, person=b"soma/backup")
