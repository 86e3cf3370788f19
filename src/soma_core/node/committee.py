"""The committee's members as peers: by place, as engines know them, over the connections of the network."""

from typing import final

from soma_core.api import PeerId
from soma_core.genesis import Genesis
from soma_core.net import Network

from .driver import Driver


@final
class Committee:
    """The members of `genesis` on `network`."""

    def __init__(self, genesis: Genesis, network: Network) -> None:
        self._peers = [PeerId(v.node) for v in genesis.validators]
        self._places = {peer: place for place, peer in enumerate(self._peers)}
        self._network = network

    def send(self, place: int, message: bytes) -> None:
        """Lossy."""
        self._network.consensus_send(self._peers[place], message)

    async def hear(self, driver: Driver) -> None:
        """Hand on what members say, a turn a peer, as fast as the driver takes it."""
        async for peer, message in self._network.consensus_messages:
            if (place := self._places.get(peer)) is not None:
                await driver.received(place, message)

    async def watch(self, driver: Driver) -> None:
        """Tell the driver who is connected, also where one connection has taken the place of another."""
        known: dict[PeerId, int] = {}
        while True:
            changed = self._network.changed
            connections = self._network.connections
            present = {peer: connections[peer] for peer in self._peers if peer in connections}
            for peer in [peer for peer in known if peer not in present]:
                driver.disconnected(self._places[peer])
            for peer, number in present.items():
                if known.get(peer) != number:
                    driver.connected(self._places[peer])
            known = present
            await changed.wait()
