"""``soma plugins``: what is installed, what is chosen, what a plugin offers, whether it works."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from soma_core.errors import PluginError, UsageError
from soma_core.plugins import Plugin, Plugins, complete

from ._errors import line_of
from ._options import json_option, with_options
from ._print import columns, data, data_json, talk

if TYPE_CHECKING:
    from soma_core.api.spec import AnySpec
    from soma_core.config import Options

PLACES = {
    "consensus": "pure, in the node's process",
    "scoring": "pure, in the node's process",
    "transport": "async, in the node's process",
    "tokenizer": "pure, where it is called",
    "coder": "pure, where it is called",
    "index": "a thread of its own",
    "ledger": "a thread of its own",
    "encoder": "a process of its own",
    "command": "called by its name",
}
"""Kind → where the core runs it."""


@click.group(invoke_without_command=True)
@click.pass_context
@with_options
@json_option
def plugins(options: "Options", context: click.Context, *, as_json: bool) -> None:
    """List, describe and check plugins. Alone: list."""
    if context.invoked_subcommand is None:
        _list(options, as_json=as_json)
    elif as_json or options.plugin or options.config or options.assignments or options.data_dir:
        verb = context.invoked_subcommand
        raise UsageError(f"soma plugins: options stand before {verb}", f"write them after it: soma plugins {verb} …")


@plugins.command("list")
@with_options
@json_option
def list_(options: "Options", *, as_json: bool) -> None:
    """List what is installed; * marks what is selected. Imports none of it."""
    _list(options, as_json=as_json)


def _list(options: "Options", *, as_json: bool) -> None:
    from soma_core.config import find, named
    from soma_core.errors import ConfigError

    names, origin, problems = named(options, find(options))
    if problems:
        raise ConfigError(problems)
    found = Plugins()
    chosen = {name.rpartition(":")[2] for name in complete(names)}
    if as_json:
        rows = [
            {**_about(plugin), "module": plugin.module, "selected": plugin.name in chosen} for plugin in found.installed
        ]
        data_json({"plugins": rows, "selected_by": origin or "default profile"})
    elif found.installed:
        cells = [
            (f"{'*' if plugin.name in chosen else ' '} {plugin.name}", f"{plugin.distribution} {plugin.version}")
            for plugin in found.installed
        ]
        for line in columns(cells):
            data(line)
    try:
        found.select(names, origin)
    except PluginError as error:
        if names:
            raise
        talk(line_of(error))  # nobody asked for the default profile here
    selected = f"Selected by {origin or 'the default profile'}."
    talk(f"{selected:<57} soma plugins info NAME")


@plugins.command()
@click.argument("name")
@json_option
def info(name: str, *, as_json: bool) -> None:
    """Say what a plugin offers, needs and can be set to. Imports it, opens nothing."""
    found = Plugins()
    plugin = found.find(name)
    spec = found.load(plugin)
    about = _description(found, plugin)
    if as_json:
        data_json(
            {
                **_about(plugin),
                "api": spec.api,
                "about": about,
                "features": sorted(spec.features),
                "needs": sorted(spec.needs),
                "settings": _settings(spec.config),
                **_rule(spec),
            }
        )
        return
    data(f"{plugin.name} · {plugin.distribution} {plugin.version} · plugin API {spec.api} · {PLACES[plugin.kind]}")
    if about:
        data(about)
    offers = f"  offers  {', '.join(sorted(spec.features)) or 'what every one of its kind does'}"
    data(f"{offers:<48}needs  {', '.join(sorted(spec.needs)) or 'nothing'}")
    if rule := _rule(spec):
        data(f"  rule  {rule['rule_id']} version {rule['rule_version']}; its parameters stand in genesis")
    lines = [(f"  {one['key']} = {_toml(one)}", f"# {one['help']}") for one in _settings(spec.config)]
    if lines:
        data(f"  [{plugin.kind}.{plugin.short}]")
        for line in columns(lines):
            data(line)


@plugins.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@with_options
def check(options: "Options", names: tuple[str, ...]) -> None:
    """Import, check, configure and open plugins in this process; show the traceback of what fails."""
    import traceback

    from soma_core.config import gather

    from ._opening import try_open

    settings, found = gather(options), Plugins()
    chosen = found.check(names)
    try:
        specs = {plugin.name: found.load(plugin) for plugin in chosen}
        resolved = settings.resolve(specs, found.installed)
        for plugin in chosen:
            config = resolved.of(plugin.name, specs[plugin.name].config)
            data(f"{plugin.title}: {try_open(plugin, specs[plugin.name], config)}")
            _say_what_is_hidden(plugin)
    except PluginError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        raise


def _say_what_is_hidden(plugin: Plugin) -> None:
    from . import VERBS

    if plugin.kind == "command" and plugin.short in VERBS:
        talk(f"{plugin.title}: `soma {plugin.short}` is built in and wins; rename the plugin's command to reach it")


def _about(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "kind": plugin.kind,
        "distribution": plugin.distribution,
        "version": plugin.version,
    }


def _description(found: Plugins, plugin: Plugin) -> str:
    """The first line of what the hook's or the module's docstring says, without its own name in front."""
    module = found.module(plugin)
    hook = getattr(module, f"soma_{plugin.kind}", None)
    for text in (getattr(hook, "__doc__", None), module.__doc__):
        if text and text.strip():
            line = " ".join(text.strip().split("\n\n")[0].split()).replace("``", "").replace("`", "")
            line = line.removeprefix(f"{plugin.name}: ")
            return line[:1].upper() + line[1:]
    return ""


def _settings(config: type[Any]) -> Sequence[dict[str, Any]]:
    import attrs

    from soma_core.api.spec import Bounds
    from soma_core.config import plain

    rows = []
    for field in attrs.fields(config):
        bounds: Bounds = field.metadata.get("soma", Bounds("", None, None, secret=False))
        default = field.default
        if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs types Factory as a function
            default = default.factory()
        row = {"key": field.name, "help": bounds.help, "required": default is attrs.NOTHING}
        row["default"] = None if row["required"] else plain(default)
        rows.append({**row, "min": bounds.min, "max": bounds.max, "secret": bounds.secret})
    return rows


def _toml(setting: dict[str, Any]) -> str:
    from ._toml import toml

    return "…" if setting["required"] else toml(setting["default"])


def _rule(spec: "AnySpec") -> dict[str, Any]:
    from soma_core.api import ConsensusSpec, ScoringSpec

    if not isinstance(spec, (ConsensusSpec, ScoringSpec)):
        return {}
    params = {row["key"]: row["default"] for row in _settings(spec.params)}
    return {"rule_id": spec.rule_id, "rule_version": spec.rule_version, "params": params}
