"""A ledger and a network in memory: the twins of the real ones, for tests, simulations and notebooks."""

from contextlib import AbstractAsyncContextManager

from attrs import frozen

from soma_core.api import (
    Ledger,
    LedgerContext,
    LedgerSpec,
    NoConfig,
    Transport,
    TransportContext,
    TransportSpec,
    hookimpl,
    option,
)

__all__ = ["MemoryConfig", "soma_ledger", "soma_transport"]


@frozen
class MemoryConfig:
    """How badly the network between memory transports behaves. All of it follows from `seed`."""

    network: str = option("default", "transports of one process with the same name here can reach each other")
    seed: int = option(0, "of delays, losses and reordering; used by who opens the network first", min=0)
    delay_ms_min: int = option(0, "shortest time a message travels", min=0, max=60_000)
    delay_ms_max: int = option(0, "longest time a message travels", min=0, max=60_000)
    loss: float = option(0.0, "share of messages that vanish", min=0.0, max=1.0)
    reorder: float = option(0.0, "share of messages that may overtake earlier ones", min=0.0, max=1.0)
    queue: int = option(64, "messages a channel holds unread before the sender waits", min=1, max=65_536)


@hookimpl
def soma_ledger() -> LedgerSpec[NoConfig]:
    """``ledger-memory``: ordered, with snapshots, gone when closed."""
    return LedgerSpec(api=1, config=NoConfig, open=open_ledger, features=frozenset({"snapshot"}))


@hookimpl
def soma_transport() -> TransportSpec[MemoryConfig]:
    """``transport-memory``: peers of one process, with seeded delay, loss, reordering and partition."""
    return TransportSpec(api=1, config=MemoryConfig, open=open_transport, needs=frozenset({"identity"}))


def open_ledger(_config: NoConfig, _context: LedgerContext) -> Ledger:
    """An empty ledger."""
    from ._ledger import MemoryLedger

    return MemoryLedger()


def open_transport(config: MemoryConfig, context: TransportContext) -> AbstractAsyncContextManager[Transport]:
    """A transport on the network that `config` names."""
    from ._transport import open_transport as opened

    return opened(config, context)
