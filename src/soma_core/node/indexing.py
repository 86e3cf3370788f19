"""A node's index: the joined vectors of all settled jobs of its chain, kept in a thread of the index's own.

An index is derived. What it holds follows from the receipts in the ledger, in the order of their commits; so nothing
waits between the chain and it but a number, the commit up to which it has looked. Whatever becomes of an index, and
however often something is read again, it comes to the same. Rules SE1 to SE8 of ``specs/84-search.md``.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, final

import trio
from attrs import frozen

from soma_core import chain, codec, fixed
from soma_core.api import Hit, Index, Label, Labels
from soma_core.api.searching import IndexStatus
from soma_core.errors import DecodeError, PluginError, RefusedError
from soma_core.plugins import describe
from soma_core.records import octets, pack, structure, uint, unpack

from . import directory as places
from .components import IndexOpener
from .durable import read_if_there, sync_directory, write_durably
from .events import Hub
from .store import MAX_COMMIT, Receipts, Store
from .threads import Thread, open_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

PART: Final = 1 << 20
"""Bytes of receipts that are read at a time, beside those of one commit."""
SAVE: Final = 60
"""Seconds between two times that it is written down how far the index is; so much is read again after a kill."""
AGAIN: Final = 5
"""Seconds until an index that failed is opened again; twice as many each time that it fails again."""
AGAIN_MOST: Final = 300
"""Seconds that this becomes at most."""
SLOW: Final = 30
"""Seconds after which a call of the index is said to hang."""
CLOSING: Final = 5
"""Seconds an index has to close when the node ends."""
PATIENCE: Final = 10
"""Seconds that a search waits for the index to catch up, and then for its answer."""
SEARCHES: Final = 32
"""Searches whose answers the index owes; more are refused."""

OPENING: Final = "opening"
CATCHING_UP: Final = "catching up"
READY: Final = "ready"

_FOREIGN: Final = (Exception, SystemExit)  # whatever a foreign module raises

_WITHOUT: Final = (
    "%s; the node goes on without its index, and opens it again in %g s (files in %s that are damaged may be deleted"
    " while the node is stopped: they are made again)"
)

_log = logging.getLogger("soma.index")


@frozen(kw_only=True)
class Looked:
    """Commit `index`, whose record has the digest `record`: an index with `vectors` or more holds all up to it."""

    index: int = uint()
    record: bytes = octets(32)
    vectors: int = uint()


@final
class Indexing:
    """One index, opened, followed up with the chain, opened again when it fails. What it does never ends the node."""

    def __init__(self, opener: IndexOpener, data_dir: Path, store: Store, chain_thread: Thread, hub: Hub) -> None:
        self._opener = opener
        self._path = places.make(data_dir, places.INDEXES) / opener.plugin.name
        self._store = store
        self._chain = chain_thread
        self._hub = hub
        self._opened: tuple[Index, Thread] | None = None
        self._state = OPENING
        self._vectors = 0
        self._done = 0
        self._saved = -math.inf
        self._moved = trio.Event()
        self._call: tuple[str, float] | None = None
        self._room = threading.Semaphore(SEARCHES)

    @property
    def status(self) -> IndexStatus:
        """How the index is."""
        return IndexStatus(
            plugin=self._opener.plugin.name[:64],
            state=self._hangs or self._state,
            vectors=self._vectors,
            behind=self.behind(self._store.tip.index),
        )

    def behind(self, commit: int) -> int:
        """How many commits up to this one the index has not taken yet."""
        return max(0, commit - self._done)

    @property
    def _hangs(self) -> str:
        """What the index has been at for too long, or nothing."""
        if self._call is None or (seconds := trio.current_time() - self._call[1]) < SLOW:
            return ""
        return f"{self._opener.plugin.title}: {self._call[0]} has not returned for {seconds:.0f} s"

    async def run(self) -> None:
        """Keep the index, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            pause = AGAIN / 2
            while True:
                try:
                    await self._keep()
                except PluginError as error:
                    pause = AGAIN if self._state == READY else min(2 * pause, AGAIN_MOST)
                    self._say(str(error)[:400])
                    _log.error(_WITHOUT, error, pause, self._opener.context.directory)
                await trio.sleep(pause)

    async def search(self, vector: "NDArray[np.float32]", most: int, where: Labels) -> list[Hit]:
        """The `most` nearest to `vector`, float32 [dim], among jobs with these labels; best first.

        Jobs that are settled now are found, if the index catches up in time. Raises `RefusedError` or `PluginError`.
        """
        goal = self._store.tip.index
        with trio.move_on_after(PATIENCE):
            while self._done < goal and self._state in (OPENING, CATCHING_UP, READY):
                await self._moved.wait()
        if self._opened is None:
            raise RefusedError(
                f"the index does not answer: {self.status.state}", "see the node's log and `soma status`"
            )
        index, thread = self._opened
        if not self._room.acquire(blocking=False):
            raise RefusedError(f"{SEARCHES} searches wait for the index", "ask again later; see `soma status`")
        with trio.move_on_after(PATIENCE):
            return await self._foreign(thread, "search", self._answer, index, vector, most, where or None)
        raise RefusedError(f"the index has not answered for {PATIENCE:g} s", "ask again later; see `soma status`")

    def _answer(self, index: Index, vector: "NDArray[np.float32]", most: int, where: Labels | None) -> list[Hit]:
        """In the index's thread, also where the asker has left."""
        try:
            return _search(index, vector, most, where)
        finally:
            self._room.release()

    async def _keep(self) -> None:
        """Open the index and follow the chain, until the index fails: then `PluginError`."""
        async with open_thread("index") as thread:
            self._say(OPENING)
            index = await self._asked(thread, "open", self._opener)
            try:
                await self._begin(thread, index)
                self._opened = index, thread
                self._say(CATCHING_UP)
                while True:
                    changed = self._hub.changed
                    while self._done < self._store.tip.index:
                        await self._part(thread, index)
                    self._say(READY)
                    await changed.wait()
            finally:
                began, self._opened = self._opened is not None, None
                with trio.move_on_after(CLOSING, shield=True):
                    if began:
                        await self._save()
                    await self._close(thread, index)

    async def _close(self, thread: Thread, index: Index) -> None:
        try:
            await self._foreign(thread, "close", index.close)
        except PluginError as error:
            _log.warning("%s", error)

    async def _begin(self, thread: Thread, index: Index) -> None:
        """Find out how far it is. What it held and does not hold any more is read again, from the first commit on."""
        self._vectors = await self._asked(thread, "__len__", len, index)
        self._done = 0
        looked = await trio.to_thread.run_sync(self._read) if self._opener.durable else None
        if looked is not None and looked.vectors <= self._vectors:
            record = await self._chain.run(self._store.record, looked.index)
            if record is not None and chain.record_digest(record) == looked.record:
                self._done = looked.index
                return
        await trio.to_thread.run_sync(self._forget)

    async def _part(self, thread: Thread, index: Index) -> None:
        """Take what the next commits settled."""
        stored, last = await self._chain.run(self._store.receipts_from, self._done + 1, PART)
        jobs = await trio.to_thread.run_sync(_jobs, stored)
        if jobs:
            self._vectors = await self._asked(thread, "add", _take, index, jobs)
        self._done = last
        self._say(self._state)
        if trio.current_time() - self._saved >= SAVE:
            await self._save()

    def _say(self, state: str) -> None:
        """The state is this, or the index has got further."""
        self._state = state
        moved, self._moved = self._moved, trio.Event()
        moved.set()

    # Calling what is not ours. ----------------------------------------------------------------------------------------

    async def _asked(self, thread: Thread, name: str, work: Callable[..., T], *arguments: object) -> T:
        """As `_foreign`, watched."""
        self._call = name, trio.current_time()
        try:
            return await self._foreign(thread, name, work, *arguments)
        finally:
            self._call = None

    async def _foreign(self, thread: Thread, name: str, work: Callable[..., T], *arguments: object) -> T:
        """`work(*arguments)` in the index's thread. Raises `PluginError` for whatever it raises."""
        try:
            return await thread.run_or_leave(work, *arguments)
        except PluginError:
            raise
        except _FOREIGN as error:
            raise PluginError(
                f"{self._opener.plugin.title}: {name} raised {describe(error)}",
                "see the node's log",
            ) from error

    async def _watch(self) -> None:
        while True:
            await trio.sleep(SLOW)
            if hangs := self._hangs:
                _log.warning("%s; the node goes on without its index", hangs)

    # How far the index is, on disk. -----------------------------------------------------------------------------------

    async def _save(self) -> None:
        """Write down how far it is; without that, or with less of it, what was held is only read again."""
        record = await self._chain.run(self._store.record, self._done)
        if self._opener.durable and record is not None:
            looked = Looked(index=self._done, record=chain.record_digest(record), vectors=self._vectors)
            await trio.to_thread.run_sync(write_durably, self._path, pack(looked))
        self._saved = trio.current_time()

    def _read(self) -> Looked | None:
        try:
            known = read_if_there(self._path)
            return None if known is None else unpack(Looked, known)
        except DecodeError:
            return None

    def _forget(self) -> None:
        self._path.unlink(missing_ok=True)
        sync_directory(self._path.parent)


