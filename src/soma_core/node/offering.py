"""What this system offers to the node's children, for ``soma doctor``: tried in a process of its own, not assumed."""

import subprocess
import sys
import tempfile
from pathlib import Path

from ._children import environment
from ._confinement import HIDDEN, default_memory, within_reach


def offered_isolation() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What confines an encoder's worker here, and what stays within its reach. Blocks."""
    offered = _said(
        "from pathlib import Path; from soma_core.node._confinement import confine; cwd = Path.cwd()",
        f"print(*confine(cwd, [cwd.parent], [], network=False, memory={default_memory()}), sep='\\n')",
    )
    return offered, within_reach(offered, network=False)


def offered_hardening() -> tuple[tuple[str, ...], bool]:
    """What the signer does against being read, and whether others of its account cannot read it then. Blocks."""
    offered = _said(
        "from soma_core.node._confinement import forbid_core_files, hide_memory",
        "print(*forbid_core_files(), *hide_memory(), sep='\\n')",
    )
    return offered, HIDDEN in offered


def _said(*lines: str) -> tuple[str, ...]:
    """The lines that a process prints which does nothing else, in a directory within one that can be hidden."""
    with tempfile.TemporaryDirectory(prefix="soma-probe-") as directory:
        inner = Path(directory).resolve() / "inner"
        inner.mkdir()
        done = subprocess.run(  # noqa: S603  # this interpreter, our own words
            [sys.executable, "-P", "-c", "\n".join(lines)],
            cwd=inner,
            env=environment(),
            capture_output=True,
            timeout=30,
            check=False,
            text=True,
        )
    return tuple(done.stdout.split("\n")[:-1])
