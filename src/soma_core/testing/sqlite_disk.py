"""SQLite on a model disk: a VFS in Python, for the very library that this interpreter's `sqlite3` uses.

While `sqlite_on(disk)` is entered, every database that is opened lies on `disk`, whoever opens it: a component under
test needs no change. https://www.sqlite.org/vfs.html
"""

import ctypes
import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, c_char_p, c_double, c_int, c_int64, c_void_p, memmove
from functools import partial
from itertools import count
from typing import Any, Final, final

from attrs import define, field

from soma_core.errors import UsageError

from .disk import Disk

_OK, _ERROR, _BUSY, _IOERR, _NOTFOUND, _FULL, _CANTOPEN = 0, 1, 5, 10, 12, 13, 14
_IOERR_READ, _SHORT_READ, _IOERR_WRITE, _IOERR_FSYNC = 266, 522, 778, 1034
_CREATE, _DELETE_ON_CLOSE = 0x4, 0x8
_SHARED, _RESERVED, _EXCLUSIVE = 1, 2, 4
_SHM_UNLOCK, _SHM_SHARED = 1, 4
_POWERSAFE_OVERWRITE: Final = 0x1000
"""A write changes no byte beside those it writes: so `Disk` does, and so today's disks do."""

_Function = ctypes.CFUNCTYPE
_NAME: Final = b"soma-model-disk"


class _FileStruct(Structure):
    _fields_ = (("methods", c_void_p), ("handle", c_int64))


