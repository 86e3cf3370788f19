"""Blobs between peers: asked for by digest, chunk by chunk, from whoever has them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import trio
from attrs import frozen

from soma_core import records
from soma_core.api import PeerId
from soma_core.errors import DecodeError, SomaError, UnreachableError

from ._blobs import BlobStore, Manifest
from ._peers import Network
from ._requests import Refusal, Reply

MANIFEST: Final = "blob.manifest"
CHUNK: Final = "blob.chunk"
WINDOW: Final = 4
"""Chunks of one blob that are on their way at a time."""


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
        found = await trio.to_thread.run_sync(store.manifest, asked.blob)
        if found is None or not store.has(asked.blob):
            raise Refusal("absent", f"blob {asked.blob.hex()[:12]} is not here", "ask another peer")
        return Reply(payload=records.pack(found))

    async def chunk(_peer: PeerId, body: Mapping[str, Any], _payload: bytes) -> Reply:
        asked = records.structure(AskChunk, body)
        return Reply(payload=await trio.to_thread.run_sync(store.chunk, asked.blob, asked.place))

    network.serve(MANIFEST, manifest, channel="blobs")
    network.serve(CHUNK, chunk, channel="blobs")


async def fetch(network: Network, store: BlobStore, blob: bytes, peers: Sequence[PeerId]) -> None:
    """Bring a blob into `store` from any of `peers`. Raises `UnreachableError` if none of them has all of it.

    A peer that sends what is not asked for is left out. Chunks that came stay, whatever happens next.
    """
    if store.has(blob):
        return
    for peer in peers:
        try:
            manifest = await _manifest(network, peer, blob, store.max_blob)
            missing = await trio.to_thread.run_sync(store.begin, manifest)
            await _chunks(network, peer, store, manifest, sorted(missing))
            await trio.to_thread.run_sync(store.finish, manifest)
        except SomaError:
            continue
        return
    raise UnreachableError(
        f"none of {len(peers)} peers gave blob {blob.hex()[:12]}", "ask again when more peers are connected"
    )


async def _manifest(network: Network, peer: PeerId, blob: bytes, most: int) -> Manifest:
    reply = await network.request(peer, "blobs", MANIFEST, records.to_value(AskManifest(blob)))
    manifest = records.unpack(Manifest, reply.payload)
    if manifest.digest != blob or manifest.size > most:
        raise DecodeError(f"a manifest that is not blob {blob.hex()[:12]}'s, or one of {manifest.size} bytes")
    return manifest


async def _chunks(
    network: Network, peer: PeerId, store: BlobStore, manifest: Manifest, missing: Sequence[int]
) -> None:
    todo = list(reversed(missing))
    failed: list[SomaError] = []

    async def work() -> None:
        while todo and not failed:
            place = todo.pop()
            body = records.to_value(AskChunk(manifest.digest, place))
            try:
                reply = await network.request(peer, "blobs", CHUNK, body)
                if not manifest.holds(place, reply.payload):
                    raise DecodeError(f"chunk {place} is not the one asked for")  # one handler
            except SomaError as error:
                failed.append(error)
                return
            await trio.to_thread.run_sync(store.fill, manifest, place, reply.payload)

    async with trio.open_nursery() as nursery:
        for _ in range(min(WINDOW, len(todo))):
            nursery.start_soon(work)
    if failed:
        raise failed[0]
