"""Blobs between peers: asked for by digest, chunk by chunk, from several of those who have them at a time.

Rules N42 to N45 of ``specs/50-network.md``.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import trio
from attrs import frozen

from soma_core import records
from soma_core.api import PeerId
from soma_core.errors import CorruptionError, DecodeError, SomaError, UnreachableError

from ._blobs import BlobStore, Manifest
from ._peers import Network
from ._requests import Refusal, Reply
from ._text import shown

MANIFEST: Final = "blob.manifest"
CHUNK: Final = "blob.chunk"
SOURCES: Final = 8
"""Peers that one blob is fetched from at a time."""
WINDOW: Final = 2
"""Chunks on their way from each of them."""
MANIFEST_LIMIT: Final = 3.0
"""Seconds for a peer to say what a blob consists of."""
CHUNK_LIMIT: Final = 5.0
"""Seconds for a chunk; a peer that takes longer is left out."""


@frozen
class AskManifest:
    """What does this blob consist of? The manifest comes as payload."""

    blob: bytes = records.octets(32)


@frozen
class AskChunk:
    """One chunk, which comes as payload."""

    blob: bytes = records.octets(32)
    place: int = records.uint()


def serve_blobs(network: Network, store: BlobStore) -> None:
    """Answer peers that ask for blobs of `store`."""

    async def manifest(_peer: PeerId, body: Mapping[str, Any], _payload: bytes) -> Reply:
        asked = records.structure(AskManifest, body)
        found = await trio.to_thread.run_sync(store.manifest, asked.blob) if store.has(asked.blob) else None
        if found is None:
            raise _absent(asked.blob)
        return Reply(payload=records.pack(found))

    async def chunk(_peer: PeerId, body: Mapping[str, Any], _payload: bytes) -> Reply:
        asked = records.structure(AskChunk, body)
        if not store.has(asked.blob):
            raise _absent(asked.blob)
        try:
            return Reply(payload=await trio.to_thread.run_sync(store.chunk, asked.blob, asked.place))
        except CorruptionError:  # the store has dropped it; what can be got again does not stop the node
            raise _absent(asked.blob) from None

    network.serve(MANIFEST, manifest, channel="blobs")
    network.serve(CHUNK, chunk, channel="blobs")


async def fetch(network: Network, store: BlobStore, blob: bytes, peers: Sequence[PeerId]) -> None:
    """Bring a blob into `store` from any of `peers`. Chunks that came stay, whatever happens next.

    A peer that has not the blob, is silent or goes away is left out, and others bring what it did not; one that lies is
    dropped. Raises `UnreachableError` if no peer is left, `RefusedError` if the store does not take the blob.
    """
    if not store.has(blob):
        await _Fetch(network, store, blob, peers).run()


@final
class _Fetch:
    """One blob on its way. A source is a task that gets what one peer has, then goes on to the next peer."""

    def __init__(self, network: Network, store: BlobStore, blob: bytes, peers: Sequence[PeerId]) -> None:
        self._network = network
        self._store = store
        self._blob = blob
        self._peers = deque(peers)
        self._asked = len(peers)
        self._manifest: Manifest | None = None
        self._missing: deque[int] = deque()
        self._left = -1
        self._refused: SomaError | None = None
        self._beginning = trio.Lock()
        self._changed = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                for _ in range(min(SOURCES, len(self._peers))):
                    nursery.start_soon(self._source)
        if self._refused is not None:
            raise self._refused
        if self._manifest is None or self._left:
            raise UnreachableError(
                f"none of {self._asked} peers gave all of blob {self._blob.hex()[:12]}",
                "ask again when more peers are connected",
            )
        await trio.to_thread.run_sync(self._store.finish, self._manifest)

    async def _source(self) -> None:
        while self._peers:
            peer = self._peers.popleft()
            try:
                manifest = await self._ask_manifest(peer)
            except SomaError:
                continue
            if not await self._begin(manifest):
                return
            async with trio.open_nursery() as nursery:
                for _ in range(WINDOW):
                    nursery.start_soon(self._pull, peer, manifest, nursery.cancel_scope)

    async def _ask_manifest(self, peer: PeerId) -> Manifest:
        body = records.to_value(AskManifest(self._blob))
        reply = await self._network.request(peer, "blobs", MANIFEST, body, timeout=MANIFEST_LIMIT)
        try:
            manifest = records.unpack(Manifest, reply.payload)
            if manifest.digest != self._blob:
                raise DecodeError("it is another blob's")  # noqa: TRY301  # one handler
        except DecodeError as error:
            self._network.drop(peer, f"gave a manifest that is not blob {self._blob.hex()[:12]}'s: {shown(error.what)}")
            raise
        return manifest

    async def _begin(self, manifest: Manifest) -> bool:
        """Make a place for the blob, once: all true manifests are the same. False if the store does not take it."""
        async with self._beginning:
            if self._manifest is None:
                try:
                    missing = await trio.to_thread.run_sync(self._store.begin, manifest)
                except SomaError as error:
                    self._give_up(error)
                    return False
                self._manifest = manifest
                self._missing.extend(sorted(missing))
                self._count(len(missing))
        return True

    async def _pull(self, peer: PeerId, manifest: Manifest, scope: trio.CancelScope) -> None:
        """Get what is missing from one peer, for as long as anything is; cancel `scope` when it fails."""
        while True:
            if not self._missing:
                await self._changed.wait()  # another peer may yet fail to bring what it was asked for
                continue
            place = self._missing.popleft()
            came = False
            try:
                came = await self._bring(peer, manifest, place)
            finally:
                if not came:
                    self._missing.appendleft(place)
                    self._wake()
            if not came:
                scope.cancel()
                return
            self._count(self._left - 1)

    async def _bring(self, peer: PeerId, manifest: Manifest, place: int) -> bool:
        """Whether a chunk came and is in its place. Who gives another one is dropped."""
        body = records.to_value(AskChunk(self._blob, place))
        try:
            reply = await self._network.request(peer, "blobs", CHUNK, body, timeout=CHUNK_LIMIT)
        except SomaError:
            return False
        if not manifest.holds(place, reply.payload):
            self._network.drop(peer, f"gave a wrong chunk {place} of blob {self._blob.hex()[:12]}")
            return False
        try:
            await trio.to_thread.run_sync(self._store.fill, manifest, place, reply.payload)
        except SomaError as error:
            self._give_up(error)
            return False
        return True

    def _count(self, left: int) -> None:
        self._left = left
        if not left:
            self._scope.cancel()  # nobody is waited for any more

    def _give_up(self, error: SomaError) -> None:
        self._refused = error
        self._scope.cancel()

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def _absent(blob: bytes) -> Refusal:
    return Refusal("absent", f"blob {blob.hex()[:12]} is not here", "ask another peer")
