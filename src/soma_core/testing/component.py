"""How a suite gets the component it tests: by its name, as an operator would."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType, ModuleType
from typing import Any, Final

from attrs import frozen

from soma_core.api.spec import SPECS
from soma_core.errors import PluginError

NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


@frozen
class Component:
    """A chosen plugin: its module, what its hook returned, and its configuration."""

    name: str
    module: ModuleType
    spec: Any
    config: Any


def component(name: str, config: Mapping[str, object] = NOTHING) -> Component:
    """The component called `name` (``ledger-sqlite``), configured by `config`. Raises `PluginError`."""
    found = list(entry_points(group="soma.plugins", name=name))
    if not found:
        raise PluginError(f"{name}: no such plugin", "install its distribution; `soma plugins` lists what is there")
    module = found[0].load()
    kind = name.partition("-")[0]
    hook = getattr(module, f"soma_{kind}", None)
    if hook is None:
        raise PluginError(f"{name}: {module.__name__} has no soma_{kind}", "write it under @hookimpl")
    spec = hook()
    if not isinstance(spec, SPECS[kind]):
        raise PluginError(f"{name}: soma_{kind}() returned {type(spec).__name__}, not {SPECS[kind].__name__}")
    return Component(name, module, spec, spec.config(**config))
