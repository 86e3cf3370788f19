"""What happened on the network, counted."""

import attrs
from attrs import define, frozen


@frozen
class Statistics:
    """Totals since the node started."""

    received: int = 0
    """Messages from peers."""
    received_bytes: int = 0
    sent: int = 0
    """Messages handed to the transport."""
    sent_bytes: int = 0
    lost: int = 0
    """Consensus messages not sent: the peer was not connected, or 64 already waited for it."""
    ignored: int = 0
    """Notes from peers that nobody here listens to."""
    late: int = 0
    """Answers that came when nobody waited for them any more."""
    busy: int = 0
    """Requests turned away because too many of that peer were being served."""
    dials: int = 0
    failed_dials: int = 0
    refused: int = 0
    """Connections that ended in the handshake."""
    breaches: int = 0
    """Connections ended because the peer broke a rule."""
    frozen: int = 0
    """Connections ended because the peer was silent, or took nothing, for too long."""
    replaced: int = 0
    """Connections ended by a newer one of the same peer."""
    crowded: int = 0
    """Connections ended because the memory for peers was full, and this peer held most of it."""


@define
class Counters:
    """The running form of `Statistics`, with the same fields."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    lost: int = 0
    ignored: int = 0
    late: int = 0
    busy: int = 0
    dials: int = 0
    failed_dials: int = 0
    refused: int = 0
    breaches: int = 0
    frozen: int = 0
    replaced: int = 0
    crowded: int = 0

    def snapshot(self) -> Statistics:
        """The totals now."""
        return Statistics(**attrs.asdict(self))