class _Methods(Structure):
    """``sqlite3_io_methods``, version 2: with the shared memory that a write-ahead log needs."""

    _fields_ = (
        ("version", c_int),
        ("close", _Function(c_int, c_void_p)),
        ("read", _Function(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("write", _Function(c_int, c_void_p, c_void_p, c_int, c_int64)),
        ("truncate", _Function(c_int, c_void_p, c_int64)),
        ("sync", _Function(c_int, c_void_p, c_int)),
        ("file_size", _Function(c_int, c_void_p, POINTER(c_int64))),
        ("lock", _Function(c_int, c_void_p, c_int)),
        ("unlock", _Function(c_int, c_void_p, c_int)),
        ("check_reserved_lock", _Function(c_int, c_void_p, POINTER(c_int))),
        ("file_control", _Function(c_int, c_void_p, c_int, c_void_p)),
        ("sector_size", _Function(c_int, c_void_p)),
        ("device_characteristics", _Function(c_int, c_void_p)),
        ("shm_map", _Function(c_int, c_void_p, c_int, c_int, c_int, POINTER(c_void_p))),
        ("shm_lock", _Function(c_int, c_void_p, c_int, c_int, c_int)),
        ("shm_barrier", _Function(None, c_void_p)),
        ("shm_unmap", _Function(c_int, c_void_p, c_int)),
    )


class _VfsStruct(Structure):
    """``sqlite3_vfs``, version 2."""

    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("max_pathname", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", _Function(c_int, c_void_p, c_char_p, c_void_p, c_int, POINTER(c_int))),
        ("delete", _Function(c_int, c_void_p, c_char_p, c_int)),
        ("access", _Function(c_int, c_void_p, c_char_p, c_int, POINTER(c_int))),
        ("full_pathname", _Function(c_int, c_void_p, c_char_p, c_int, c_void_p)),
        ("dl_open", c_void_p),
        ("dl_error", c_void_p),
        ("dl_sym", c_void_p),
        ("dl_close", c_void_p),
        ("randomness", _Function(c_int, c_void_p, c_int, c_void_p)),
        ("sleep", _Function(c_int, c_void_p, c_int)),
        ("current_time", _Function(c_int, c_void_p, POINTER(c_double))),
        ("last_error", _Function(c_int, c_void_p, c_int, c_void_p)),
        ("current_time_64", _Function(c_int, c_void_p, POINTER(c_int64))),
    )


@define(eq=False)
class _Shared:
    """What all connections to one file share: who holds which lock, and the index of the write-ahead log."""

    levels: dict[int, int] = field(factory=dict)
    index_locks: dict[int, dict[int, int]] = field(factory=dict)
    regions: list[Any] = field(factory=list)


@define(eq=False)
class _Handle:
    name: str
    shared: _Shared
    delete_on_close: bool


@final
class _Vfs:
    """The callbacks. What goes wrong in one of them that no disk does is kept in `unexpected`."""

    def __init__(self, disk: Disk) -> None:
        self.unexpected: list[BaseException] = []
        self._disk = disk
        self._handles: dict[int, _Handle] = {}
        self._shared: dict[str, _Shared] = {}
        self._numbers = count(1)
        self._methods = _Methods(2, *map(self._guarded, _METHODS, [kind for _, kind in _Methods._fields_[1:]]))
        calls = {name: self._guarded(name, kind) for name, kind in _VfsStruct._fields_ if name in _CALLS}
        self.struct = _VfsStruct(2, ctypes.sizeof(_FileStruct), 1024, None, _NAME, None, **calls)

    def _guarded(self, name: str, kind: Any) -> Any:
        return kind(partial(self._call, getattr(self, f"_{name}"), _ERRORS.get(name, _IOERR)))

    def _call(self, work: Callable[..., int | None], code: int, _self: int, *arguments: Any) -> int:
        try:
            return work(_self, *arguments) or _OK
        except OSError as error:
            return _FULL if error.errno == errno.ENOSPC else code
        except BaseException as error:  # noqa: BLE001  # ctypes would print it and go on with 0
            self.unexpected.append(error)
            return _ERROR

    def _at(self, file: int) -> _Handle:
        return self._handles[_FileStruct.from_address(file).handle]

    def _open(self, _vfs: int, name: bytes | None, file: int, flags: int, out: Any) -> int:
        struct = _FileStruct.from_address(file)
        struct.methods = None
        number = next(self._numbers)
        path = name.decode() if name else f"temporary-{number}"
        if not self._disk.exists(path):
            if not flags & _CREATE:
                return _CANTOPEN
            self._disk.create(path)
        self._handles[number] = _Handle(path, self._shared.setdefault(path, _Shared()), bool(flags & _DELETE_ON_CLOSE))
        struct.methods, struct.handle = ctypes.addressof(self._methods), number
        if out:
            out[0] = flags
        return _OK

    def _delete(self, _vfs: int, name: bytes, durably: int) -> int:
        if not self._disk.exists(name.decode()):
            return _IOERR | 23 << 8  # SQLITE_IOERR_DELETE_NOENT
        self._disk.delete(name.decode(), durably=bool(durably))
        return _OK

    def _access(self, _vfs: int, name: bytes, _flags: int, out: Any) -> None:
        out[0] = self._disk.exists(name.decode())

    def _full_pathname(self, _vfs: int, name: bytes, room: int, out: int) -> int:
        if len(name) >= room:
            return _CANTOPEN
        memmove(out, name + b"\0", len(name) + 1)
        return _OK

    def _randomness(self, _vfs: int, size: int, out: int) -> int:
        memmove(out, bytes(range(size % 256)).ljust(size, b"\0"), size)  # asked once a process; it seeds SQLite's own
        return size

    def _sleep(self, _vfs: int, microseconds: int) -> int:
        return microseconds

    def _current_time(self, _vfs: int, out: Any) -> None:
        out[0] = 2_461_000.0

    def _current_time_64(self, _vfs: int, out: Any) -> None:
        out[0] = 2_461_000 * 86_400_000

    def _last_error(self, _vfs: int, _room: int, _out: int) -> None:
        pass

    def _close(self, file: int) -> None:
        number = _FileStruct.from_address(file).handle
        handle = self._handles.pop(number)
        handle.shared.levels.pop(number, None)
        if handle.delete_on_close and not self._disk.off:
            self._disk.delete(handle.name, durably=False)

    def _read(self, file: int, out: int, size: int, offset: int) -> int:
        data = self._disk.read(self._at(file).name, offset, size)
        memmove(out, data.ljust(size, b"\0"), size)
        return _OK if len(data) == size else _SHORT_READ

    def _write(self, file: int, data: int, size: int, offset: int) -> None:
        self._disk.write(self._at(file).name, offset, ctypes.string_at(data, size))

    def _truncate(self, file: int, size: int) -> None:
        self._disk.truncate(self._at(file).name, size)

    def _sync(self, file: int, _flags: int) -> None:
        self._disk.sync(self._at(file).name)

    def _file_size(self, file: int, out: Any) -> None:
        out[0] = self._disk.size(self._at(file).name)

    def _lock(self, file: int, level: int) -> int:
        number = _FileStruct.from_address(file).handle
        levels = self._at(file).shared.levels
        others = max((held for other, held in levels.items() if other != number), default=0)
        allowed = {_SHARED: _RESERVED, _RESERVED: _SHARED}.get(level, 0)
        if others > allowed:
            return _BUSY
        levels[number] = max(level, levels.get(number, 0))
        return _OK

    def _unlock(self, file: int, level: int) -> None:
        self._at(file).shared.levels[_FileStruct.from_address(file).handle] = level

    def _check_reserved_lock(self, file: int, out: Any) -> None:
        out[0] = any(level >= _RESERVED for level in self._at(file).shared.levels.values())

    def _file_control(self, _file: int, _operation: int, _argument: int) -> int:
        return _NOTFOUND

    def _sector_size(self, _file: int) -> int:
        return 512

    def _device_characteristics(self, _file: int) -> int:
        return _POWERSAFE_OVERWRITE

    def _shm_map(self, file: int, region: int, size: int, extend: int, out: Any) -> None:
        regions = self._at(file).shared.regions
        while extend and len(regions) <= region:
            regions.append(ctypes.create_string_buffer(size))
        out[0] = ctypes.addressof(regions[region]) if region < len(regions) else None

    def _shm_lock(self, file: int, first: int, many: int, flags: int) -> int:
        number = _FileStruct.from_address(file).handle
        locks = self._at(file).shared.index_locks
        places = [locks.setdefault(place, {}) for place in range(first, first + many)]
        if flags & _SHM_UNLOCK:
            for held in places:
                held.pop(number, None)
            return _OK
        wanted = 1 if flags & _SHM_SHARED else 2
        if any(max(wanted, held[other]) == 2 for held in places for other in held if other != number):
            return _BUSY
        for held in places:
            held[number] = wanted
        return _OK

    def _shm_barrier(self, _file: int) -> None:
        pass

    def _shm_unmap(self, file: int, _delete: int) -> None:
        number = _FileStruct.from_address(file).handle
        for held in self._at(file).shared.index_locks.values():
            held.pop(number, None)


_METHODS: Final = [name for name, _ in _Methods._fields_[1:]]
_CALLS: Final = {name for name, kind in _VfsStruct._fields_ if kind not in (c_int, c_void_p, c_char_p)}
_ERRORS: Final = {"read": _IOERR_READ, "write": _IOERR_WRITE, "sync": _IOERR_FSYNC, "open": _CANTOPEN}
_KEPT: Final[list[_Vfs]] = []
"""A connection that is never closed may call a VFS for as long as the process lives."""


@contextmanager
def sqlite_on(disk: Disk) -> Iterator[None]:
    """Let every SQLite database that is opened in this block lie on `disk`. One at a time in a process.

    Raises `UsageError` if the interpreter's SQLite cannot be reached, and whatever went wrong in the VFS itself.
    """
    library = _library()
    vfs = _Vfs(disk)
    _KEPT.append(vfs)
    if library.sqlite3_vfs_register(ctypes.byref(vfs.struct), 1) != _OK:
        raise UsageError("SQLite took no VFS", "look whether another block uses a model disk")
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(vfs.struct))
    if vfs.unexpected:
        raise vfs.unexpected[0]


def _library() -> Any:
    """The library that `sqlite3` of this interpreter is linked to."""
    import _sqlite3

    path = getattr(_sqlite3, "__file__", None)  # None: linked into the interpreter itself
    library = ctypes.CDLL(path)
    try:
        library.sqlite3_vfs_register, library.sqlite3_vfs_unregister  # noqa: B018  # looked up in what it links to
        library.sqlite3_libversion.restype = c_char_p
        version = library.sqlite3_libversion().decode()
    except AttributeError as error:
        raise UsageError(f"{path}: its SQLite is hidden", "use an interpreter linked to a shared SQLite") from error
    if version != sqlite3.sqlite_version:
        raise UsageError(f"SQLite {version} is not the interpreter's {sqlite3.sqlite_version}", "report this")
    library.sqlite3_vfs_register.argtypes = (c_void_p, c_int)
    library.sqlite3_vfs_unregister.argtypes = (c_void_p,)
    return library
