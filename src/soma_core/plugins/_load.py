"""Importing chosen plugins, and every check of what their modules say, in the order of ``specs/60-plugins.md``.

pluggy accepts a hook that is not marked, misspelled or async without a word, loses which plugin raised, and types every
call as Any. What it lacks stands here; what it does well (checking arguments, calling, tracing) is left to it.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import Any

import attrs
import pluggy

from soma_core import hookspecs
from soma_core.api.spec import API_CURRENT, API_FLOOR, SPECS, AnySpec, Finding

from ._faults import fault, import_failed, one_line, raised
from ._metadata import Plugin


class Loader:
    """Modules of plugins under one pluggy manager. Each module is imported and registered once, whatever it serves."""

    def __init__(self, installed: Sequence[Plugin]) -> None:
        self._installed = installed
        self._manager = pluggy.PluginManager("soma")
        self._manager.add_hookspecs(hookspecs)
        self._specs: dict[Plugin, AnySpec] = {}
        if os.environ.get("SOMA_TRACE_PLUGINS"):
            self._manager.trace.root.setwriter(sys.stderr.write)
            self._manager.enable_tracing()

    def module(self, plugin: Plugin) -> ModuleType:
        """The module of `plugin`, imported. Raises `PluginError` with the exception that stopped it as its cause."""
        try:
            return importlib.import_module(plugin.module)
        except (Exception, SystemExit) as error:  # whatever a foreign module raises, and modules do call exit()
            raise import_failed(plugin, error) from error

    def spec(self, plugin: Plugin) -> AnySpec:
        """What the hook of `plugin` returns, after all checks. Raises `PluginError`."""
        if plugin not in self._specs:
            module = self.module(plugin)
            self._check_hooks(plugin, module)
            self._check_alone(plugin)
            self._register(plugin, module)
            self._specs[plugin] = self._call(plugin, module)
        return self._specs[plugin]

    def findings(self, plugin: Plugin, config: object) -> tuple[Finding, ...]:
        """What the doctor hook of `plugin` says of itself; nothing if it has none. Raises `PluginError`."""
        self.spec(plugin)
        hook = self._only("soma_doctor", importlib.import_module(plugin.module))
        try:
            results: list[Iterable[Finding]] = hook(name=plugin.name, config=config)
            return tuple(finding for result in results for finding in result)
        except Exception as error:
            raise raised(plugin, "soma_doctor", error) from error

    def _check_hooks(self, plugin: Plugin, module: ModuleType) -> None:
        wanted, known = f"soma_{plugin.kind}", _known_hooks()
        marked = dict(_marked(module))
        unmarked = {
            name: value
            for name, value in vars(module).items()
            if name.startswith("soma_") and inspect.isfunction(value) and value not in marked.values()
        }
        wrong = sorted(marked.keys() - known)
        close = [n for n in sorted(unmarked) if n not in known and get_close_matches(n, known, 1, 0.85)]
        if not (wanted in marked or wanted in unmarked or wrong or close or marked.keys() & known):
            raise fault(plugin, f"{plugin.module} has no {wanted}", "write it under @hookimpl")
        for name in sorted(unmarked.keys() & known, key=lambda n: (n != wanted, n)):
            raise fault(plugin, f"{name} is not marked", "write @hookimpl above it")
        for name in (*wrong, *(close if wanted not in marked else ())):
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "see soma_core/hookspecs.py"
            raise fault(plugin, f"there is no hook {name}", hint)
        for name in sorted(marked, key=lambda n: (n != wanted, n)):
            if inspect.iscoroutinefunction(marked[name]) or inspect.isasyncgenfunction(marked[name]):
                raise fault(plugin, f"{name} is async, hooks are plain functions", "await inside what `open` returns")
        if wanted not in marked:
            others = ", ".join(sorted(marked))
            raise fault(
                plugin,
                f"{plugin.module} does not implement {wanted} (it implements {others})",
                "the name's kind and the hook must agree",
            )

    def _check_alone(self, plugin: Plugin) -> None:
        twins = sorted(
            other.name
            for other in self._installed
            if other.module == plugin.module and other.kind == plugin.kind and other.name < plugin.name
        )
        if twins:
            raise fault(
                plugin,
                f"{plugin.module} is also {twins[0]}",
                f"give each {plugin.kind} a module of its own",
            )

    def _register(self, plugin: Plugin, module: ModuleType) -> None:
        if self._manager.is_registered(module):
            return
        for name, function in _marked(module):
            allowed = inspect.signature(getattr(hookspecs, name)).parameters
            for argument, parameter in inspect.signature(function).parameters.items():
                if argument not in allowed and parameter.default is parameter.empty:
                    raise fault(
                        plugin,
                        f"hook {name} takes no argument {argument!r}",
                        "see soma_core/hookspecs.py for what it may take",
                    )
        try:
            self._manager.register(module, name=plugin.module)
        except pluggy.PluginValidationError as error:
            raise fault(plugin, one_line(error), "see soma_core/hookspecs.py for what a hook may be") from error

    def _call(self, plugin: Plugin, module: ModuleType) -> AnySpec:
        hook, wanted = f"soma_{plugin.kind}", SPECS[plugin.kind]
        try:
            results = self._only(hook, module)()
        except (Exception, SystemExit) as error:
            raise raised(plugin, hook, error) from error
        result = results[0] if results else None
        if not isinstance(result, wanted):
            lost = result is None or inspect.isgenerator(result)
            remedy = "is `return` missing?" if lost else f"return {_article(wanted.__name__)} {wanted.__name__}"
            raise fault(plugin, f"{hook}() returned {type(result).__name__}, not {wanted.__name__}", remedy)
        spec: AnySpec = result  # SPECS maps a kind to its member of AnySpec
        _check_api(plugin, spec)
        _check_spec(plugin, spec)
        return spec

    def _only(self, hook: str, module: ModuleType) -> Callable[..., list[Any]]:
        others = [other for other in self._manager.get_plugins() if other is not module]
        return self._manager.subset_hook_caller(hook, remove_plugins=others)


def _known_hooks() -> frozenset[str]:
    return frozenset(name for name in vars(hookspecs) if name.startswith("soma_"))


def _marked(module: ModuleType) -> list[tuple[str, Callable[..., Any]]]:
    found = []
    for name, value in vars(module).items():
        options = getattr(value, "soma_impl", None) if inspect.isroutine(value) else None
        if isinstance(options, dict):
            found.append((str(options.get("specname") or name), value))
    return found


def _check_api(plugin: Plugin, spec: AnySpec) -> None:
    if type(spec.api) is not int or not API_FLOOR <= spec.api <= API_CURRENT:
        speaks = " and ".join(str(api) for api in range(API_FLOOR, API_CURRENT + 1))
        old = type(spec.api) is int and spec.api < API_FLOOR
        raise fault(
            plugin,
            f"speaks plugin API {spec.api}, this soma-core speaks {speaks}",
            f"python3 -m pip install --upgrade {plugin.distribution if old else 'soma-core'}",
        )


def _check_spec(plugin: Plugin, spec: AnySpec) -> None:
    classes = {"config": spec.config, "params": getattr(spec, "params", None)}
    for name, cls in classes.items():
        if cls is not None and not (isinstance(cls, type) and attrs.has(cls)):
            raise fault(
                plugin, f"{name} is {cls!r:.60}, not an attrs class", "write @frozen above the class, give the class"
            )
    if not callable(spec.open):
        raise fault(plugin, f"open is {spec.open!r:.60}, not a function", "give the function itself")
    if inspect.iscoroutinefunction(spec.open):
        raise fault(plugin, "open is async, it is a plain function", "await inside what `open` returns")


def _article(word: str) -> str:
    return "an" if word[0] in "AEIOU" else "a"
