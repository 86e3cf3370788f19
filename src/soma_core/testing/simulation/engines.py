"""The engine a simulation is of: how it is opened, and what a scheduler that knows the rule may ask of it."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Protocol

from attrs import evolve, fields, frozen

from soma_core.api import Engine, Setup
from soma_core.config import instance
from soma_core.genesis import Rule
from soma_core.node.development import rule_of
from soma_core.testing.component import NOTHING, Component, component

HASTY: Final = {"min_round_ms": 1, "leader_timeout_ms": 1, "idle_ms": 1}
"""Settings of an engine without patience, where it has them."""


class View(Protocol):
    """What a message is about. `kind`: ``"block"`` for one that brings its author's new block of a round."""

    @property
    def kind(self) -> str: ...
    @property
    def author(self) -> int: ...
    @property
    def round(self) -> int: ...


def _nothing(_message: bytes) -> View | None:
    return None


def _in_turn(setup: Setup, round_: int) -> int:
    return round_ % len(setup.committee)


@frozen(kw_only=True)
class Engines:
    """`open`: an engine of a `Setup`; `hasty`: one that waits for no leader, as a Byzantine member may have it.

    `view`: of a message, or None. `leader`: the place that leads a round. `alone`: it serves committees of one only.
    `rule`: as genesis names it.
    """

    name: str
    rule: Rule
    open: Callable[[Setup], Engine]
    hasty: Callable[[Setup], Engine] | None = None
    view: Callable[[bytes], View | None] = _nothing
    leader: Callable[[Setup, int], int] = _in_turn
    alone: bool = False


def plugin_engines(
    name: str, config: Mapping[str, object] = NOTHING, params: Mapping[str, object] = NOTHING
) -> Engines:
    """The engine of the plugin called `name`. Settings and parameters that it does not have are left out.

    The plugin's module may have ``simulation_view(message)`` and ``leader(params, setup, round)``. Raises
    `PluginError`, `ConfigError`.
    """
    chosen = _component(name)
    spec = chosen.spec
    settings, hasty = (
        instance(spec.config, _known(spec.config, {**config, **more}), f"consensus.{name}", "simulation")
        for more in (NOTHING, HASTY)
    )
    chosen_params = instance(spec.params, _known(spec.params, params), f"consensus.{name}", "simulation")
    leader = getattr(chosen.module, "leader", None)
    rule = rule_of(name, spec)
    return Engines(
        name=name,
        rule=evolve(rule, params={**rule.params, **_known(spec.params, params)}),
        open=lambda setup: spec.open(settings, chosen_params, setup),
        hasty=lambda setup: spec.open(hasty, chosen_params, setup),
        view=getattr(chosen.module, "simulation_view", _nothing),
        leader=_in_turn if leader is None else lambda setup, round_: int(leader(chosen_params, setup, round_)),
        alone="catch-up" not in spec.features,
    )


@cache
def _component(name: str) -> Component:
    return component(name)


def _known(cls: type[Any], values: Mapping[str, object]) -> dict[str, Any]:
    names = {attribute.name for attribute in fields(cls)}
    return {name: value for name, value in values.items() if name in names}


REMEMBERED: Final = 4_096
"""Messages whose view is remembered: one is looked at on every link it takes."""


class Views:
    """`Engines.view`, each message looked at once."""

    def __init__(self, engines: Engines) -> None:
        self._view = engines.view
        self._known: dict[bytes, View | None] = {}

    def __call__(self, message: bytes) -> View | None:
        """What `message` is about, or None."""
        known = self._known
        if message in known:
            return known[message]
        if len(known) >= REMEMBERED:
            known.clear()
        view = known[message] = self._view(message)
        return view
