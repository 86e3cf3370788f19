"""What a person sees when something went wrong, and the exit status: lines on stderr, each ending with a next step."""

import sys
from collections.abc import Iterator
from typing import Final

import click

from soma_core.errors import ConfigError, PluginError, SomaError

from ._print import printable

INTERRUPTED: Final = 130


def report(error: BaseException) -> int:
    """Say what happened on stderr and return the exit status. Errors that came together are said together."""
    leaves = list(dict.fromkeys(_leaves(error)))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        _usage(error)
        return error.exit_code
    if isinstance(error, click.Abort):
        return INTERRUPTED if isinstance(error.__cause__, KeyboardInterrupt) else 1
    foreseen = [leaf for leaf in leaves if isinstance(leaf, SomaError)]
    if not foreseen or len(foreseen) < len(leaves):
        import traceback  # only a fault of ours pays for it

        traceback.print_exception(error)
        if not foreseen:
            click.echo("soma: this is a fault of Soma; please report it with the lines above", err=True)
            return 1
    for leaf in foreseen:
        click.echo(line_of(leaf), err=True)
    return foreseen[0].exit_code


def line_of(error: SomaError) -> str:
    """An error as it is printed. Plugin and config errors already say whose they are; others begin with ``soma:``."""
    text = str(error) if isinstance(error, (PluginError, ConfigError)) else f"soma: {error}"
    return "\n".join(map(printable, text.split("\n")))  # what is wrong with a file may be quoted from it


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _usage(error: click.ClickException) -> None:
    """Click's own message, with the help to read as its next step."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "soma"
    message = error.format_message().rstrip(".")
    print(f"soma: {message}; see `{path} --help`", file=sys.stderr)  # noqa: T201  # as click.echo, without its lookup
