"""What ``soma compress`` and ``soma decompress`` share: the coder and the files."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from soma_core.api import Coder
from soma_core.config import Options
from soma_core.errors import UsageError

from . import _choosing
from ._choosing import Opened

DEFAULT: Final = "coder-soma"
STANDARD: Final = "-"


def choose(options: Options, settings: dict[str, str]) -> Opened[Coder]:
    """The coder that `options` name, else `DEFAULT`; `settings` are those that the command has options for.

    Raises `UsageError`, `SettingsError` or `PluginError`.
    """
    return _choosing.choose(options, "coder", DEFAULT, settings)


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
