"""The group of all commands: built-in ones from a table, those of plugins from metadata; each imported when called."""

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from soma_core import __version__
from soma_core.errors import UsageError

from . import VERBS

if TYPE_CHECKING:
    from soma_core.plugins import Plugin

_PREFIX = "command-"


class SomaGroup(click.Group):
    """Commands by name. Names of built-in commands win over those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        return [*VERBS, *_plugin_commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # click's
        if cmd_name in VERBS:
            return _built_in(cmd_name)
        plugin = _plugin_commands().get(cmd_name)
        if plugin is None:
            close = get_close_matches(cmd_name, self.list_commands(ctx), 1)
            hint = f"did you mean `soma {close[0]}`?" if close else "`soma --help` lists the commands"
            raise UsageError(f"no such command: {cmd_name}", hint)
        return _of_plugin(plugin)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the tables alone: the help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, about.help) for verb, about in VERBS.items()])
        if foreign := _plugin_commands():
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(verb, f"{one.distribution} {one.version}") for verb, one in foreign.items()])


@click.group(cls=SomaGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="soma %(version)s")
def soma() -> None:
    """Turn data into embeddings, by competition.

    `soma demo` shows a whole network in a minute; `soma run` starts a node.
    """


def _built_in(verb: str) -> click.Command:
    module = f"{__package__}.{verb}"
    try:
        found = getattr(importlib.import_module(module), verb)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise UsageError(
            f"{verb}: not part of this soma-core {__version__}", "python3 -m pip install --upgrade soma-core"
        ) from error
    assert isinstance(found, click.Command), module
    return found


def _plugin_commands() -> "dict[str, Plugin]":
    from soma_core.plugins import scan

    found: dict[str, Plugin] = {}
    for plugin in scan():
        if plugin.kind == "command" and plugin.short not in VERBS:
            found.setdefault(plugin.short, plugin)
    return found


def _of_plugin(plugin: "Plugin") -> click.Command:
    from soma_core.plugins import Plugins, open_failed

    plugins = Plugins()
    try:
        command = plugins.spec("command", plugin.name).open()
    except Exception as error:
        from soma_core.errors import PluginError

        raise error if isinstance(error, PluginError) else open_failed(plugin, error) from error
    if not isinstance(command, click.Command):
        raise open_failed(plugin, TypeError(f"a {type(command).__name__} is not a click command"))
    return command
