"""What a child writes to standard error, as lines of the node's log: printable, bounded in length and in rate."""

from contextlib import suppress
from logging import INFO, Logger
from typing import Final

import trio

LINE_MAX: Final = 2000
"""Bytes of a line that reach the log; the rest of the line is dropped."""
LINES_MAX: Final = 200
"""Lines that reach the log in `WINDOW` seconds; the rest are counted."""
WINDOW: Final = 10.0
_PAUSE: Final = 0.005  # between two reads of 64 KiB from a child that writes too much: it waits, the node does not


class Lines:
    """Cuts a stream of bytes into lines to log; keeps at most `LINE_MAX` bytes of an unfinished one."""

    def __init__(self, now: float) -> None:
        self._rest = b""
        self._cut = False  # of the unfinished line, all that is logged was taken
        self._until, self._taken, self._dropped = now + WINDOW, 0, 0

    @property
    def flooding(self) -> bool:
        """Whether lines are being dropped."""
        return self._dropped > 0

    def feed(self, data: bytes, now: float) -> list[str]:
        """The lines to log after `data` came at `now`, in seconds."""
        out = []
        if now >= self._until:
            out += self._count()
            self._until, self._taken, self._dropped = now + WINDOW, 0, 0
        *whole, rest = (self._rest + data).split(b"\n")
        for line in whole:
            out += [] if self._cut else self._take(line)
            self._cut = False
        if len(rest) > LINE_MAX:
            out += [] if self._cut else self._take(rest)
            self._cut = True
        self._rest = b"" if self._cut else rest
        return out

    def end(self) -> list[str]:
        """What is left to log when the stream ends."""
        return [*(self._take(self._rest) if self._rest else ()), *self._count()]

    def _take(self, line: bytes) -> list[str]:
        if self._taken == LINES_MAX:
            self._dropped += 1
            return []
        self._taken += 1
        text = line[:LINE_MAX].decode("utf-8", "backslashreplace")
        return ["".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text.rstrip("\r"))]

    def _count(self) -> list[str]:
        return [f"… {self._dropped} more lines were dropped"] if self._dropped else []


async def log_errors(process: trio.Process, log: Logger, level: int = INFO) -> None:
    """Copy the child's standard error to `log` until it ends."""
    assert process.stderr is not None
    lines = Lines(trio.current_time())
    try:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := await process.stderr.receive_some(1 << 16):
                for line in lines.feed(bytes(data), trio.current_time()):
                    log.log(level, "%s", line)
                if lines.flooding:
                    await trio.sleep(_PAUSE)
    finally:
        for line in lines.end():
            log.log(level, "%s", line)
