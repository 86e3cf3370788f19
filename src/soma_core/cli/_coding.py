"""What ``soma compress`` and ``soma decompress`` share: the coder, the files, the progress."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any, Final

import click
from attrs import frozen

from soma_core.api import Coder
from soma_core.config import Options
from soma_core.errors import UsageError

from . import _choosing

DEFAULT: Final = "coder-soma"
STANDARD: Final = "-"


@frozen
class Chosen:
    """A coder, ready, under its plugin's name and settings."""

    name: str
    config: Any
    coder: Coder


def choose(options: Options, settings: dict[str, str]) -> Chosen:
    """The coder that `options` name, else `DEFAULT`; `settings` are those that the command has options for.

    Raises `UsageError`, `SettingsError` or `PluginError`.
    """
    opened = _choosing.choose(options, "coder", DEFAULT, settings)
    return Chosen(opened.name, opened.config, opened.component)


@contextmanager
def reading(file: str) -> Iterator[IO[bytes]]:
    """FILE, or standard input for ``-``. Raises `UsageError` if it cannot be read."""
    if file == STANDARD:
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            remedy = "give the path of a readable file"
            raise UsageError(f"{file}: cannot be read: {error.strerror}", remedy) from error
        yield stream


@contextmanager
def writing(out: str, *, force: bool) -> Iterator[IO[bytes]]:
    """OUT, which appears whole when this ends well and is not touched otherwise; or standard output for ``-``.

    Raises `UsageError` if it exists and not `force`, or cannot be written.
    """
    if out == STANDARD:
        if sys.stdout.isatty():
            raise UsageError("standard output is a terminal", "name a file with -o, or send the bytes to a program")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    target = Path(out)
    if target.is_dir() or (target.exists() and not force):
        raise UsageError(f"{out} is there already", "name another file, or overwrite it with --force")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("xb") as stream:
                yield stream
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}", "name a place with room") from error


def tell_json(value: Any, out: str) -> None:
    """One JSON object: on standard output, or on stderr where that is `out` and the bytes are there."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False), err=out == STANDARD)


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
