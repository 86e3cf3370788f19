"""Key files: one secret key a role, encrypted by a passphrase, in ``DATA/keys``.

A file is the strict encoding of a `KeyFile`: scrypt stretches the passphrase, ChaCha20-Poly1305 seals the 32 secret
bytes and authenticates everything else in the file. Directory 0700, files 0600, looser modes are refused; a file
appears whole or not at all and is never overwritten. Rules K1 to K7 of ``specs/05-keys-and-processes.md``.
"""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import scrypt
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve, field, frozen

from .codec import encode
from .crypto import KEY_SIZE, SecretKey, address_of
from .errors import DecodeError, KeyStoreError
from .records import octets, pack, text, uint, unpack

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

ROLES: Final = ("account", "validator", "node", "encoder")
"""What a key may be for. Each role signs under domains of its own (`soma_core.node.signer.DOMAINS_OF`).

A node that runs several encoders has a key ``encoder-NAME`` for each: an encoder's account is its own.
"""

SCRYPT_N: Final = 1 << 15
SCRYPT_N_MAX: Final = 1 << 20
SCRYPT_R: Final = 8
SCRYPT_R_MAX: Final = 16
SCRYPT_P: Final = 1
SCRYPT_P_MAX: Final = 4
SCRYPT_MEMORY_MAX: Final = 1 << 30
"""Bytes. Stretching takes 128·n·r: 32 MiB and about 0.1 s for the files made here. A file that asks for more than this
is refused before anything is allocated."""
FILE_MAX: Final = 1024
"""Bytes of a key file; ours have about 170."""
PASSPHRASE_MAX: Final = 4096
"""Bytes of a passphrase."""

_ENCODER_ROLE: Final = re.compile(r"encoder-[a-z0-9]+(-[a-z0-9]+)*")
_SALT = 16
_NONCE = 12
_SEAL = 16
_ASK = "set SOMA_PASSPHRASE_FILE to a file with the passphrase"


@frozen
class KeyFile:
    """One key at rest: `key`, the public half, 32 bytes; `sealed`, the secret, whose seal covers every other field."""

    format: int = uint(least=1, most=1)
    role: str = text(most=64)
    key: bytes = octets(KEY_SIZE)
    n: int = uint(least=1 << 14, most=SCRYPT_N_MAX)
    r: int = uint(least=1, most=SCRYPT_R_MAX)
    p: int = uint(least=1, most=SCRYPT_P_MAX)
    salt: bytes = octets(_SALT)
    nonce: bytes = octets(_NONCE)
    sealed: bytes = octets(KEY_SIZE + _SEAL)

    @property
    def authenticated(self) -> bytes:
        """All but `sealed`, as the seal binds it."""
        return encode([self.format, self.role, self.key, self.n, self.r, self.p, self.salt, self.nonce])


@frozen
class KeyEntry:
    """What is public of a stored key: its role, 32-byte public key and file."""

    role: str
    key: bytes
    path: Path

    @property
    def address(self) -> bytes:
        """The address of the account this key owns, 32 bytes."""
        return address_of(self.key)


@frozen
class Passphrase:
    """A passphrase and where it came from: a variable's name, or the path of a file. Its repr does not show it."""

    source: str
    value: bytes = field(repr=False)


def keys_directory(data_dir: Path) -> Path:
    """Where the key files, and a development network's passphrase, of the data directory `data_dir` lie."""
    return data_dir / "keys"


def passphrase_file(data_dir: Path) -> Path:
    """Where a development network keeps a passphrase of its own: as safe as the file, and ``soma doctor`` says so."""
    return keys_directory(data_dir) / "passphrase"


