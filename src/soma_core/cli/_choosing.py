"""Choosing and opening a component that needs nothing but its settings: a coder, a tokenizer."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from soma_core.config import Options, gather
from soma_core.errors import SettingsError, SomaError, UsageError
from soma_core.plugins import Plugins, open_failed

Component = TypeVar("Component")


@frozen
class Opened(Generic[Component]):
    """A component, ready, under its plugin's name, with its spec and its settings."""

    name: str
    spec: Any
    config: Any
    component: Component


def choose(options: Options, kind: str, default: str, settings: Mapping[str, str]) -> Opened[Any]:
    """The component of `kind` that `options` name, else `default`; `settings` are what the command has options for.

    Raises `UsageError`, `SettingsError` or `PluginError`.
    """
    found = Plugins()
    named = [found.find(name) for name in options.plugin]
    for plugin in named:
        if plugin.kind != kind:
            raise UsageError(f"{plugin.name} is no {kind}", f"name one with --plugin {kind}-…, or none")
    if len(named) > 1:
        raise UsageError(f"several {kind}s are named", "name one")
    plugin = named[0] if named else found.find(default)
    spec: Any = found.load(plugin)
    section = f"{kind}.{plugin.short}"
    given = tuple(f"{section}.{key}={value}" for key, value in settings.items())
    resolved = gather(evolve(options, assignments=options.assignments + given))
    config = resolved.resolve({plugin.name: spec}, found.installed).of(plugin.name, spec.config)
    try:
        return Opened(plugin.name, spec, config, spec.open(config))
    except SomaError:
        raise
    except ValueError as error:
        raise SettingsError(f"[{section}] {error}", "change the setting, or leave it away") from error
    except Exception as error:
        raise open_failed(plugin, error) from error
