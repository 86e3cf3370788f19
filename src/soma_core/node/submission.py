"""Transactions on their way to the order: into the own pool where this node orders, else to a validator that does.

Rules O8 and O9 of ``specs/40-node.md``.
"""

from collections.abc import Callable
from typing import Final, final

import trio

from soma_core import chain
from soma_core.api import PeerId
from soma_core.errors import DecodeError, RefusedError, SomaError, UnreachableError
from soma_core.net import Network, Refusal, Reply

from .mempool import Mempool
from .space import Space
from .store import Store
from .threads import Thread

SUBMIT: Final = "tx.submit"
SUBMIT_LIMIT: Final = 10.0
"""Seconds for a validator to take a transaction."""
ENDING: Final = frozenset(
    {
        "attest_data",
        "commit_embedding",
        "reveal_embedding",
        "report_unavailable",
        "commit_verdict",
        "reveal_verdict",
        "show_submission",
    }
)
"""Actions that bring what is under way to its end: taken from peers while the disk is nearly full, too."""


@final
class Submission:
    """`orders`: whether this node orders transactions now; `ready`: told that one waits."""

    def __init__(
        self,
        network: Network,
        store: Store,
        thread: Thread,
        mempool: Mempool,
        space: Space,
        orders: Callable[[], bool],
        ready: Callable[[], None],
    ) -> None:
        self._network = network
        self._store = store
        self._thread = thread
        self._mempool = mempool
        self._space = space
        self._orders = orders
        self._ready = ready
        network.serve(SUBMIT, self._take, channel="sync", max_payload=chain.MAX_TRANSACTION)

    async def submit(self, signed: chain.SignedTransaction) -> None:
        """Into the own pool, or to the validators in turn until one takes it. Raises `SomaError`."""
        if self._orders():
            await self._pool(signed)
            return
        committee = {seat.node for seat in await self._thread.run(self._store.seated)}
        peers = [peer for peer in self._network.peers if peer in committee]
        refused: SomaError = UnreachableError("no validator is connected", "see `soma status`: are there peers?")
        for peer in peers:
            with trio.move_on_after(SUBMIT_LIMIT):
                try:
                    await self._network.request(peer, "sync", SUBMIT, payload=signed.wire)
                except SomaError as error:
                    refused = error
                else:
                    return
        raise refused

    async def _take(self, _peer: PeerId, _body: object, payload: bytes) -> Reply:
        """A peer's transaction."""
        if not self._orders():
            raise Refusal("refused", "this node does not order transactions", "send it to a validator")
        signed = chain.parse_wire(payload)
        if signed.transaction.kind not in ENDING:
            self._space.require()
        await self._pool(signed)
        return Reply()

    async def _pool(self, signed: chain.SignedTransaction) -> None:
        """Check a transaction as far as it can be before it is ordered, and let it wait."""
        if signed.id in self._mempool:
            return
        refusal = await self._thread.run(self._store.examine, signed)
        if refusal is not None:
            raise RefusedError(f"the transaction would be refused: {refusal.text}", "make it again")
        if not signed.signature_holds():
            raise DecodeError("the transaction's signature does not fit", "sign it with the sender's key")
        if self._mempool.add(signed):
            self._ready()
