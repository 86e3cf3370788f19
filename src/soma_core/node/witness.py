"""A validator's signatures under commit records: given as commits are on disk, and owed when an epoch is over.

Signatures ride along in blocks. Who loses its seat has no block any more for the last one of its epoch; who comes to
that record late has blocks in which the chain does not count it any more. They say it themselves. Else a committee of
which more than a third leaves at once, or keeps back its signatures, would have no proof of its last record, and
followers could not go on. Rules O5 and O26 of ``specs/40-node.md``.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, final

import trio

from soma_core import chain
from soma_core.api import PeerId
from soma_core.errors import SomaError
from soma_core.net import Network, Reply
from soma_core.records import pack, unpack

from .checkpoints import Checkpoints, Signed
from .signing import Signing
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
class Witness:
    """Signs records with `signing`. `tell`: says bytes to whoever of the present committee is connected."""

    def __init__(
        self,
        store: Store,
        thread: Thread,
        checkpoints: Checkpoints,
        signing: Signing,
        tell: Callable[[bytes], Awaitable[None]],
        nursery: trio.Nursery,
    ) -> None:
        self._store = store
        self._thread = thread
        self._checkpoints = checkpoints
        self._signing = signing
        self._tell = tell
        self._nursery = nursery

    async def resume(self) -> None:
        """Make up for the signature that a crash may have left out."""
        tip = await self._thread.run(self._store.record, self._store.tip.index)
        if tip is not None and self._store.proved < tip.index:
            await self._checkpoints.sign(tip, self._signing)
            self._nursery.start_soon(self._say, tip.index)

    async def ordered(self, what: chain.Applied, *, seated: bool) -> None:
        """A commit of the own engine is on disk. `seated`: whether this node is still a member after it."""
        await self._checkpoints.note(what)
        await self._checkpoints.sign(what.record, self._signing)
        if what.seats and not seated:
            self._nursery.start_soon(self._say, what.record.index)

    async def fetched(self, what: chain.Applied) -> None:
        """A commit that came from peers is on disk: to be signed if those who signed it are no quorum yet."""
        await self._checkpoints.note(what)
        if self._store.proved < what.record.index <= self._store.backing.vouched:
            await self._checkpoints.sign(what.record, self._signing)
            self._nursery.start_soon(self._say, what.record.index)

    async def _say(self, index: int) -> None:
        """Say the own signature under record `index`, if it ends an epoch, until that is proved."""
        signed = await self._checkpoints.owed(index)
        while signed is not None and self._store.proved < index:
            await self._tell(pack(signed))
            await trio.sleep(AGAIN)


def serve_signatures(network: Network, checkpoints: Checkpoints) -> None:
    """Hear members' signatures under the last record of an earlier epoch of theirs."""

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
