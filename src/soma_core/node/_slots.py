"""The durable record that prevents double signing: for each key, domain and chain the highest slot and what it signed.

That of each of the last two epochs: who has ended an epoch still makes blocks in it for those who have not. A slot
signs one digest, ever; in an epoch slots only grow; the same request again gets the same signature. The promise is on
disk before the signature leaves (`SignedSlots.commit`). Rules K13 to K15 of ``specs/05-keys-and-processes.md``.
"""

import os
import sqlite3
from pathlib import Path
from typing import Final
from zlib import crc32

from attrs import frozen

from soma_core.crypto import KEY_SIZE, SIGNATURE_SIZE
from soma_core.errors import KeyStoreError
from soma_core.records import octets, pack, text, uint

_FORMAT: Final = 2
"""The file's user_version: in format 1 a key had one slot in all its epochs."""
_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS signed (
    key BLOB, domain TEXT, chain BLOB, epoch INTEGER, slot INTEGER, digest BLOB, signature BLOB, checksum INTEGER,
    PRIMARY KEY (key, domain, chain, epoch)) STRICT, WITHOUT ROWID"""
_LATER: Final = "never delete it: sign with a new key, or wait until the epoch of any slot it can have held is over"


@frozen
class SignedSlot:
    """The highest slot of one key in one domain and epoch of one chain, the digest it signed, and the signature."""

    key: bytes = octets(KEY_SIZE)
    domain: str = text(most=16)
    chain: bytes = octets(32)
    epoch: int = uint()
    slot: int = uint()
    digest: bytes = octets(32)
    signature: bytes = octets(SIGNATURE_SIZE)

    @property
    def series(self) -> tuple[bytes, str, bytes]:
        """What has epochs of its own."""
        return self.key, self.domain, self.chain


class SignedSlots:
    """The record in the SQLite file `path`, held for this process alone. Any failed write ends its use."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        self._slots: dict[tuple[bytes, str, bytes], dict[int, SignedSlot]] = {}
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._file.close()
                raise
        except (sqlite3.Error, ValueError, TypeError, OSError) as error:
            if "locked" in str(error):
                raise KeyStoreError(f"{path}: another signer holds it", "stop the other node of these keys") from error
            raise KeyStoreError(f"{path}: the record of what was signed is damaged ({error})", _LATER) from error

    def signature(self, key: bytes, domain: str, chain: bytes, place: tuple[int, int], digest: bytes) -> bytes | None:
        """The signature that was given for this slot and digest, None for a new slot. Raises `KeyStoreError`."""
        if self._failed:
            raise KeyStoreError(f"{self._path}: could not be written, nothing more is signed", "mend the disk, restart")
        epoch, slot = place
        epochs = self._slots.get((key, domain, chain), {})
        latest = max(epochs, default=0)
        last = epochs.get(epoch)
        if epoch < latest - 1 or (last is not None and slot < last.slot):
            after = epochs[latest] if last is None else last
            raise KeyStoreError(
                f"{domain}: slot {slot} of epoch {epoch} is behind slot {after.slot} of epoch {after.epoch}",
                "slots only grow; if the node was restored from a backup, let it catch up first",
            )
        if last is None or slot > last.slot:
            return None
        if digest != last.digest:
            raise KeyStoreError(
                f"{domain}: slot {slot} of epoch {epoch} has signed something else", "one slot signs one body, ever"
            )
        return last.signature

    def promise(self, signed: SignedSlot) -> None:
        """Take `signed` into the record; it may leave after `commit`. Raises `KeyStoreError`."""
        try:
            if not self._file.in_transaction:
                self._file.execute("BEGIN IMMEDIATE")
            self._file.execute(
                "INSERT OR REPLACE INTO signed VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*signed.series, signed.epoch, signed.slot, signed.digest, signed.signature, _checksum(signed)),
            )
            self._file.execute(
                "DELETE FROM signed WHERE key = ? AND domain = ? AND chain = ? AND epoch < ?",
                (*signed.series, signed.epoch - 1),
            )
        except sqlite3.Error as error:
            raise self._fail(error) from error
        self._keep(signed)

    def commit(self) -> None:
        """Put what was promised on disk. Raises `KeyStoreError`: then nothing that was promised may leave."""
        if self._failed or not self._file.in_transaction:
            return
        try:
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _open(self) -> None:
        run = self._file.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA synchronous = EXTRA")  # FULL, and the journal of the first transaction, once deleted, stays so
        # A killed signer leaves what is seen and not on disk, names too: out of its log and in again syncs all.
        run("PRAGMA journal_mode = DELETE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves data in the drive
        (health,) = run("PRAGMA integrity_check(1)").fetchone()
        if health != "ok":
            raise ValueError(health)
        run("BEGIN IMMEDIATE")  # takes the lock even if nothing is to be made
        (version,) = run("PRAGMA user_version").fetchone()
        if version != _FORMAT and run("SELECT 1 FROM sqlite_schema").fetchone():
            raise ValueError(f"format {version}, and this is format {_FORMAT}")
        run(_SCHEMA)
        run(f"PRAGMA user_version = {_FORMAT}")
        for *fields, checksum in run("SELECT * FROM signed"):
            signed = SignedSlot(*fields)
            if _checksum(signed) != checksum:
                raise ValueError(f"the row of {signed.domain} does not match its checksum")
            self._keep(signed)
        run("COMMIT")

    def _keep(self, signed: SignedSlot) -> None:
        epochs = {**self._slots.get(signed.series, {}), signed.epoch: signed}
        self._slots[signed.series] = {epoch: kept for epoch, kept in epochs.items() if epoch >= max(epochs) - 1}

    def _fail(self, error: sqlite3.Error) -> KeyStoreError:
        self._failed = True  # what reached the disk is unknown: only a restart reads it back
        return KeyStoreError(f"{self._path}: could not be written ({error})", "nothing was signed; mend the disk")


def _checksum(signed: SignedSlot) -> int:
    return crc32(pack(signed))
