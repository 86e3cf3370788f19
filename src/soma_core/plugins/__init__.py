"""Plugins: found by metadata, chosen by name, checked, loaded. A typed face over pluggy.

Only what is chosen is imported; listing reads metadata. `Plugins` is made once a process by whoever assembles
components (the node, a worker, a suite, a notebook) and asked for specs by kind and name.
"""

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, final, overload

from soma_core.errors import PluginError

from ._faults import describe, open_failed, open_hangs, worker_ended
from ._metadata import GROUP, KINDS, Plugin, scan
from ._select import DEFAULT_PROFILE, EXCLUSIVE, REFERENCE, Selection, complete, exclusive, pick, select

if TYPE_CHECKING:
    from pathlib import Path

    from soma_core.api import (
        CoderSpec,
        CommandSpec,
        ConsensusSpec,
        EncoderSpec,
        Finding,
        IndexSpec,
        LedgerSpec,
        ScoringSpec,
        TokenizerSpec,
        TransportSpec,
    )
    from soma_core.api.spec import AnySpec

    from ._load import Loader

__all__ = [
    "DEFAULT_PROFILE",
    "EXCLUSIVE",
    "GROUP",
    "KINDS",
    "REFERENCE",
    "Plugin",
    "Plugins",
    "Selection",
    "complete",
    "describe",
    "open_failed",
    "open_hangs",
    "scan",
    "worker_ended",
]


@final
class Plugins:
    """The plugins of this process. `installed` defaults to what metadata says; a worker is given its one `Plugin`."""

    def __init__(self, installed: Iterable[Plugin] | None = None) -> None:
        self.installed: tuple[Plugin, ...] = scan() if installed is None else tuple(installed)
        self._loader: Loader | None = None

    def select(self, names: Sequence[str] = (), origin: str = "") -> Selection:
        """The plugins called `names` (none: the default profile), completed by transport and ledger. Imports nothing.

        `origin` says what named them (``--plugin``, ``SOMA_PLUGINS``, a file), for listings. Raises `PluginError`.
        """
        return select(names, self.installed, origin)

    def check(self, names: Sequence[str]) -> tuple[Plugin, ...]:
        """Exactly the plugins called `names`, after every check that needs only metadata. Raises `PluginError`."""
        return exclusive(pick(names, self.installed))

    def find(self, name: str) -> Plugin:
        """The plugin called `name` or ``DISTRIBUTION:NAME``. Imports nothing. Raises `PluginError`."""
        return pick((name,), self.installed)[0]

    @overload
    def spec(self, kind: Literal["consensus"], name: str) -> "ConsensusSpec[Any, Any]": ...
    @overload
    def spec(self, kind: Literal["transport"], name: str) -> "TransportSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["ledger"], name: str) -> "LedgerSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["encoder"], name: str) -> "EncoderSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["scoring"], name: str) -> "ScoringSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["tokenizer"], name: str) -> "TokenizerSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["coder"], name: str) -> "CoderSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["index"], name: str) -> "IndexSpec[Any]": ...
    @overload
    def spec(self, kind: Literal["command"], name: str) -> "CommandSpec": ...

    def spec(self, kind: str, name: str) -> "AnySpec":
        """The checked spec of the plugin called `name`, which is of `kind`. Imports it. Raises `PluginError`."""
        plugin = self.find(name)
        if plugin.kind != kind:
            raise PluginError(f"{plugin.title}: this is not a plugin of kind {kind}", f"name one, such as {kind}-…")
        return self.load(plugin)

    def load(self, plugin: Plugin) -> "AnySpec":
        """The checked spec of a plugin that `select` or `find` gave. Imports its module. Raises `PluginError`."""
        return self._load().spec(plugin)

    def findings(self, plugin: Plugin, config: object) -> "tuple[Finding, ...]":
        """What the plugin's own ``soma_doctor`` finds; nothing if it has none. Raises `PluginError`."""
        return self._load().findings(plugin, config)

    def vectors(self, plugin: Plugin) -> "Callable[[Path], Iterable[Any]] | None":
        """The ``conformance_vectors`` of the plugin's module, if any: from a file to cases (name, ok, detail)."""
        self.load(plugin)
        found: Callable[[Path], Iterable[Any]] | None = getattr(self.module(plugin), "conformance_vectors", None)
        return found

    def module(self, plugin: Plugin) -> ModuleType:
        """The module of `plugin`. Imports it. Raises `PluginError`."""
        return self._load().module(plugin)

    def _load(self) -> "Loader":
        if self._loader is None:
            from ._load import Loader  # pluggy and the API: not for who only lists

            self._loader = Loader(self.installed)
        return self._loader
