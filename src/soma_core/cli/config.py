"""``soma config``: settings, and where each comes from."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from ._options import json_option, with_options
from ._print import columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.config import Options, Row


@click.group()
def config() -> None:
    """Show settings and where they come from."""


@config.command()
@click.option("--resolved", is_flag=True, help="Defaults too, not only what was given.")
@with_options
@json_option
def show(options: "Options", *, resolved: bool, as_json: bool) -> None:
    """Check all settings and print them as soma.toml has them, each with its origin. Secrets stay hidden."""
    from soma_core.config import DEFAULT, plain, prepare

    from ._toml import toml

    prepared = prepare(options)
    selected_by = prepared.settings.plugins_origin or "the default profile"
    names = [plugin.name for plugin in prepared.selection.plugins]
    rows = [row for row in prepared.resolved.rows if resolved or row.origin != DEFAULT]
    if as_json:
        file = prepared.settings.file
        shown = [_row(row) for row in rows]
        data_json({"file": file and str(file), "plugins": names, "selected_by": selected_by, "settings": shown})
        return
    data(f"plugins = {toml(names)}   # {selected_by}")
    for section, group in groupby(rows, key=lambda row: row.section):
        data(f"[{section}]")
        for line in columns([(f"{row.key} = {toml(plain(row.value))}", f"# {row.origin}") for row in group]):
            data(line)


@config.command()
@with_options
def path(options: "Options") -> None:
    """Print the settings file in use, or where one would be found."""
    from soma_core.config import FILE_NAME, gather

    settings = gather(options)
    if settings.file is not None:
        data(str(settings.file))
        return
    data(str(settings.home / FILE_NAME))
    talk("There is none yet; every setting has its default. `soma config show --resolved` prints them.")


def _row(row: "Row") -> dict[str, Any]:
    from soma_core.config import plain

    return {
        "section": row.section,
        "key": row.key,
        "value": plain(row.value),
        "origin": row.origin,
        "help": row.help,
    }
