"""``transport-libp2p``: authenticated connections over TCP, Noise and yamux."""

from contextlib import AbstractAsyncContextManager

from attrs import frozen

from soma_core.api import Transport, TransportContext, TransportSpec, hookimpl, option

__all__ = ["Libp2pConfig", "soma_transport"]


@frozen
class Libp2pConfig:
    """Settings of ``[transport.libp2p]``. Every number is a bound on what strangers or peers may take."""

    listen: str = option("/ip4/127.0.0.1/tcp/0", "where to listen; port 0 takes a free one")
    announce: str = option(
        "", "address that peers shall dial, when it is not where we listen: /ip4/203.0.113.7/tcp/4001"
    )
    hello_timeout: float = option(10.0, "seconds from the first byte to a proved key", min=0.1, max=120.0)
    max_connections: int = option(256, "proved connections that peers opened to us", min=1, max=65_536)
    max_half_open: int = option(
        128, "connections not proved yet; the oldest of the busiest host goes", min=2, max=65_536
    )
    backlog: int = option(64, "proved connections that wait to be accepted by the node", min=1, max=4096)
    inbox: int = option(64, "unread messages a channel holds before its peer waits", min=64, max=65_536)
    inbox_kb: int = option(2048, "unread kB a channel holds before its peer waits", min=64, max=1 << 20)
    outbox_kb: int = option(1024, "unsent kB a channel holds before the sender waits", min=64, max=1 << 20)


@hookimpl
def soma_transport() -> TransportSpec[Libp2pConfig]:
    """``transport-libp2p``: what nodes use between machines."""
    return TransportSpec(api=1, config=Libp2pConfig, open=open_transport, needs=frozenset({"identity", "network"}))


def open_transport(config: Libp2pConfig, context: TransportContext) -> AbstractAsyncContextManager[Transport]:
    """Listens when entered. Raises `OSError` or `ValueError` that name the setting when it cannot."""
    from ._transport import open_transport as opened

    return opened(config, context)
