"""New weights of an encoder that runs: sealed, shown an epoch later, offered, and served from the epoch after that.

The chain says when which weights hold, the node follows: it runs those that are registered, those that come next, and
those with which it was drawn for a job that waits for its seal. Rule O33 of ``specs/40-node.md``.
"""

import logging
import secrets
from typing import TYPE_CHECKING, Final, final

import trio
from attrs import frozen

from soma_core import chain
from soma_core.errors import RefusedError, SomaError
from soma_core.genesis import OPAQUE
from soma_core.net import BlobStore

from .events import Hub
from .kept import Kept, KeptModels
from .models import Models, Pair, drawn_pairs
from .publishing import offer
from .running import Running
from .store import Store
from .threads import Thread
from .wallet import Wallet, insist

if TYPE_CHECKING:
    from soma_core.model import ModelFiles

_log = logging.getLogger("soma.renewing")
_LOOK_AGAIN: Final = ("epoch", "exists", "seal", "weights")
"""Refusals that mean that time has passed meanwhile."""


@frozen(kw_only=True)
class _Standing:
    """What the chain says of an encoder. `drawn`: the models it was drawn with for open jobs.

    `seal`: of its next weights, with its epoch; `shown`: what these are, if that is known.
    """

    epoch: int
    encoder: chain.Encoder | None
    seal: tuple[bytes, int] | None
    shown: Pair | None
    drawn: frozenset[Pair]

    @property
    def auditable(self) -> chain.Encoder | None:
        """The encoder, if it has weights on the chain."""
        return None if self.encoder is None or self.encoder.architecture == OPAQUE else self.encoder


