"""Where a node that never ran will listen: its transport is opened once, for the addresses that it announces."""

from pathlib import Path
from typing import final

from soma_core.api import Budget, PeerId
from soma_core.config import Options, prepare
from soma_core.errors import KeyStoreError

from . import directory as places
from .components import open_transport


async def addresses_of(options: Options, data_dir: Path, node: bytes) -> tuple[str, ...]:
    """The addresses of the node with the public key `node`. What its transport makes to keep them, it makes now.

    Its settings name a port: one that the system chooses would be another the next time.
    """
    with places.locked(data_dir):
        prepared = prepare(options)
        async with open_transport(prepared, data_dir, _Mute(PeerId(node)), Budget()) as transport:
            return transport.addresses


@final
class _Mute:
    """Who the node will be; it proves nothing yet, and whoever comes already is turned away."""

    def __init__(self, peer: PeerId) -> None:
        self.peer = peer

    async def sign(self, _challenge: bytes, /) -> bytes:
        """Raises `KeyStoreError`."""
        raise KeyStoreError("this node is being founded", "connect when it runs")

    def verify(self, _peer: PeerId, _challenge: bytes, _signature: bytes, /) -> bool:
        """False."""
        return False
