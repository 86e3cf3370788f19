"""``consensus-solo``: a committee of one orders its own payload."""

from attrs import frozen

from soma_core.api import ConsensusSpec, Engine, NoParams, Setup, hookimpl, option

__all__ = ["Config", "open_engine", "soma_consensus"]


@frozen
class Config:
    """How fast the one member works. Nothing of it concerns anybody else, so none of it is in genesis."""

    min_round_ms: int = option(20, "milliseconds from one commit to the next, at least", min=1, max=60_000)
    idle_ms: int = option(500, "milliseconds to an empty commit when there is nothing to order", min=1, max=60_000)


@hookimpl
def soma_consensus() -> ConsensusSpec[Config, NoParams]:
    """A committee of one orders its own payload."""
    return ConsensusSpec(api=1, config=Config, params=NoParams, rule_id="soma/solo", rule_version=1, open=open_engine)


def open_engine(config: Config, params: NoParams, setup: Setup) -> Engine:
    """The engine of one epoch. Raises `SomaError` for a committee that is not one member."""
    from ._engine import Solo  # the codec stays out until here

    del params
    return Solo(config, setup)
