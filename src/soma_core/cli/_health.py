"""What ``soma doctor`` looks at by itself: this system, the data directory, the ports."""

import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from soma_core.api import Finding
from soma_core.config import Row

LEAST_SPACE: Final = 256 << 20
"""Bytes free on the data directory's file system, below which a node will not run for long."""
GOOD_SPACE: Final = 2 << 30
"""Bytes free below which it is worth saying."""
OTHERS: Final = 0o077
"""Permissions that let other accounts of this machine in."""


def python() -> Finding:
    """Whether this interpreter is one Soma is built for."""
    version = platform.python_version()
    if sys.maxsize < 1 << 32:
        return Finding("fail", "python", f"{version}, 32 bits", "install a 64-bit Python")
    return Finding("ok", "python", f"{version} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores")


def isolation() -> Finding:
    """What this system offers to keep encoder workers from the node and from each other: tried, not assumed."""
    from soma_core.node.offering import offered_isolation

    offered, lost = offered_isolation()
    detail = f"own process, {', '.join(offered) or 'nothing more'}"
    if not lost:
        return Finding("ok", "worker isolation", detail)
    return Finding(
        "warn",
        "worker isolation",
        f"{detail}; within a worker's reach: {', '.join(lost)}",
        "run encoders you do not trust on Linux, 6.12 or later, or with user namespaces allowed",
    )


def signer() -> Finding:
    """Whether this system keeps other processes of the same account from reading the one that holds the keys."""
    from soma_core.node.offering import offered_hardening

    offered, hidden = offered_hardening()
    detail = f"own process, {', '.join(offered)}"
    if hidden:
        return Finding("ok", "signer isolation", detail)
    return Finding("warn", "signer isolation", detail, "run nothing else under the account of a node that holds money")


def passphrase(data_dir: Path) -> Iterator[Finding]:
    """Whether the keys are only as safe as a file beside them."""
    from soma_core.keystore import passphrase_file

    path = passphrase_file(data_dir)
    if path.exists():
        yield Finding(
            "warn",
            "keys",
            f"their passphrase lies beside them in {path}: good for a development network",
            "for real money keep it elsewhere and name it in SOMA_PASSPHRASE_FILE",
        )


def data_directory(path: Path) -> Iterator[Finding]:
    """Who may enter it, whether we may write, and how much fits."""
    nearest = path.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    if path.exists():
        yield from _entry(path)
    elif os.access(nearest, os.W_OK):
        yield Finding("ok", "data directory", f"{path} will be made at the first start")
    else:
        yield Finding("fail", "data directory", f"{path} cannot be made", "name another with --data-dir")
    free = shutil.disk_usage(nearest).free
    text = f"{free / (1 << 30):.1f} GiB free at {nearest}"
    if free < LEAST_SPACE:
        yield Finding("fail", "disk space", text, "make room, or name another place with --data-dir")
    else:
        yield Finding(
            "ok" if free >= GOOD_SPACE else "warn", "disk space", text, "" if free >= GOOD_SPACE else "make room"
        )


def _entry(path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding("fail", "data directory", f"{path} is not a directory", "name another with --data-dir")
    elif not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            "fail", "data directory", f"{path} cannot be written", f"chown it to yourself, or chmod 700 {path}"
        )
    elif (mode := stat.S_IMODE(path.stat().st_mode)) & OTHERS:
        yield Finding("warn", "data directory", f"{path} has mode {mode:04o}: others can enter", f"chmod 700 {path}")
    else:
        yield Finding("ok", "data directory", f"{path}, mode {mode:04o}")


def ports(rows: Iterable[Row]) -> Iterator[Finding]:
    """Whether the ports that settings name are free. 0 lets the system choose."""
    for row in rows:
        if row.key == "port" and type(row.value) is int and row.value:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", row.value))
                except OSError as error:
                    yield Finding(
                        "warn",
                        "port",
                        f"{row.section}.port {row.value}: {error.strerror}; a running node may hold it",
                        f"--set {row.section}.port=0 lets the system choose",
                    )
                else:
                    yield Finding("ok", "port", f"{row.section}.port {row.value} is free")
