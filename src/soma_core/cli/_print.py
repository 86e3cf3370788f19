"""Printing: data on stdout, talk on stderr."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click


def data(text: str) -> None:
    """A line of data."""
    click.echo(text)


def talk(text: str) -> None:
    """A line for the person, which no program reads."""
    click.echo(text, err=True)


def data_json(value: Any) -> None:
    """One JSON object."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def printable(text: str) -> str:
    """What somebody else wrote, in one line that a terminal shows and does not obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def columns(rows: Sequence[Sequence[str]], gap: int = 3) -> list[str]:
    """`rows` as lines whose cells stand under each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        (" " * gap).join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def colour(text: str, name: str) -> str:
    """`text` in a colour, if stdout is a terminal and ``NO_COLOR`` is not set."""
    return click.style(text, fg=name) if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text
