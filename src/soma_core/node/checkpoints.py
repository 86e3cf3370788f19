"""Signatures under commit records: a validator's own, and those the chain has counted, until a quorum stands."""

from typing import Final, final

from soma_core import chain
from soma_core.genesis import Genesis

from .events import Hub
from .signing import Signing
from .store import Store
from .threads import Thread

KEPT: Final = 64
"""Records whose signatures are still gathered; older ones are final through a newer checkpoint."""
UNSENT: Final = 32
"""Own signatures that wait to ride along in a block."""


@final
class Checkpoints:
    """Gathers signatures that were checked by who hands them over, and stores every quorum."""

    def __init__(self, genesis: Genesis, store: Store, thread: Thread, hub: Hub) -> None:
        self._store = store
        self._thread = thread
        self._hub = hub
        self._powers = tuple(v.power for v in genesis.validators)
        self._gathered: dict[int, dict[int, bytes]] = {}
        self._unsent: dict[int, bytes] = {}

    async def sign(self, record: chain.CommitRecord, key: Signing, me: int) -> None:
        """Sign the record of a commit that is on disk. `me`: the own place in the committee."""
        signature = await key.sign("soma/checkpoint", record.epoch, chain.record_digest(record), slot=record.index)
        self._unsent[record.index] = signature
        _trim(self._unsent, UNSENT)
        await self.gather(record.index, me, signature)

    def unsent(self) -> tuple[chain.RecordSignature, ...]:
        """Own signatures that the chain has not counted yet."""
        return tuple(chain.RecordSignature(index, signature) for index, signature in sorted(self._unsent.items()))

    async def note(self, applied: chain.Applied, me: int | None) -> None:
        """Take up what the chain has counted."""
        for event in applied.events:
            if isinstance(event, chain.RecordSigned):
                if event.place == me:
                    self._unsent.pop(event.index, None)
                await self.gather(event.index, event.place, event.signature)

    async def gather(self, index: int, place: int, signature: bytes) -> None:
        """Take one signature; store the quorum it completes."""
        gathered = self._gathered.setdefault(index, {})
        before = self._power(gathered)
        gathered[place] = signature
        if before < chain.quorum(self._powers) <= self._power(gathered):
            await self._thread.run(self._store.keep_signatures, index, tuple(sorted(gathered.items())))
            self._hub.wake()
        _trim(self._gathered, KEPT)

    def _power(self, gathered: dict[int, bytes]) -> int:
        return sum(self._powers[place] for place in gathered)


def _trim(kept: dict[int, object] | dict[int, bytes] | dict[int, dict[int, bytes]], most: int) -> None:
    while len(kept) > most:
        del kept[min(kept)]