@final
class Renewing:
    """The change of one encoder's weights. `files`: of its models, that are to be kept on offer."""

    def __init__(
        self,
        wallet: Wallet,
        store: Store,
        thread: Thread,
        hub: Hub,
        blobs: BlobStore,
        models: Models,
        running: Running,
        kept: KeptModels,
    ) -> None:
        self._wallet = wallet
        self._store = store
        self._thread = thread
        self._hub = hub
        self._blobs = blobs
        self._models = models
        self._running = running
        self._kept = kept
        self._turn = trio.Lock()
        self._wanted: Kept | None = None
        self._failed: set[Pair] = set()
        self._offered: set[Pair] = set()
        self.files: dict[Pair, ModelFiles] = {}
        self.present = b""
        self.coming: tuple[bytes, int] | None = None
        """The weights that come next, and the first epoch in which they hold if nothing delays them."""

    async def begin(self, weights: str) -> chain.TransactionDone:
        """Seal the model at a bundled name or a path; it runs from now on. Raises `SomaError`."""
        anchors = bool(self._store.genesis.sketches)
        salt = secrets.token_bytes(32)
        fresh = await trio.to_thread.run_sync(lambda: Kept.read(weights, salt, anchors=anchors))
        async with self._turn:
            standing = await self._look()
            encoder = standing.auditable
            if encoder is None:
                raise RefusedError("the chain holds no weights of this encoder", "register it: `soma encoder register`")
            if fresh.pair == (encoder.weights, encoder.frame):
                raise RefusedError("these weights and this map are registered already", "give others")
            if standing.shown is not None:
                raise RefusedError("other new weights are in force with the next epoch", "ask again then")
            opened = fresh.pair not in self._models.pairs
            if opened:
                hosted = await self._running.open(fresh)
                if hosted.worker.info.architecture != encoder.architecture:
                    self._running.close(fresh.pair)
                    raise RefusedError(
                        f"they are of the architecture {hosted.worker.info.architecture}", "register another encoder"
                    )
            present = encoder.weights, encoder.frame
            if present in self.files:  # the settings may name the new ones before they are in force
                kept = Kept(files=self.files[present], weights=present[0], frame=present[1])
                await trio.to_thread.run_sync(self._kept.put, kept)
            await trio.to_thread.run_sync(self._kept.put, fresh)
            done = await self._wallet.send("commit_weights", chain.CommitWeights(fresh.seal(self._wallet.address)))
            if not done.code:
                self._wanted = fresh
                self.coming = fresh.weights, standing.epoch + 2
            return done

    async def run(self) -> None:
        """Follow the chain, for ever."""
        self._wanted = await trio.to_thread.run_sync(self._kept.wanted)
        if self._wanted is not None:
            _log.info("new weights %s are on their way", self._wanted.weights.hex()[:12])
        while True:
            changed = self._hub.changed
            async with self._turn:
                standing = await self._look()
                if standing.auditable is not None:
                    await self._bring_out(standing, standing.auditable)
                    await self._run_what_is_needed(standing, standing.auditable)
            await changed.wait()

    async def _look(self) -> _Standing:
        address = self._wallet.address
        several = len(self._models.pairs) > 1 or not self.present  # else no job of other weights can be open

        def look(state: chain.State) -> _Standing:
            coming = state.get(chain.NEXT_WEIGHTS, address)
            shown = None if coming is None else coming.shown
            return _Standing(
                epoch=state.need(chain.EPOCH).number,
                encoder=state.get(chain.ENCODERS, address),
                seal=None if coming is None else (coming.seal, coming.epoch),
                shown=None if shown is None else (shown.weights, shown.frame),
                drawn=frozenset(drawn_pairs(state, address) if several else ()),
            )

        return await self._thread.run(self._store.read, look)

    async def _bring_out(self, standing: _Standing, encoder: chain.Encoder) -> None:
        """Do what the chain waits for, so that the wanted weights come into force."""
        self.present = encoder.weights
        wanted = self._wanted
        if wanted is None:
            return
        own = wanted.seal(self._wallet.address)
        if wanted.pair == (encoder.weights, encoder.frame):
            await trio.to_thread.run_sync(self._kept.hold, wanted)
            self._wanted, self.coming = None, None
            _log.info("encoder %s: weights %s are in force", encoder.name, wanted.weights.hex()[:12])
        elif standing.shown == wanted.pair:
            self.coming = wanted.weights, standing.epoch + 1
            await self._offer(wanted)
        elif standing.shown is None and standing.seal is not None and standing.seal[0] == own:
            self.coming = wanted.weights, standing.seal[1] + 2
            if standing.epoch == standing.seal[1] + 1:
                await self._send("reveal_weights", wanted.shown())
        elif standing.shown is None:
            self.coming = wanted.weights, standing.epoch + 2
            await self._send("commit_weights", chain.CommitWeights(own))

    async def _offer(self, wanted: Kept) -> None:
        if wanted.pair not in self._offered:
            self._offered.add(wanted.pair)
            self.files[wanted.pair] = wanted.files
            await offer(wanted.files, wanted.pair, self._wallet, self._store, self._thread, self._blobs)

    async def _send(self, kind: str, action: object) -> None:
        done = await insist(self._wallet, kind, action)
        if done.code and done.code not in _LOOK_AGAIN:
            _log.error("the new weights are given up, the chain refused %s: %s", kind, done.text)
            self._wanted, self.coming = None, None

    async def _run_what_is_needed(self, standing: _Standing, encoder: chain.Encoder) -> None:
        registered = encoder.weights, encoder.frame
        needed = {registered, *standing.drawn}
        if self._wanted is not None:
            needed.add(self._wanted.pair)
        for pair in needed.difference(self._models.pairs, self._failed):
            await self._open(pair)
        gone = [pair for pair in self._models.pairs if pair not in needed]
        if not gone or registered not in self._models.pairs:
            return
        for pair in gone:
            self._running.close(pair)
            self.files.pop(pair, None)
        await trio.to_thread.run_sync(self._kept.keep_only, frozenset(needed))

    async def _open(self, pair: Pair) -> None:
        """Run a model that is kept; if it is not, or does not open, there is no answer of it."""
        try:
            kept = await trio.to_thread.run_sync(self._kept.get, pair)
            if kept is not None:
                await self._running.open(kept)
                self.files[pair] = kept.files
                return
            _log.error("the chain expects answers of weights %s, which are not on this node", pair[0].hex()[:12])
        except SomaError as error:
            _log.error("weights %s do not run: %s", pair[0].hex()[:12], error)
        self._failed.add(pair)
