"""What a child does to itself before it imports or reads anything that matters.

Linux offers most of it; each step says whether it took.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ._kernel import system_call
from ._landlock import restrict
from ._seccomp import refuse_calls

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
_LINUX_CAPABILITY_VERSION_3: Final = 0x20080522

HIDDEN: Final = "memory unreadable to others"
"""What a signer says that has hidden its memory."""
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
    return (HIDDEN,) if system_call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0) else ()


def confine(
    directory: Path, hidden: Iterable[Path], shown: Iterable[Path], *, network: bool, memory: int
) -> tuple[str, ...]:
    """Confine this process, which has one thread yet, as far as the system lets it. Says what took.

    `hidden` directories appear empty but for `directory` and the `shown` files; without `network` there is none; it has
    at most `memory` bytes. All paths are absolute and resolved. A step that the system refuses is left out: the node
    tells its operator (`within_reach`).
    """
    covers, files = list(hidden), list(shown)
    done = [*forbid_core_files(), *_limit_files(), *_limit_memory(memory)]
    if system_call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        done.append("no new privileges")
    hides = False
    if _enter(_CLONE_NEWNS | (0 if network else _CLONE_NEWNET)):
        done += ["memory of the node unreadable", *(() if network else ("no network",))]
        hides = _hide(directory, covers, files) and _enter(_CLONE_NEWNS)  # the second locks the mounts
        done += ["node's files hidden"] if hides else []
    elif not network and _enter(_CLONE_NEWNET):
        done += ["memory of the node unreadable", "no network"]
    _drop_capabilities()
    done += restrict(directory, [] if hides else covers, files, network=network)
    return tuple(dict.fromkeys((*done, *refuse_calls(network=network))))


def default_memory() -> int:
    """Three quarters of the machine's memory, in bytes: what a worker may have if nobody says otherwise."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4


def within_reach(isolation: Collection[str], *, network: bool) -> tuple[str, ...]:
    """What this system does not keep from a worker that achieved `isolation`, in words."""
    kept = {
        "the node's files, with its keys": {"node's files hidden", "node's files unreadable"},
        "the node's memory": {"memory of the node unreadable"},
        "signals to the node": {"no signals to others"},
        "processes that outlive it": {"no process outlives it"},
        **({} if network else {"the network": {"no network", "no sockets"}}),
    }
    lost = [what for what, words in kept.items() if not words & {*isolation}]
    return (*lost, *(() if any(word.endswith("MiB") for word in isolation) else ("all the machine's memory",)))


def _limit_memory(size: int) -> tuple[str, ...]:
    """Let this process have at most `size` bytes of private writable memory, where that is kept."""
    import resource

    # Not RLIMIT_AS: accelerators and JIT compilers reserve address space that they never fill.
    with suppress(OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        if sys.platform == "linux":  # elsewhere it is accepted and not kept
            return (f"at most {limit >> 20} MiB",)
    return ()


def _limit_files() -> tuple[str, ...]:
    import resource

    with suppress(OSError, ValueError):
        _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = FILES_MAX if hard == resource.RLIM_INFINITY else min(FILES_MAX, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        return (f"at most {FILES_MAX} open files",)
    return ()


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
    """Give up what root has, and what a new user namespace gave over itself: both widen what can be reached."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    system_call("capset", header, (ctypes.c_uint32 * 6)())