def find_passphrase(data_dir: Path, *, make: bool = False) -> Passphrase:
    """The operator's passphrase: ``SOMA_PASSPHRASE_FILE``, else ``SOMA_PASSPHRASE``, else `passphrase_file`.

    One newline at the end of a file does not count. With `make`, a random one is stored in `passphrase_file` if there
    is none anywhere. Raises `KeyStoreError`.
    """
    named = os.environ.get("SOMA_PASSPHRASE_FILE")
    if named:
        return Passphrase("SOMA_PASSPHRASE_FILE", _checked(_read(Path(named), PASSPHRASE_MAX + 2), named))
    given = os.environ.get("SOMA_PASSPHRASE")
    if given is not None:
        return Passphrase("SOMA_PASSPHRASE", _checked(os.fsencode(given), "SOMA_PASSPHRASE"))
    path = passphrase_file(data_dir)
    if make:
        with _locked(keys_directory(data_dir)) as directory:
            if not path.exists():
                _write(directory, path.name, secrets.token_hex(32).encode() + b"\n")
    if not path.exists():
        raise KeyStoreError(f"no passphrase for the keys in {path.parent}", _ASK)
    return Passphrase(str(path), _checked(_read(path, PASSPHRASE_MAX + 2, private=True), str(path)))


class KeyStore:
    """The key files of one data directory. Only `create`, `ensure` and `open` need the passphrase.

    Files that one `KeyStore` makes share their salt, so that a later one stretches the passphrase once for all of them.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.directory = keys_directory(data_dir)
        self._stretched: dict[tuple[bytes, bytes, int, int, int], bytes] = {}

    def path(self, role: str) -> Path:
        """The file of the key for `role`. Raises `KeyStoreError` for a word that is no role."""
        if role not in ROLES and not _ENCODER_ROLE.fullmatch(role):
            raise KeyStoreError(f"{role!r} is not a role", f"roles are {', '.join(ROLES)} and encoder-NAME")
        return self.directory / f"{role}.key"

    def list(self) -> tuple[KeyEntry, ...]:
        """The keys that are there, in the order of `ROLES`. Public keys are as the files say, not yet authenticated."""
        named = sorted(path.stem for path in self.directory.glob("encoder-*.key") if _ENCODER_ROLE.fullmatch(path.stem))
        found = [*(role for role in ROLES if self.path(role).exists()), *named]
        return tuple(KeyEntry(role, self._load(role).key, self.path(role)) for role in found)

    def create(self, role: str, secret: SecretKey | None = None) -> KeyEntry:
        """Store `secret`, or a new key, for `role`. Raises `KeyStoreError` if there is one already: nothing changes."""
        path = self.path(role)
        passphrase = find_passphrase(self.data_dir, make=True)
        secret = secret or SecretKey.generate()
        salt = next((salt for _, salt, *_ in self._stretched), None) or secrets.token_bytes(_SALT)
        unsealed = KeyFile(
            format=1,
            role=role,
            key=secret.public,
            n=SCRYPT_N,
            r=SCRYPT_R,
            p=SCRYPT_P,
            salt=salt,
            nonce=secrets.token_bytes(_NONCE),
            sealed=bytes(KEY_SIZE + _SEAL),
        )
        cipher = self._cipher(unsealed, passphrase)
        sealed = cipher.encrypt(unsealed.nonce, secret.expose(), unsealed.authenticated)
        with _locked(self.directory) as directory:
            if path.exists():
                raise KeyStoreError(f"{path}: there is a key for {role} already", "move the file away first")
            _write(directory, path.name, pack(evolve(unsealed, sealed=sealed)))
        return KeyEntry(role, secret.public, path)

    def ensure(self, roles: Iterable[str]) -> tuple[KeyEntry, ...]:
        """The keys for `roles`; those that are missing are made. Raises `KeyStoreError`."""
        return tuple(
            KeyEntry(role, self._load(role).key, self.path(role)) if self.path(role).exists() else self.create(role)
            for role in roles
        )

    def open(self, role: str) -> SecretKey:
        """The secret key for `role`. Raises `KeyStoreError`: no file, loose modes, not a key file, wrong passphrase."""
        from cryptography.exceptions import InvalidTag

        stored, path = self._load(role), self.path(role)
        passphrase = find_passphrase(self.data_dir)
        try:
            plain = self._cipher(stored, passphrase).decrypt(stored.nonce, stored.sealed, stored.authenticated)
        except InvalidTag as error:
            raise KeyStoreError(
                f"{path}: the passphrase from {passphrase.source} does not open it, or the file was changed",
                f"check the passphrase; {_ASK}",
            ) from error
        secret = SecretKey(plain)
        if secret.public != stored.key:
            raise KeyStoreError(f"{path}: the secret in it is not that of its public key", "restore it from a backup")
        return secret

    def _load(self, role: str) -> KeyFile:
        path = self.path(role)
        if not path.exists():
            raise KeyStoreError(f"no key for {role} in {self.directory}", f"make one with `soma keys new {role}`")
        _refuse_loose(self.directory)
        try:
            stored = unpack(KeyFile, _read(path, FILE_MAX, private=True))
        except DecodeError as error:
            raise KeyStoreError(f"{path}: not a key file ({error.what})", "restore it from a backup") from error
        if stored.role != role:
            raise KeyStoreError(f"{path}: this is the key for {stored.role!r}", f"call the file {stored.role}.key")
        return stored

    def _cipher(self, stored: KeyFile, passphrase: Passphrase) -> "ChaCha20Poly1305":
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305  # not for who only lists

        n, r, p = stored.n, stored.r, stored.p
        memory = 128 * r * (n + p + 2)
        if n & (n - 1) or memory > SCRYPT_MEMORY_MAX:
            raise KeyStoreError(
                f"{self.path(stored.role)}: scrypt n={n}, r={r} is no power of two or takes more than 1 GiB",
                "restore it from a backup",
            )
        stretch = (passphrase.value, stored.salt, n, r, p)
        if stretch not in self._stretched:
            self._stretched[stretch] = scrypt(
                passphrase.value, salt=stored.salt, n=n, r=r, p=p, maxmem=memory + (1 << 20), dklen=32
            )
        return ChaCha20Poly1305(self._stretched[stretch])


def write_private(path: Path, data: bytes) -> None:
    """Store `data` as `path`, mode 0600, whole or not at all. Raises `KeyStoreError` if there is such a file."""
    with _locked(path.parent, private=False) as directory:
        if path.exists():
            raise KeyStoreError(f"{path}: there is such a file already", "name another, or move it away first")
        _write(directory, path.name, data)


def read_private(path: Path) -> bytes:
    """The bytes of a small file whose mode is 0600 or stricter. Raises `KeyStoreError`."""
    return _read(path, FILE_MAX, private=True)


def _checked(value: bytes, source: str) -> bytes:
    value = value.removesuffix(b"\n").removesuffix(b"\r")
    if not 0 < len(value) <= PASSPHRASE_MAX:
        raise KeyStoreError(f"the passphrase from {source} has {len(value)} bytes, not 1 to {PASSPHRASE_MAX}", _ASK)
    return value


def _read(path: Path, most: int, *, private: bool = False) -> bytes:
    try:
        with path.open("rb") as file:
            if private:
                _refuse_mode(path, os.fstat(file.fileno()), 0o600)
            data = file.read(most + 1)
    except OSError as error:
        raise KeyStoreError(f"{path}: cannot be read ({error.strerror})", "check who owns it") from error
    if len(data) > most:
        raise KeyStoreError(f"{path}: more than {most} bytes", "this is another kind of file; name the right one")
    return data


def _refuse_loose(directory: Path) -> None:
    _refuse_mode(directory, directory.stat(), 0o700)


def _refuse_mode(path: Path, status: os.stat_result, wanted: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyStoreError(f"{path}: others may read it (mode {mode:04o})", f"chmod {wanted:o} {path}")


@contextmanager
def _locked(directory: Path, *, private: bool = True) -> Iterator[int]:
    """An open, locked descriptor of `directory`, which is made if it is missing: one writer at a time."""
    try:
        if private:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_loose(directory)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyStoreError(f"{directory}: cannot be written ({error.strerror})", "check who owns it") from error


def _write(directory: int, name: str, data: bytes) -> None:
    draft = f".{name}.draft"
    with suppress(FileNotFoundError):  # the name is fixed: the next writer, who holds the lock, clears up after a crash
        os.unlink(draft, dir_fd=directory)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
