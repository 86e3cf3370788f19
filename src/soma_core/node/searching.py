"""What a node answers to ``soma search``: the index names jobs, the ledger says what they are.

Rules SE9 to SE13 of ``specs/84-search.md``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import trio
from attrs import evolve

from soma_core import chain
from soma_core.api import Hit, Label, control, searching
from soma_core.api.searching import ONE, PREVIEW, SHORTEST
from soma_core.config import Prepared
from soma_core.errors import CorruptionError, RefusedError
from soma_core.net import BlobStore
from soma_core.records import unpack

from .components import index_opener
from .control import Answerer, Replied
from .events import Hub
from .indexing import Indexing, as_floats
from .store import Store
from .threads import Thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOOKED: Final = 8
"""Receipts that are read at a time, so that the chain does not wait for a search."""
PREVIEWED: Final = 64
"""Jobs, the nearest, that come with the beginning of their data."""
ASKED_MOST: Final = 4 * searching.FOUND_MOST
"""Vectors that the index is asked for at most, where some of what it names are not jobs of the chain."""


@final
class Searching:
    """The answers of one node. `indexing`: None where no index was chosen."""

    def __init__(self, indexing: Indexing | None, store: Store, thread: Thread, blobs: BlobStore) -> None:
        self._indexing = indexing
        self._store = store
        self._thread = thread
        self._blobs = blobs

    @property
    def status(self) -> searching.IndexStatus | None:
        """How the index is, if there is one."""
        return None if self._indexing is None else self._indexing.status

    async def run(self) -> None:
        """Keep the index, if there is one, for ever."""
        if self._indexing is not None:
            await self._indexing.run()

    def answerers(self) -> Mapping[str, Answerer]:
        """What they are called."""
        return {control.SEARCH.name: self._search}

    async def _search(self, request: searching.Search, _payload: bytes) -> Replied:
        indexing = self._indexing
        if indexing is None:
            raise RefusedError("this node keeps no index", "run it with --plugin index-exact beside its other plugins")
        where = searching.typed(request.where)
        tip = self._store.tip.index
        if request.vector and request.job:
            raise RefusedError("a vector and a job were asked about", "ask about one of them")
        if request.vector:
            job, vector = b"", self._query(request.vector)
        else:
            job, vector = await self._thread.run(self._job, request.job)
        near = await self._near(indexing, vector, request.most, where, job)
        near = [*await trio.to_thread.run_sync(self._with_previews, near[:PREVIEWED]), *near[PREVIEWED:]]
        among, behind = indexing.status.vectors, indexing.behind(tip)
        return Replied(searching.Found(job=job, found=tuple(near), among=among, behind=behind))

    async def _near(
        self, indexing: Indexing, vector: "NDArray[np.float32]", most: int, where: Mapping[str, Label], but: bytes
    ) -> list[searching.Near]:
        """The nearest settled jobs. Where the index names others too, it is asked for more."""
        asked = most + 1
        while True:
            hits = await indexing.search(vector, asked, where)
            wanted = [hit for hit in hits if hit.id != but]
            parts = [wanted[at : at + LOOKED] for at in range(0, len(wanted), LOOKED)]
            found = [near for part in parts for near in await self._thread.run(self._told, part)]
            if len(found) >= most or len(hits) < asked or asked >= ASKED_MOST:
                return found[:most]
            asked = min(2 * asked, ASKED_MOST)

    def _told(self, hits: Sequence[Hit]) -> list[searching.Near]:
        """What the ledger says of jobs; nothing of those that are not settled."""
        found = []
        for hit in hits:
            receipt = self._receipt(hit.id)
            if receipt is not None and receipt.vector:
                found.append(
                    searching.Near(
                        job=receipt.job,
                        similarity=round(hit.similarity * ONE),
                        blob=receipt.blob,
                        size=receipt.size,
                        time=receipt.time,
                        epoch=receipt.epoch,
                        winner=receipt.winner,
                        final=receipt.final,
                        held=self._blobs.has(receipt.blob),
                        preview=b"",
                    )
                )
        return found

    def _receipt(self, job: bytes) -> chain.JobReceipt | None:
        known = self._store.receipt(job)
        return None if known is None else unpack(chain.JobReceipt, known)

    def _job(self, beginning: bytes) -> tuple[bytes, "NDArray[np.float32]"]:
        """The settled job whose key begins so, and its vector."""
        if len(beginning) < SHORTEST:
            raise RefusedError("neither a vector nor a job was named", f"name at least {2 * SHORTEST} digits of a job")
        found = self._store.read(
            lambda state: [name for name, _ in state.scan(chain.DONE, beginning, beginning + b"\xff" * 33)]
        )
        if len(found) > 1:
            raise RefusedError(f"several jobs begin with {beginning.hex()}", "name more of its digits")
        receipt = self._receipt(found[0]) if found else None
        if receipt is None:
            raise RefusedError(f"no job {beginning.hex()} has ended", "see `soma embed` and its receipts")
        if not receipt.vector:
            raise RefusedError(f"job {beginning.hex()[:12]} was refunded: it has no vector", "name a settled one")
        return receipt.job, as_floats(receipt.vector, receipt.dimension)

    def _query(self, data: bytes) -> "NDArray[np.float32]":
        """A vector from outside, float32 [dimension]."""
        import numpy as np

        dimension = self._store.genesis.parameters.dimension
        if len(data) != 4 * dimension:
            raise RefusedError(
                f"a vector of {len(data) / 4:g} numbers", f"the vectors of this network have {dimension}"
            )
        vector = np.frombuffer(data, "<f4").astype(np.float32)
        if not np.isfinite(vector).all() or not vector.any():
            raise RefusedError("the vector is zero, or not finite", "ask with one that points somewhere")
        return vector

    def _with_previews(self, near: Sequence[searching.Near]) -> list[searching.Near]:
        return [evolve(each, preview=self._preview(each.blob)) if each.held else each for each in near]

    def _preview(self, blob: bytes) -> bytes:
        """The beginning of a blob, checked; nothing if it has gone or rotted meanwhile."""
        try:
            return self._blobs.chunk(blob, 0)[:PREVIEW]
        except (RefusedError, CorruptionError):
            return b""


def searching_of(
    prepared: Prepared, data_dir: Path, store: Store, thread: Thread, hub: Hub, blobs: BlobStore
) -> Searching:
    """With the index that was chosen, or none. Nothing is opened yet."""
    opener = index_opener(prepared, data_dir)
    indexing = None if opener is None else Indexing(opener, data_dir, store, thread, hub)
    return Searching(indexing, store, thread, blobs)
