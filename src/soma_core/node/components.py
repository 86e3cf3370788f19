"""Opening what a node is made of: each component by its plugin's spec, with a directory, a logger and a time limit.

Whatever a plugin does wrong while it opens becomes one line that names it.
"""

import inspect
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import trio
from attrs import frozen

from soma_core.api import (
    Budget,
    ConsensusSpec,
    Context,
    Engine,
    Identity,
    Index,
    IndexSpec,
    Ledger,
    LedgerContext,
    LedgerSpec,
    ScoringRule,
    ScoringSpec,
    Setup,
    Transport,
    TransportContext,
    TransportSpec,
)
from soma_core.config import Prepared, instance
from soma_core.errors import ConfigError, GenesisError, PluginError, SomaError
from soma_core.genesis import Rule
from soma_core.plugins import Plugin, Plugins, open_failed, open_hangs

from . import directory as places
from .threads import Thread


def one_of(prepared: Prepared, kind: str) -> Plugin:
    """The one chosen plugin of an exclusive kind."""
    (plugin,) = prepared.selection.of(kind)
    return plugin


async def open_ledger(
    prepared: Prepared, data_dir: Path, database: Literal["chain", "consensus"], thread: Thread
) -> Ledger:
    """The selected ledger, opened in `thread` for one of its two databases. Raises `PluginError`."""
    plugin = one_of(prepared, "ledger")
    spec = prepared.specs[plugin.name]
    assert isinstance(spec, LedgerSpec)
    config = prepared.resolved.of(plugin.name, spec.config)
    context = LedgerContext(
        plugin.name,
        places.make(data_dir, places.COMPONENTS, f"{plugin.name}-{database}"),
        logging.getLogger(plugin.name),
        database,
    )
    ledger: Ledger | None = None
    patience = prepared.resolved.node.open_timeout
    with trio.move_on_after(patience):
        try:
            ledger = await thread.run_or_leave(spec.open, config, context)
            _check_complete(plugin, ledger, Ledger)
        except SomaError:
            raise
        except (Exception, SystemExit) as error:  # whatever a foreign module raises
            raise open_failed(plugin, error) from error
    if ledger is None:
        raise open_hangs(plugin, patience)
    return ledger


@asynccontextmanager
async def open_transport(
    prepared: Prepared, data_dir: Path, identity: Identity, budget: Budget
) -> AsyncIterator[Transport]:
    """The selected transport, which counts in `budget`. Raises `PluginError` if it does not open."""
    plugin = one_of(prepared, "transport")
    spec = prepared.specs[plugin.name]
    assert isinstance(spec, TransportSpec)
    config = prepared.resolved.of(plugin.name, spec.config)
    context = TransportContext(
        plugin.name,
        places.make(data_dir, places.COMPONENTS, plugin.name),
        logging.getLogger(plugin.name),
        identity,
        budget,
    )
    patience = prepared.resolved.node.open_timeout
    opened = False
    with trio.CancelScope(deadline=trio.current_time() + patience) as opening:
        try:
            async with spec.open(config, context) as transport:
                opened = True
                opening.deadline = math.inf
                _check_complete(plugin, transport, Transport)
                yield transport
        except SomaError:
            raise
        except (Exception, SystemExit) as error:  # whatever a foreign module raises
            if opened:
                raise
            raise open_failed(plugin, error) from error
    if not opened:
        raise open_hangs(plugin, patience)


def index_opener(prepared: Prepared, data_dir: Path) -> "IndexOpener | None":
    """How to open the selected index, if one is."""
    for plugin in prepared.selection.of("index"):
        spec = prepared.specs[plugin.name]
        assert isinstance(spec, IndexSpec)
        context = Context(
            plugin.name, places.make(data_dir, places.COMPONENTS, plugin.name), logging.getLogger(plugin.name)
        )
        return IndexOpener(plugin, spec, prepared.resolved.of(plugin.name, spec.config), context)
    return None


