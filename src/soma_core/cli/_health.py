"""What ``soma doctor`` looks at by itself: this system, the ports, and whether encoders open."""

import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from soma_core.api import EncoderSpec, Finding
from soma_core.config import Row
from soma_core.errors import SomaError

if TYPE_CHECKING:
    from soma_core.api import EncoderInfo
    from soma_core.config import Prepared
    from soma_core.plugins import Plugin


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


def encoders(prepared: "Prepared") -> Iterator[Finding]:
    """Whether each chosen encoder opens, in a process of its own as a node would have it: devices, packages, weights.

    One that needs an identity is left to its own doctor: the keys belong to the node.
    """
    for plugin in prepared.selection.plugins:
        spec = prepared.specs[plugin.name]
        if isinstance(spec, EncoderSpec) and "identity" not in spec.needs:
            began = time.perf_counter()
            try:
                info = _opened(prepared, plugin)
            except SomaError as error:
                yield Finding("fail", plugin.name, error.what, error.remedy)
            else:
                which = f"weights {info.weights.hex()[:12]}" if info.weights else "no weights"
                detail = f"opens in {time.perf_counter() - began:.1f} s: {info.dim} numbers, {info.numeric}, {which}"
                yield Finding("ok", plugin.name, detail)


def _opened(prepared: "Prepared", plugin: "Plugin") -> "EncoderInfo":
    """What the encoder says it is. Raises `SomaError`."""
    import trio

    from soma_core.node.hosting import open_encoder

    async def look(data_dir: Path) -> "EncoderInfo":
        async with open_encoder(prepared, plugin, data_dir) as worker:
            return worker.info

    with tempfile.TemporaryDirectory(prefix="soma-doctor-") as folder:
        return trio.run(look, Path(folder))
