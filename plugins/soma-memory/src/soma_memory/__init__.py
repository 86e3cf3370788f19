"""A ledger and a network in memory: the twins of the real ones, for tests, simulations and notebooks."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from ._fabric import Fabric as Fabric
    from ._transport import network as network
    from ._transport import transport_on as transport_on

__all__ = ["Fabric", "MemoryConfig", "network", "soma_ledger", "soma_transport", "transport_on"]


@frozen
class MemoryConfig:
    """How badly the network between memory transports behaves. All of it follows from `seed`."""

    network: str = option("default", "transports of one process with the same name here can reach each other")
    seed: int = option(0, "of delays, losses and reordering; used by who opens the network first", min=0)
    delay_ms_min: int = option(0, "shortest time a message travels", min=0, max=60_000)
    delay_ms_max: int = option(0, "longest time a message travels; delay_ms_min if that is more", min=0, max=60_000)
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


def __getattr__(name: str) -> Any:
    if name == "Fabric":  # trio stays out until somebody asks
        from ._fabric import Fabric

        return Fabric
    if name in {"network", "transport_on"}:
        from . import _transport

        return getattr(_transport, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
