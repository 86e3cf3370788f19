"""What a child does to itself before it imports or reads anything that matters.

Linux offers most of it; each step says whether it took.
"""

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWNS: Final = 0x20000
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_REMOUNT: Final = 0x20
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 0x40000
_LANDLOCK_CREATE_RULESET: Final = 444  # the same number on every architecture Linux has had since 5.13
_LANDLOCK_RESTRICT_SELF: Final = 446
_LANDLOCK_VERSION: Final = 1
_TCP: Final = 3  # to bind and to connect
_SCOPES: Final = 3  # abstract sockets and signals stay within
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

FILES_MAX: Final = 1024
"""Descriptors a worker may have open."""


def take_pipes() -> tuple[int, int]:
    """Private descriptors of the pipes the child was started with, for reading and for writing.

    Descriptor 0 then reads nothing and descriptor 1 goes where descriptor 2 goes, to the log: whatever prints, or reads
    standard input, cannot disturb the frames.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


def leave_ending_to_the_node() -> None:
    """Ignore Ctrl-C and polite signals: the node decides, and the end of its pipe says so however the node ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def forbid_core_files() -> tuple[str, ...]:
    """What was in memory never reaches the disk by a crash."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return ("no core file",)


def hide_memory() -> tuple[str, ...]:
    """Forbid, where the system can, that other processes of the same user read this one. Says whether it took."""
    return ("memory unreadable to others",) if system_call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0) else ()


def system_call(name: str, *arguments: object) -> bool:
    """Whether the C library has the function `name` and it succeeded."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    wide = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return function is not None and function(*wide) == 0


def confine(directory: Path, hidden: Iterable[Path], shown: Iterable[Path], *, network: bool) -> tuple[str, ...]:
    """Confine this process, which has one thread yet, as far as the system lets it. Says what took.

    `hidden` directories appear empty but for `directory` and the `shown` files; without `network` there is none.
    All paths are absolute and resolved. A step that the system refuses is left out: the node tells its operator.
    """
    done = [f"at most {FILES_MAX} open files"] if _limit_files() else []
    if system_call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        done.append("no new privileges")
    if _enter(_CLONE_NEWNS | (0 if network else _CLONE_NEWNET)):
        done += ["memory of the node unreadable", *(() if network else ("no network",))]
        if _hide(directory, list(hidden), list(shown)) and _enter(_CLONE_NEWNS):  # the second locks the mounts
            done.append("node's files hidden")
        _drop_capabilities()
    elif not network and _enter(_CLONE_NEWNET):
        done += ["memory of the node unreadable", "no network"]
        _drop_capabilities()
    return (*done, *_landlock(network=network))


def limit_memory(size: int) -> bool:
    """Let this process have at most `size` bytes of private writable memory. Whether that took."""
    import resource

    # Not RLIMIT_AS: accelerators and JIT compilers reserve address space that they never fill.
    with suppress(OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        return os.uname().sysname == "Linux"  # elsewhere it is accepted and not kept
    return False


def _limit_files() -> bool:
    import resource

    with suppress(OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return True
    return False


def _enter(namespaces: int) -> bool:
    """Enter a new user namespace, in which we stay who we are, and other new namespaces that belong to it."""
    user, group = os.geteuid(), os.getegid()
    if not system_call("unshare", _CLONE_NEWUSER | namespaces):
        return False
    try:
        with suppress(FileNotFoundError):
            Path("/proc/self/setgroups").write_text("deny", "ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", "ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", "ascii")
    except OSError:
        return False
    return True


def _hide(directory: Path, hidden: list[Path], shown: list[Path]) -> bool:
    """Put an empty file system over each of `hidden` and show `directory` and `shown` in it."""
    if not _mount("none", "/", "", _MS_REC | _MS_PRIVATE):
        return False
    try:
        for cover in hidden:
            inside = [(path, os.open(path, os.O_PATH)) for path in (directory, *shown) if cover in path.parents]
            if not _mount("none", str(cover), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=700,size=1m"):
                return False
            for path, descriptor in inside:
                if path.is_dir() or path == directory:
                    path.mkdir(parents=True, exist_ok=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
                if not _mount(f"/proc/self/fd/{descriptor}", str(path), "", _MS_BIND):
                    return False
                os.close(descriptor)
            if not _mount("none", str(cover), "", _MS_REMOUNT | _MS_RDONLY | _MS_NOSUID | _MS_NODEV):
                return False
        os.chdir(directory)  # the old one leads to what is now hidden, by its parent
    except OSError:
        return False
    return True


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> bool:
    return system_call("mount", source.encode(), os.fsencode(target), kind.encode() or None, flags, data.encode())


def _drop_capabilities() -> None:
    """Give up what a new user namespace gave, over itself only: less of the kernel within reach."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    system_call("capset", header, (ctypes.c_uint32 * 6)())


def _landlock(*, network: bool) -> tuple[str, ...]:
    """Forbid TCP and signals to other processes, as far as this kernel's Landlock knows them."""
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "syscall", None)
    if call is None or os.uname().sysname != "Linux":
        return ()
    version = call(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    tcp = _TCP if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 else 0
    if not tcp and not scopes:
        return ()
    attributes = (ctypes.c_uint64 * 3)(0, tcp, scopes)
    size = 24 if version >= 6 else 16
    ruleset = call(_LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    if ruleset < 0:
        return ()
    took = call(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return (*(("no TCP",) if tcp else ()), *(("no signals to others",) if scopes else ())) if took else ()
