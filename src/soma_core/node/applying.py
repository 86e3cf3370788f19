"""The one way commits get into the store, whoever brings them: the engine, or peers with members' signatures."""

import logging
from collections.abc import Awaitable, Callable
from typing import final

import trio
from attrs import frozen

from soma_core import chain
from soma_core.api import Commit

from .store import Store
from .threads import Thread

_log = logging.getLogger("soma.applying")
Told = Callable[[chain.Applied, bool], Awaitable[None]]
"""Hears of a commit that is on disk, before the next is applied; and whether peers brought it."""


@frozen
class Proof:
    """The record that members signed for a commit. `signatures`, by place: under it, or none under a later one."""

    record: chain.CommitRecord
    signatures: tuple[tuple[int, bytes], ...]


@final
class Applying:
    """Applies commits one at a time. Who holds `lock` sees the chain stand still, and may `apply`."""

    def __init__(self, store: Store, thread: Thread, told: Told) -> None:
        self.store = store
        self.thread = thread
        self.lock = trio.Lock()
        self._told = told

    async def apply(self, commit: Commit, proof: Proof | None = None) -> None:
        """Apply, write and tell of the next commit. With `lock` held. Raises what `Store.apply` does."""
        applied = await self.thread.run(self.store.apply, commit, proof.record if proof else None)
        if proof is not None and proof.signatures:
            await self.thread.run(self.store.backing.keep, commit.index, proof.signatures)
        _say(applied)
        await self._told(applied, proof is not None)


def _say(applied: chain.Applied) -> None:
    """Tell the operator what only newer software cures."""
    for event in applied.events:
        if isinstance(event, chain.BoundaryFailed):
            _log.error(
                "epoch %d could not be ended by the rules (%s): its money is parked, the network goes on in safe mode; "
                "report this with the index %d of the commit, and look for newer software",
                event.epoch,
                event.what,
                applied.record.index,
            )
        elif isinstance(event, chain.ProtocolChanged) and event.version > chain.PROTOCOL_MOST:
            _log.error("the network goes on with version %d of the rules: install newer software", event.version)
