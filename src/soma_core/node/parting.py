"""What a validator that loses its seat still owes the network: its signature under the last record of its last epoch.

It has no block any more in which that could ride along. Without it, a committee of which more than a third leaves at
once would have no proof of its last record, and followers could not go on. Rule O5 of ``specs/40-node.md``.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

import trio

from soma_core.api import PeerId
from soma_core.errors import SomaError
from soma_core.net import Network, Reply
from soma_core.records import pack, unpack

from .checkpoints import Checkpoints, Signed
from .store import Store
from .threads import Thread

SIGNED: Final = "record.signed"
SIGNED_MOST: Final = 256
"""Bytes of a signature with its place."""
SIGNED_LIMIT: Final = 5.0
"""Seconds for a member to take it."""
AGAIN: Final = 1.0
"""Seconds until it is said again."""


@final
class Parting:
    """`tell`: says bytes to whoever of the present committee is connected."""

    def __init__(self, store: Store, checkpoints: Checkpoints, tell: Callable[[bytes], Awaitable[None]]) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._tell = tell

    async def say(self, index: int) -> None:
        """Say the own signature under record `index` until that is proved."""
        signed = await self._checkpoints.own(index)
        while signed is not None and self._store.proved < index:
            await self._tell(pack(signed))
            await trio.sleep(AGAIN)


def serve_signatures(network: Network, checkpoints: Checkpoints) -> None:
    """Hear former members' signatures under the last record of their epoch."""

    async def hear(_peer: PeerId, _body: object, payload: bytes) -> Reply:
        await checkpoints.hear(unpack(Signed, payload))
        return Reply()

    network.serve(SIGNED, hear, channel="sync", max_payload=SIGNED_MOST)


def to_members(network: Network, store: Store, thread: Thread) -> Callable[[bytes], Awaitable[None]]:
    """How bytes are said to the members that are connected: to each in turn, once."""

    async def tell(signed: bytes) -> None:
        seats = await thread.run(store.seated)
        for peer in [PeerId(seat.node) for seat in seats if seat.node in network.peers]:
            with trio.move_on_after(SIGNED_LIMIT), suppress(SomaError):
                await network.request(peer, "sync", SIGNED, payload=signed)

    return tell
