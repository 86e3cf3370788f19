"""Room on the disk of the data directory: a node takes no new work while it is low, and ends before none is left."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, final

import trio

from soma_core.errors import RefusedError, StorageError

EVERY: Final = 2.0
"""Seconds between two looks."""

_MIB: Final = 1 << 20
_log = logging.getLogger("soma.space")


def free_bytes(path: Path) -> int:
    """Bytes that this account may still write on the file system of `path`. Blocking."""
    return shutil.disk_usage(path).free


@final
class Space:
    """The free bytes of one file system, held against two thresholds in bytes. 0 switches one off.

    `low`: below it nothing new is taken on; what is under way goes on. `least`: below it the node ends, while what it
    has still to write fits.
    """

    def __init__(self, data_dir: Path, *, low: int, least: int, look: Callable[[Path], int] = free_bytes) -> None:
        self._data_dir = data_dir
        self._low = low
        self._least = least
        self._look = look
        self.free = look(data_dir)
        self._judge()

    @property
    def is_low(self) -> bool:
        """Whether new work is refused."""
        return self.free < self._low

    def require(self) -> None:
        """Raise `RefusedError` while room is low."""
        if self.is_low:
            raise RefusedError(
                f"the disk is nearly full: {_text(self.free)} free at {self._data_dir}, {_text(self._low)} needed",
                "make room; new work is then taken again",
            )

    async def watch(self) -> None:
        """Look again and again. Raises `StorageError` below `least`, `OSError` if the disk does not answer."""
        while True:
            await trio.sleep(EVERY)
            was_low = self.is_low
            self.free = await trio.to_thread.run_sync(self._look, self._data_dir, abandon_on_cancel=True)
            self._judge()
            if self.is_low and not was_low:
                _log.warning("the disk is nearly full (%s free): nothing new is taken on", _text(self.free))
            elif was_low and not self.is_low:
                _log.warning("there is room on the disk again (%s free): new work is taken on", _text(self.free))

    def _judge(self) -> None:
        if self.free < self._least:
            raise StorageError(
                f"the disk is full: {_text(self.free)} free at {self._data_dir}, a node needs {_text(self._least)}",
                "make room, then start again: what was acknowledged is kept",
            )


def _text(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"
