"""From a socket to a multiplexed connection with a proved libp2p peer: Noise, then yamux, and nothing else."""

from typing import Any, Final

from libp2p.crypto.keys import KeyPair
from libp2p.crypto.x25519 import create_new_key_pair as create_x25519
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID
from libp2p.protocol_muxer.generic_selector import GenericMultistreamSelector
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.transport.upgrader import TransportUpgrader

from ._wire import Wire
from ._yamux import GuardedYamux, install

LINE: Final = 1024
"""Bytes of a negotiation line."""


class Upgrader:
    """Holds this host's keys."""

    def __init__(self, host_key: KeyPair) -> None:
        install()
        self.peer_id = ID.from_pubkey(host_key.public_key)
        noise = NoiseTransport(host_key, noise_privkey=create_x25519().private_key)
        # py-libp2p's default also offers plaintext, by which a dialler becomes whoever it claims to be.
        self._security = TransportUpgrader({NOISE: noise}, {YAMUX: GuardedYamux})

    async def upgrade(self, wire: Wire, peer_id: ID | None) -> GuardedYamux:
        """A connection that is not started yet; `GuardedYamux.peer_id` is proved, and is `peer_id` if that is given."""
        secured = await self._security.upgrade_security(wire, wire.is_initiator, peer_id)
        selector: GenericMultistreamSelector[Any] = GenericMultistreamSelector()
        selector.add_handler(YAMUX, None)
        await selector.select(_Lines(secured), wire.is_initiator)
        muxed = GuardedYamux(secured, secured.get_remote_peer(), is_initiator=wire.is_initiator)
        muxed.share = wire.share
        return muxed


class _Lines:
    """A secured connection during negotiation, when a stranger may announce a line of any length."""

    def __init__(self, secured: Any) -> None:
        self.write = secured.write
        self._read = secured.read

    async def read(self, n: int | None = None) -> bytes:
        if n is None or n > LINE:
            raise ConnectionClosedError(f"a line of {n} bytes was announced; {LINE} is the most")
        data: bytes = await self._read(n)
        return data
