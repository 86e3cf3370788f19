"""Weights as blobs: an encoder's node offers them before it answers, auditors fetch them.

Rules L14 to L17 of ``specs/15-encoders.md``.
"""

import logging
from collections.abc import Mapping
from typing import Final, final

import trio

from soma_core import chain
from soma_core.errors import EncoderError, SomaError, UsageError
from soma_core.genesis import OPAQUE
from soma_core.model import ModelFiles
from soma_core.net import BlobStore
from soma_core.records import pack, unpack

from .store import Store
from .threads import Thread
from .validating import Fetch
from .wallet import Wallet, insist

FILES_MOST: Final = 64 << 20
"""Bytes of a model that is taken: as many as a blob has at most."""
KEEP_EVERY: Final = 600.0
"""Seconds, fewer than a store keeps for certain what nobody asks for."""

_log = logging.getLogger("soma.publishing")


def registered_files(weights: object, encoder: chain.Encoder | None) -> ModelFiles | None:
    """The files behind a plugin's setting `weights`, if its encoder can be audited: those that are registered.

    Raises `SomaError` if they are others, or not to be had.
    """
    if encoder is None or encoder.architecture == OPAQUE:
        return None
    if not isinstance(weights, str):
        raise UsageError(
            f"encoder {encoder.name} can be audited, and its plugin has no setting `weights` that names a file",
            "register it as opaque, or give its plugin that setting: auditors compute with these weights",
        )
    files = ModelFiles.read(weights)
    files.check(encoder.weights, encoder.frame)
    return files


async def offer(
    files: ModelFiles, pair: tuple[bytes, bytes], wallet: Wallet, store: Store, thread: Thread, blobs: BlobStore
) -> None:
    """Keep the files as a blob, and have the chain say which, unless it does. `pair`: digests of weights and map."""
    data = pack(files)
    blob = await trio.to_thread.run_sync(blobs.put, data)
    weights, frame = pair
    made = chain.Offer(weights=weights, frame=frame, blob=blob, size=len(data))

    def look(state: chain.State) -> chain.Offer | None:
        return chain.offer_of(state, wallet.address, weights, frame)

    if await thread.run(store.read, look) != made:
        done = await insist(wallet, "offer_weights", chain.OfferWeights(made))
        if done.code:
            _log.warning("the chain refused the offer of weights %s: %s", weights.hex()[:12], done.text)


async def keep(models: Mapping[tuple[bytes, bytes], ModelFiles], blobs: BlobStore) -> None:
    """See to it, for ever, that the blobs are among those used of late: no others are safe from being dropped."""
    while True:
        await trio.sleep(KEEP_EVERY)
        for files in list(models.values()):
            data = pack(files)
            try:
                await trio.to_thread.run_sync(blobs.put, data)
            except SomaError as error:
                _log.warning("the weights of this node's encoder cannot be offered: %s", error)


@final
class Offered:
    """The models that encoders offer. `fetch`: how a blob is got."""

    def __init__(self, store: Store, thread: Thread, fetch: Fetch) -> None:
        self._store = store
        self._thread = thread
        self._fetch = fetch

    async def files(self, encoder: bytes, weights: bytes, frame: bytes) -> ModelFiles:
        """The model of these digests, checked. Raises `SomaError` if it is not to be had."""

        def look(state: chain.State) -> chain.Offer | None:
            return chain.offer_of(state, encoder, weights, frame)

        offer = await self._thread.run(self._store.read, look)
        if offer is None:
            raise EncoderError("its weights are offered nowhere", "its operator has not started its node yet")
        packed = await self._fetch(offer.blob, offer.size)

        def read() -> ModelFiles:
            files = unpack(ModelFiles, packed, max_size=FILES_MOST)
            files.check(weights, frame)
            return files

        return await trio.to_thread.run_sync(read)
