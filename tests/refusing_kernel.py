"""Children that meet a kernel which refuses some system calls: it is this one, with a filter of it over them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from soma_core.node._seccomp import _EQUAL, _FIRST_ARGUMENT, _LOAD, _MACHINES, _NUMBER, Step

KNOWN = sys.platform == "linux" and os.uname().machine in _MACHINES
"""Whether the numbers below are those of this machine."""
_X86 = os.uname().machine == "x86_64"
UNSHARE = (272,) if _X86 else (97,)
LANDLOCK = (444, 445, 446)
SYNC = (74, 75) if _X86 else (82, 83)
"""``fsync`` and ``fdatasync``."""
PRCTL = (157,) if _X86 else (167,)
_SET_SECCOMP = 22


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path, calls: Sequence[int], *, filters: bool = False) -> None:
    """From now on start every Python process under a filter that refuses `calls` (and with `filters`, filters).

    `folder`: where the program lies that stands for Python meanwhile.
    """
    steps: list[Step] = [(_LOAD, _NUMBER, None, None), *((_EQUAL, call, "refuse", None) for call in calls)]
    if filters:
        steps += [(_EQUAL, *PRCTL, None, "allow"), (_LOAD, _FIRST_ARGUMENT, None, None)]
    steps.append((_EQUAL, _SET_SECCOMP if filters else calls[0], "refuse", "allow"))
    _stand_for_python(monkeypatch, folder, f"assert install({steps!r})")


def without_capabilities(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on start every Python process as a user who may no more than any other, also if root runs the test."""
    _stand_for_python(monkeypatch, folder, "_drop_capabilities()")


def _stand_for_python(monkeypatch: pytest.MonkeyPatch, folder: Path, first: str) -> None:
    script, program = folder / "first.py", folder / "python"
    script.write_text(
        "import os, sys\n"
        "from soma_core.node._confinement import _drop_capabilities\n"
        "from soma_core.node._kernel import system_call\n"
        "from soma_core.node._seccomp import install\n"
        "assert system_call('prctl', 38, 1, 0, 0, 0)\n"
        f"{first}\n"
        f"os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
