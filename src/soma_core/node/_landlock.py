"""Landlock: what a process without privileges can forbid itself on Linux, also where it may make no namespaces.

Once it took, the process can neither trace nor read the memory of processes outside, whatever else was asked for.
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ._kernel import linux_call

_CREATE_RULESET: Final = 444  # the same numbers on every architecture Linux has had since 5.13
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_TCP: Final = 3  # to bind and to connect
_SCOPES: Final = 3  # abstract sockets and signals stay within
_OF_FILES: Final = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # execute, write, read, truncate
_READ: Final = 1 << 0 | 1 << 2 | 1 << 3  # execute, read, list
_LIST: Final = 1 << 3


def restrict(directory: Path, hidden: Sequence[Path], shown: Iterable[Path], *, network: bool) -> tuple[str, ...]:
    """Forbid this process the files in `hidden` but for `directory` and `shown`, signals to others, and often TCP.

    TCP stays with `network`. Says what took: as much of it as this kernel's Landlock knows.
    """
    version = linux_call(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return ()
    files = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0) if hidden else 0
    tcp = _TCP if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 else 0
    if not (files or tcp or scopes):
        return ()
    attributes = (ctypes.c_uint64 * 3)(files, tcp, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = linux_call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    if ruleset < 0:
        return ()
    if files:
        _allow(ruleset, Path("/"), _LIST & files)  # names are no secret, and imports list the folders of the path
        for path in _outside(Path("/"), {path: path.parents for path in hidden}):
            _allow(ruleset, path, files)
        for path in shown:
            _allow(ruleset, path, _READ)
        _allow(ruleset, directory, files)
    took = linux_call(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    if not took:
        return ()
    said = {"node's files unreadable": files, "no TCP": tcp, "no signals to others": scopes}
    return ("memory of the node unreadable", *(what for what, asked in said.items() if asked))


def _outside(folder: Path, hidden: dict[Path, Sequence[Path]]) -> Iterator[Path]:
    """Everything below `folder` but what is hidden, by as few names as there can be. Links lead to what has a name."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if path in hidden or entry.is_symlink():
                continue
            if any(path in parents for parents in hidden.values()):
                yield from _outside(path, hidden)
            else:
                yield path


def _allow(ruleset: int, path: Path, access: int) -> None:
    with suppress(OSError):  # what has gone meanwhile, or may not be named, stays forbidden
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            access &= -1 if stat.S_ISDIR(os.fstat(descriptor).st_mode) else _OF_FILES
            linux_call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", access, descriptor), 0)
        finally:
            os.close(descriptor)
