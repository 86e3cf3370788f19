"""Peers as the driver of engines knows them: by node, over the connections of the network."""

from typing import final

from soma_core.api import PeerId
from soma_core.net import Network

from .driver import Driver


@final
class Committee:
    """Whoever is connected on `network`: which of them are members, and where, the driver knows."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def send(self, node: bytes, message: bytes) -> None:
        """Lossy."""
        self._network.consensus_send(PeerId(node), message)

    async def hear(self, driver: Driver) -> None:
        """Hand on what peers say, a turn a peer, as fast as the driver takes it."""
        async for peer, message in self._network.consensus_messages:
            await driver.received(peer, message)

    async def watch(self, driver: Driver) -> None:
        """Tell the driver who is connected, also where one connection has taken the place of another."""
        known: dict[PeerId, int] = {}
        while True:
            changed = self._network.changed
            present = dict(self._network.connections)
            for peer in [peer for peer in known if peer not in present]:
                driver.disconnected(peer)
            for peer, number in present.items():
                if known.get(peer) != number:
                    driver.connected(peer)
            known = present
            await changed.wait()