@frozen
class IndexOpener:
    """Opens an index, in the thread that calls it. `durable`: what it was given is on disk at once."""

    plugin: Plugin
    spec: IndexSpec[Any]
    config: Any
    context: Context

    @property
    def durable(self) -> bool:
        """Whether the index declares it."""
        return "durable" in self.spec.features

    def __call__(self) -> Index:
        """The index. Raises `PluginError`."""
        index: Index = _opened(self.plugin, Index, self.spec.open, self.config, self.context)
        return index


def scoring_of(plugins: Plugins, rule: Rule) -> ScoringRule:
    """The scoring rule that a genesis names. Raises `PluginError` or `GenesisError`."""
    plugin = plugins.find(rule.plugin)
    spec = plugins.spec("scoring", rule.plugin)
    _same_rule(spec, rule)
    opened: ScoringRule = _opened(plugin, ScoringRule, spec.open, params_of(spec, rule))
    return opened


def engine_opener(prepared: Prepared, rule: Rule) -> "EngineOpener":
    """How to make engines of the selected consensus, checked against the genesis."""
    plugin = one_of(prepared, "consensus")
    spec = prepared.specs[plugin.name]
    assert isinstance(spec, ConsensusSpec)
    _same_rule(spec, rule)
    return EngineOpener(plugin, spec, prepared.resolved.of(plugin.name, spec.config), params_of(spec, rule))


class EngineOpener:
    """Makes an engine for each epoch."""

    def __init__(self, plugin: Plugin, spec: ConsensusSpec[Any, Any], config: Any, params: Any) -> None:
        self._plugin = plugin
        self._spec = spec
        self._config = config
        self._params = params

    def __call__(self, setup: Setup) -> Engine:
        """An engine for one epoch. Raises `PluginError`."""
        engine: Engine = _opened(self._plugin, Engine, self._spec.open, self._config, self._params, setup)
        return engine


def params_of(spec: ConsensusSpec[Any, Any] | ScoringSpec[Any], rule: Rule) -> Any:
    """A rule's parameters as its plugin's class. Raises `GenesisError` with every problem."""
    values: Mapping[str, int] = rule.params
    try:
        return instance(spec.params, values, rule.plugin, "genesis")
    except ConfigError as error:
        raise GenesisError(
            f"the genesis gives {rule.plugin} parameters it does not take: {'; '.join(error.problems)}",
            "use the release of the plugin that the network runs",
        ) from error


def _same_rule(spec: ConsensusSpec[Any, Any] | ScoringSpec[Any], rule: Rule) -> None:
    if (spec.rule_id, spec.rule_version) != (rule.rule_id, rule.rule_version):
        raise GenesisError(
            f"the network runs {rule.rule_id} version {rule.rule_version},"
            f" {rule.plugin} here is {spec.rule_id} version {spec.rule_version}",
            "install the release of the plugin that the network runs, or name the consensus it was founded with",
        )


def _opened(plugin: Plugin, protocol: type, open_: Callable[..., Any], *arguments: object) -> Any:
    """What a pure component's `open_` gives, at once."""
    try:
        component = open_(*arguments)
    except SomaError:
        raise
    except (Exception, SystemExit) as error:  # whatever a foreign module raises
        raise open_failed(plugin, error) from error
    _check_complete(plugin, component, protocol)
    return component


def _check_complete(plugin: Plugin, component: object, protocol: type) -> None:
    """Whether `component` has every member of `protocol`. Raises `PluginError`."""
    ours = [base for base in protocol.__mro__ if base.__module__.startswith("soma_core.")]
    names = {name for base in ours for name in (*vars(base), *inspect.get_annotations(base))}
    missing = sorted(name for name in names if not name.startswith("_") and not hasattr(component, name))
    if missing:
        raise PluginError(
            f"{plugin.title}: open returned {type(component).__name__} without {', '.join(missing)}",
            f"return what soma_core.api.{protocol.__name__} describes",
        )
