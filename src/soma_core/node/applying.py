"""The one way commits get into the store, whoever brings them: the engine, or peers with a quorum's signatures."""

from collections.abc import Awaitable, Callable
from typing import final

import trio
from attrs import frozen

from soma_core import chain
from soma_core.api import Commit

from .store import Store
from .threads import Thread

Told = Callable[[chain.Applied, bool], Awaitable[None]]
"""Hears of a commit that is on disk, before the next is applied; and whether a quorum had signed it before."""


@frozen
class Proof:
    """The record a quorum signed for a commit. `signatures`, by place: under this record, or none under a later one."""

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
            await self.thread.run(self.store.keep_signatures, commit.index, proof.signatures)
        await self._told(applied, proof is not None)