def labels_of(receipt: chain.JobReceipt) -> dict[str, Label]:
    """What the index says of a job: `soma_core.api.searching.LABELS`."""
    labels: dict[str, Label] = {
        "epoch": receipt.epoch,
        "size": receipt.size,
        "blob": receipt.blob.hex(),
        "requester": receipt.requester.hex(),
    }
    return {**labels, "winner": receipt.winner} if receipt.winner else labels


def as_floats(vector: bytes, dimension: int) -> "NDArray[np.float32]":
    """A joined vector as indexes take it, float32 [dimension]."""
    import numpy as np

    return fixed.vector_from_bytes(vector, dimension).astype(np.float32)


def _jobs(stored: Iterable[bytes]) -> dict[bytes, chain.JobReceipt]:
    """The last word of each job in stored receipts of commits."""
    found: dict[bytes, chain.JobReceipt] = {}
    for data in stored:
        for leaf in unpack(Receipts, data, max_size=MAX_COMMIT).leaves:
            value: Any = codec.decode(leaf)
            if value["kind"] == "embed":
                receipt = structure(chain.JobReceipt, value)
                found[receipt.job] = receipt
    return found


def _take(index: Index, jobs: Mapping[bytes, chain.JobReceipt]) -> int:
    """Put the vectors of settled jobs into the index, and take out those of jobs that verdicts left none."""
    import numpy as np

    settled = [receipt for receipt in jobs.values() if any(receipt.vector)]  # zeros point nowhere
    if settled:
        vectors = np.stack([as_floats(receipt.vector, receipt.dimension) for receipt in settled])
        index.add([receipt.job for receipt in settled], vectors, [labels_of(receipt) for receipt in settled])
    if gone := [job for job, receipt in jobs.items() if not any(receipt.vector)]:
        index.remove(gone)
    return len(index)


def _search(index: Index, vector: "NDArray[np.float32]", most: int, where: Labels | None) -> list[Hit]:
    """What is nearest, as far as it has the form of an answer."""
    (found,) = index.search(vector[None, :], most, where)
    return [_checked(hit) for hit in found[:most]]


def _checked(hit: Hit) -> Hit:
    similarity = float(hit.similarity)
    if type(hit.id) is not bytes or not math.isfinite(similarity):
        raise ValueError(f"an answer is no hit: {hit!r:.60}")
    return Hit(hit.id, min(1.0, max(-1.0, similarity)), {})
