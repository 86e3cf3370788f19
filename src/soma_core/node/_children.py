"""Child processes of the node: how they are started and ended, what they inherit, and how requests reach them.

A child inherits three pipes and a short list of environment variables, is in a session of its own, and ends when its
standard input does. What it writes to standard error goes to the log, a line at a time, bounded.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from logging import INFO, Logger
from pathlib import Path
from typing import Final, Generic, TypeVar, final

import trio
from attrs import define, field

from soma_core.errors import DecodeError

from ._frames import FrameReader

A = TypeVar("A")

INHERITED: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "COVERAGE_PROCESS_START",  # so that tests see which lines of a child ran
    "COVERAGE_PROCESS_CONFIG",
)
"""What a child may know of the node's environment: where programs and libraries are, and the language. No ``SOMA_*``."""
LINE_MAX: Final = 2000
"""Bytes of a child's line that reach the log; the rest of the line is dropped."""
LINES_MAX: Final = 200
"""Lines of a child that reach the log in `WINDOW` seconds; the rest are counted."""
WINDOW: Final = 10.0
GRACE: Final = 5.0
"""Seconds a child has to end after its pipe is closed."""


class ChildEndedError(Exception):
    """The child is gone, or no longer understood: its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def environment(also: Iterable[str] = (), prefixes: tuple[str, ...] = (), **given: str) -> dict[str, str]:
    """The environment of a child: `INHERITED`, what `also` and `prefixes` name, and what is `given`."""
    names = {*INHERITED, *also}
    return {k: v for k, v in os.environ.items() if k in names or (prefixes and k.startswith(prefixes))} | given


async def start(module: str, variables: Mapping[str, str], directory: Path | None = None) -> trio.Process:
    """Start ``python -P -m MODULE`` with pipes, in a session of its own, in `directory`."""
    return await trio.lowlevel.open_process(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(variables),
        cwd=directory,
        start_new_session=True,
    )


async def end(process: trio.Process, grace: float = GRACE) -> int:
    """Close the child's pipe, wait `grace` seconds, then kill it. Its exit status. Not cancelled."""
    with trio.CancelScope(shield=True):
        assert process.stdin is not None
        with trio.move_on_after(grace):
            await process.stdin.aclose()
            await process.wait()
        process.kill()
        return await process.wait()


async def log_lines(process: trio.Process, log: Logger, level: int = INFO) -> None:
    """Copy the child's standard error to `log` until it ends, a line at a time, bounded in length and rate."""
    assert process.stderr is not None
    rest = bytearray()
    cut = False  # the line at hand was logged as far as it is logged
    until, lines, dropped = trio.current_time() + WINDOW, 0, 0
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while data := await process.stderr.receive_some(1 << 16):
            if trio.current_time() >= until:
                if dropped:
                    log.warning("%d more lines were dropped", dropped)
                until, lines, dropped = trio.current_time() + WINDOW, 0, 0
            *whole, last = (bytes(rest) + data).split(b"\n")
            for line in whole:
                if not cut:
                    if lines < LINES_MAX:
                        log.log(level, "%s", _printable(line))
                    dropped += lines >= LINES_MAX
                    lines += 1
                cut = False
            rest = bytearray(b"" if cut else last[: LINE_MAX + 1])
            if len(rest) > LINE_MAX:
                if lines < LINES_MAX:
                    log.log(level, "%s", _printable(rest))
                dropped += lines >= LINES_MAX
                lines += 1
                rest.clear()
                cut = True
    if rest:
        log.log(level, "%s", _printable(rest))
    if dropped:
        log.warning("%d more lines were dropped", dropped)
