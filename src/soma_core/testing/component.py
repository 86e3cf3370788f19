"""How a suite gets the component it tests: by its name, as an operator would, through every check."""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, Final

from attrs import frozen

from soma_core.config import instance
from soma_core.plugins import Plugins

NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


@frozen
class Component:
    """A chosen plugin: its module, what its hook returned, and its configuration."""

    name: str
    module: ModuleType
    spec: Any
    config: Any


def component(name: str, config: Mapping[str, object] = NOTHING) -> Component:
    """The component called `name` (``ledger-sqlite``), configured by `config`. Raises `PluginError`, `ConfigError`."""
    plugins = Plugins()
    plugin = plugins.find(name)
    spec = plugins.load(plugin)
    made = instance(spec.config, config, f"{plugin.kind}.{plugin.short}", "config")
    return Component(plugin.name, plugins.module(plugin), spec, made)
