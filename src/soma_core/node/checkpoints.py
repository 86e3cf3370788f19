"""Signatures under commit records: a validator's own, and those the chain has counted, until a quorum stands."""

from typing import Final, TypeVar, final

from attrs import field, frozen

from soma_core import chain
from soma_core.crypto import SIGNATURE_SIZE, signing_digest, verify
from soma_core.errors import VerificationError
from soma_core.records import octets, uint

from .events import Hub
from .signing import Signing
from .store import Store
from .threads import Thread

T = TypeVar("T")

KEPT: Final = 64
"""Records whose signatures are still gathered; older ones are final through a newer checkpoint."""
UNSENT: Final = 32
"""Own signatures that wait to ride along in a block."""


@frozen
class _Gathered:
    """Under one record, by place in the committee of its epoch. `mine`: the own place there, or None."""

    powers: tuple[int, ...]
    mine: int | None
    signatures: dict[int, bytes] = field(factory=dict)

    def power(self) -> int:
        return sum(self.powers[place] for place in self.signatures)


@frozen(kw_only=True)
class Signed:
    """A signature under record `index` by the member at `place` of its committee."""

    index: int = uint()
    place: int = uint()
    signature: bytes = octets(SIGNATURE_SIZE)


@final
class Checkpoints:
    """Gathers signatures that were checked by who hands them over, and stores every quorum.

    `key`: the own consensus key, or None.
    """

    def __init__(self, store: Store, thread: Thread, hub: Hub, key: bytes | None) -> None:
        self._store = store
        self._thread = thread
        self._hub = hub
        self._key = key
        self._gathered: dict[int, _Gathered] = {}
        self._unsent: dict[int, bytes] = {}

    async def sign(self, record: chain.CommitRecord, signing: Signing) -> None:
        """Sign the record of a commit that is on disk, if the own key is in the committee of its epoch."""
        mine = (await self._of(record.index)).mine
        if mine is None:
            return
        signature = await signing.sign("soma/checkpoint", record.epoch, chain.record_digest(record), slot=record.index)
        self._unsent[record.index] = signature
        _trim(self._unsent, UNSENT)
        await self.gather(record.index, mine, signature)

    def unsent(self) -> tuple[chain.RecordSignature, ...]:
        """Own signatures that the chain has not counted yet."""
        return tuple(chain.RecordSignature(index, signature) for index, signature in sorted(self._unsent.items()))

    async def owed(self, index: int) -> Signed | None:
        """The own signature under a record that ends an epoch."""
        gathered = await self._of(index)
        ends = await self._thread.run(self._store.backing.ends_epoch, index)
        if gathered.mine is None or gathered.mine not in gathered.signatures or not ends:
            return None
        return Signed(index=index, place=gathered.mine, signature=gathered.signatures[gathered.mine])

    async def hear(self, signed: Signed) -> None:
        """Take what a peer says is a member's signature. Raises `VerificationError` if it is none, or of no use."""
        record = await self._thread.run(self._store.record, signed.index)
        seats = await self._thread.run(self._seats_of, signed.index)
        if record is None or signed.place >= len(seats):
            raise VerificationError(f"nobody wants a signature under record {signed.index}", "do not send it again")
        message = signing_digest(
            "soma/checkpoint", self._store.genesis.chain, record.epoch, chain.record_digest(record)
        )
        if not verify(seats[signed.place].key, message, signed.signature):
            raise VerificationError(f"this is no member's signature under record {signed.index}", "do not send it")
        await self.gather(signed.index, signed.place, signed.signature)

    async def note(self, applied: chain.Applied) -> None:
        """Take up what the chain has counted."""
        for event in applied.events:
            if isinstance(event, chain.RecordSigned):
                if event.place == (await self._of(event.index)).mine:
                    self._unsent.pop(event.index, None)
                await self.gather(event.index, event.place, event.signature)

    async def gather(self, index: int, place: int, signature: bytes) -> None:
        """Take one signature; store the quorum it completes, and short of that what somebody honest is part of."""
        gathered = await self._of(index)
        before = gathered.power()
        gathered.signatures[place] = signature
        power = gathered.power()
        news = before < power and before < chain.quorum(gathered.powers)
        if news and power >= chain.validity(gathered.powers):
            await self._thread.run(self._store.backing.keep, index, tuple(sorted(gathered.signatures.items())))
            self._hub.wake()

    async def _of(self, index: int) -> _Gathered:
        known = self._gathered.get(index)
        if known is None:
            known = self._gathered.setdefault(index, await self._thread.run(self._begin, index))
            _trim(self._gathered, KEPT)
        return known

    def _begin(self, index: int) -> _Gathered:
        """With what is kept already. In the ledger's thread."""
        seats = self._store.seats_under(index)
        mine = [place for place, seat in enumerate(seats) if seat.key == self._key]
        kept = dict(self._store.backing.vouches(index) or ())
        return _Gathered(tuple(seat.power for seat in seats), mine[0] if mine else None, kept)

    def _seats_of(self, index: int) -> tuple[chain.Seat, ...]:
        """Who may still sign a record that no quorum has: a recent one, or an epoch's last. In the ledger's thread."""
        wanted = self._store.tip.index < index + KEPT or self._store.backing.ends_epoch(index)
        return self._store.seats_under(index) if wanted and self._store.proved < index else ()


def _trim(kept: dict[int, T], most: int) -> None:
    while len(kept) > most:
        del kept[min(kept)]
