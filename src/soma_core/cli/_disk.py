"""What ``soma doctor`` looks at in and under the data directory: room, speed, who holds it, who may read the keys."""

import os
import resource
import stat
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soma_core.api import Finding
from soma_core.config import NodeConfig
from soma_core.errors import SomaError

OTHERS: Final = 0o077
"""Permissions that let other accounts of this machine in."""
PROBES: Final = 5
"""Times a small write is synced to learn how long that takes."""
SLOW: Final = 0.050
"""Seconds of one sync from which on it is worth saying: a commit waits for two."""
DESCRIPTORS: Final = 1024
"""Open files a node should be allowed: one a peer, a worker, a control connection."""

_MIB: Final = 1 << 20


def examine(node: NodeConfig) -> Iterator[Finding]:
    """All of it."""
    yield from data_directory(node.data_dir)
    yield space(node)
    yield syncing(node.data_dir)
    yield from keys(node.data_dir)


def data_directory(path: Path) -> Iterator[Finding]:
    """Who may enter it, whether we may write, and whether a node is at work in it."""
    if path.exists():
        yield from _entry(path)
        yield from _holder(path)
    elif os.access(nearest(path), os.W_OK):
        yield Finding("ok", "data directory", f"{path} will be made at the first start")
    else:
        yield Finding("fail", "data directory", f"{path} cannot be made", "name another with --data-dir")


def space(node: NodeConfig) -> Finding:
    """Room on the data directory's disk, against the two thresholds of the node's settings."""
    from soma_core.node.space import free_bytes

    place = nearest(node.data_dir)
    free = free_bytes(place) / _MIB
    text = f"{free / 1024:.1f} GiB free at {place}"
    if free < node.space_least:
        return Finding("fail", "disk space", f"{text}; a node ends below {node.space_least} MiB", "make room")
    if free < node.space_low:
        return Finding(
            "warn", "disk space", f"{text}; a node takes no new work below {node.space_low} MiB", "make room"
        )
    return Finding("ok", "disk space", text)


def syncing(path: Path) -> Finding:
    """How long the disk takes to keep a small write: the median of a few."""
    place = nearest(path)
    try:
        taken = statistics.median(_sync_times(place))
    except OSError as error:
        return Finding("fail", "disk speed", f"{place}: {error.strerror}", "mend the disk, or name another --data-dir")
    text = f"{taken * 1000:.1f} ms to sync a small write at {place}"
    if taken > SLOW:
        return Finding("warn", "disk speed", text, "every commit waits for that: use a local disk, an SSD")
    return Finding("ok", "disk speed", text)


def descriptors() -> Finding:
    """How many files a process may hold open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{_limit(soft)} allowed, at most {_limit(hard)}"
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        return Finding("warn", "open files", text, f"ulimit -n {DESCRIPTORS}")
    return Finding("ok", "open files", text)


def keys(data_dir: Path) -> Iterator[Finding]:
    """Whether only this account can read the key files, and whether their passphrase lies beside them."""
    from soma_core.keystore import KeyStore, keys_directory, passphrase_file

    directory = keys_directory(data_dir)
    if directory.exists():
        try:
            loose = [path for path in (directory, *sorted(directory.iterdir())) if _mode(path) & OTHERS]
            for path in loose:
                wanted = "700" if path.is_dir() else "600"
                yield Finding(
                    "fail", "keys", f"others may read {path} (mode {_mode(path):04o})", f"chmod {wanted} {path}"
                )
            if not loose:
                yield Finding("ok", "keys", f"{len(KeyStore(data_dir).list())} in {directory}, for this account alone")
        except (OSError, SomaError) as error:
            yield Finding("fail", "keys", str(error), "see who owns them")
    path = passphrase_file(data_dir)
    if path.exists():
        yield Finding(
            "warn",
            "keys",
            f"their passphrase lies beside them in {path}: good for a development network",
            "for real money keep it elsewhere and name it in SOMA_PASSPHRASE_FILE",
        )


def nearest(path: Path) -> Path:
    """The directory itself, or the one above it that exists."""
    place = path.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def _entry(path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding("fail", "data directory", f"{path} is not a directory", "name another with --data-dir")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "fail", "data directory", f"{path} cannot be written", f"chown it to yourself, or chmod 700 {path}"
        )
    elif (mode := _mode(path)) & OTHERS:
        yield Finding("warn", "data directory", f"{path} has mode {mode:04o}: others can enter", f"chmod 700 {path}")
    else:
        yield Finding("ok", "data directory", f"{path}, mode {mode:04o}")


def _holder(path: Path) -> Iterator[Finding]:
    from soma_core.node.directory import holder

    process = holder(path)
    if process is not None:
        yield Finding("ok", "lock", f"a node runs here (process {process})")
    elif path.is_dir():
        yield Finding("ok", "lock", "no node runs here")


def _sync_times(place: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(PROBES):
            file.write(bytes(4096))
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            yield time.perf_counter() - begun


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _limit(count: int) -> str:
    return "any number" if count == resource.RLIM_INFINITY else str(count)
