"""How far a command is, on a terminal's stderr."""

import sys
import time
from threading import Event, Thread

import click


class Progress:
    """Says on a terminal's stderr how far a command is, every second, from the first on, until it is closed."""

    def __init__(self, verb: str, size: int | None) -> None:
        self._verb, self._done, self._start = verb, 0, time.monotonic()
        self._of = f" of {size:,}" if size else ""
        self._over = Event()
        self._thread = Thread(target=self._tell, daemon=True) if sys.stderr.isatty() else None
        if self._thread:
            self._thread.start()

    @property
    def seconds(self) -> float:
        """Since the beginning; more than none."""
        return max(time.monotonic() - self._start, 1e-9)

    def step(self, done: int) -> None:
        """So many unpacked bytes are done."""
        self._done = done

    def close(self) -> None:
        """Leave the line as if nothing had been there."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def _tell(self) -> None:
        while not self._over.wait(1):
            line = f"{self._verb}: {self._done:,}{self._of} bytes, {self.seconds:.0f} s"
            click.echo(f"\r\x1b[K{line}", nl=False, err=True)
        click.echo("\r\x1b[K", nl=False, err=True)
