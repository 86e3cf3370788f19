"""The data of jobs: from the own store, or from whoever of the peers has it."""

from typing import Final, final

import trio

from soma_core.errors import CorruptionError, EncoderError
from soma_core.net import BlobStore, Network, fetch

PATIENCE: Final = 20.0
"""Seconds to look for a blob among the peers."""


@final
class Data:
    """Blobs by digest, checked to be as long as their job says."""

    def __init__(self, blobs: BlobStore, network: Network) -> None:
        self._blobs = blobs
        self._network = network
        self._fetching: dict[bytes, trio.Event] = {}

    async def get(self, digest: bytes, size: int) -> bytes:
        """The blob. Raises `EncoderError` if nobody has it in time, or if it is not `size` bytes long."""
        if not self._blobs.has(digest):
            await self._fetch(digest)
        try:
            data = await trio.to_thread.run_sync(self._blobs.get, digest)
        except CorruptionError:  # it has rotted on our disk and was dropped: peers may still have it
            await self._fetch(digest)
            data = await trio.to_thread.run_sync(self._blobs.get, digest)
        if len(data) != size:
            raise EncoderError(
                f"blob {digest.hex()[:12]} has {len(data)} bytes, its job says {size}",
                "the job's requester is at fault",
            )
        return data

    async def _fetch(self, digest: bytes) -> None:
        """Fetch once, however many ask at a time."""
        if (running := self._fetching.get(digest)) is not None:
            await running.wait()
            return
        done = self._fetching[digest] = trio.Event()
        try:
            with trio.move_on_after(PATIENCE):
                await fetch(self._network, self._blobs, digest, tuple(self._network.peers))
                return
        finally:
            del self._fetching[digest]
            done.set()
        raise EncoderError(f"no peer gave blob {digest.hex()[:12]} within {PATIENCE:g} s", "ask again later")
