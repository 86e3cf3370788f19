"""``consensus-dag``: a committee of several orders payload by Mysticeti-C, on a graph of signed blocks."""

from typing import TYPE_CHECKING

from attrs import frozen

from soma_core.api import ConsensusSpec, Engine, Setup, hookimpl, option

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from soma_core.testing.cases import Case

    from ._view import View

__all__ = ["Config", "Params", "conformance_vectors", "leader", "open_engine", "simulation_view", "soma_consensus"]


@frozen
class Config:
    """How fast this member works. Members may differ; nobody's safety depends on it."""

    min_round_ms: int = option(50, "milliseconds from one block of ours to the next, at least", min=1, max=60_000)
    leader_timeout_ms: int = option(250, "milliseconds to wait for a leader's block, and for votes", min=1, max=60_000)
    idle_ms: int = option(750, "milliseconds between blocks when there is nothing to order", min=1, max=60_000)
    keep_commits: int = option(2_000, "commits kept on disk for members that are behind", min=100, max=1_000_000)


@frozen
class Params:
    """What all members must agree on; it stands in genesis."""

    leaders_per_round: int = option(1, "leaders of each round", min=1, max=64)
    wave_length: int = option(3, "rounds from a leader's block to its certificates", min=3, max=5)
    gc_depth: int = option(
        60, "rounds below the last committed leader in which a block is still ordered", min=8, max=1000
    )
    schedule_commits: int = option(300, "commits after which leaders are chosen anew; 0: never", min=0, max=100_000)
    schedule_bad_percent: int = option(30, "stake in a hundred that may lose its turn to lead", min=0, max=33)


@hookimpl
def soma_consensus() -> ConsensusSpec[Config, Params]:
    """A committee of several, a third of whose stake may lie."""
    return ConsensusSpec(
        api=1,
        config=Config,
        params=Params,
        rule_id="soma/dag",
        rule_version=1,
        open=open_engine,
        features=frozenset({"catch-up", "byzantine"}),
    )


def open_engine(config: Config, params: Params, setup: Setup) -> Engine:
    """The engine of one epoch."""
    from ._engine import DagEngine  # the codec stays out until here

    return DagEngine(config, params, setup)


def conformance_vectors(file: "str | PathLike[str]") -> "Iterator[Case]":
    """One `Case` for each committer case, fed in 100 orders, and each row of a table of a vector file.

    The format is that of ``specs/vectors/consensus_cases.json``; two-round cases, of another rule, are left out. Raises
    `soma_core.errors.DecodeError` if `file` does not have it, OSError if it cannot be read.
    """
    from ._vectors import run_file

    yield from run_file(file)


def simulation_view(message: bytes) -> "View | None":
    """What a message to another member is about, for simulators: the one block that it brings, or None."""
    from ._view import view_of

    return view_of(message)


def leader(params: Params, setup: Setup, round_: int) -> int:
    """The first leader of a round, for simulators: as long as nothing is committed that changes it."""
    from ._view import first_leader

    return first_leader(params, setup, round_)
