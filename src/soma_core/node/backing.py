"""Who stands behind a record: signatures as they are kept, and how far they reach.

A record is *proved* by a quorum's signatures, under it or under a later one of the same committee: that is for all. It
is *vouched for* by those of members of whom at least one is honest: that is enough for members, who rely on no more.
Blocking, in the ledger's thread; `proved` and `vouched` may be read anywhere.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from attrs import frozen

from soma_core.api import Ledger
from soma_core.chain import CommitRecord, quorum
from soma_core.records import pack, uint, unpack

SIGNATURES: Final = b"\x85"
PROVED: Final = b"\x86"
VOUCHES: Final = b"\x88"
"""Prefixes in the ledger; of signatures followed by the commit's index, 8 bytes."""
LAST: Final = (1 << 64) - 1

Placed = tuple[tuple[int, bytes], ...]
"""Signatures under one record: (place in the committee, signature)."""


@frozen
class Signatures:
    """Under one record."""

    signatures: Placed = ()


@frozen
class Proved:
    """The last commit that can be proved to be the network's."""

    index: int = uint()


def key_of(prefix: bytes, index: int) -> bytes:
    """The ledger key of what is kept of commit `index`."""
    return prefix + index.to_bytes(8, "big")


@final
class Backing:
    """`proved`, `vouched`: the last commit that is, as were the last ones of all epochs before; 0 if none.

    `record`: of a commit, or None. `powers`: of who may sign it, by place. `begun`: the first commit of an epoch, or 0.
    `changes`: whether committees do.
    """

    def __init__(
        self,
        ledger: Ledger,
        record: Callable[[int], CommitRecord | None],
        powers: Callable[[int], tuple[int, ...]],
        begun: Callable[[int], int],
        *,
        changes: bool,
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._powers = powers
        self._begun = begun
        self._changes = changes
        self._recent: tuple[int, Placed] = (0, ())
        known = ledger.get(PROVED)
        self.proved = 0 if known is None else unpack(Proved, known).index
        self.vouched = self._reached(self.proved, [], SIGNATURES, VOUCHES)

    def signatures(self, index: int) -> Placed | None:
        """A quorum's under a record, or None."""
        return self._kept(SIGNATURES, index)

    def vouches(self, index: int) -> Placed | None:
        """Those of a quorum, or else of members of whom one is honest, or None."""
        recent, signatures = self._recent
        return self.signatures(index) or (signatures if index == recent else self._kept(VOUCHES, index))

    def first_checkpoint(self, index: int) -> int | None:
        """The first commit from `index` on whose record has a quorum's signatures."""
        for key, _ in self._ledger.scan(key_of(SIGNATURES, index), key_of(SIGNATURES, LAST)):
            return int.from_bytes(key[1:], "big")
        return None

    def ends_epoch(self, index: int) -> bool:
        """Whether a commit is the last of its epoch."""
        record = self._record(index)
        return record is not None and self._begun(record.epoch + 1) == index + 1

    def keep(self, index: int, signatures: Placed) -> None:
        """Keep signatures under a record: of a quorum, or else of members of whom one is honest."""
        powers = self._powers(index)
        if sum(powers[place] for place, _ in signatures) >= quorum(powers):
            self._prove(index, signatures)
        else:
            self._vouch(index, signatures)

    def _prove(self, index: int, signatures: Placed) -> None:
        """The record is a checkpoint from now on."""
        batch: dict[bytes, bytes | None] = {key_of(SIGNATURES, index): pack(Signatures(signatures))}
        if self._kept(VOUCHES, index) is not None:
            batch[key_of(VOUCHES, index)] = None
        proved = self._reached(self.proved, [index], SIGNATURES)
        if proved > self.proved:
            batch[PROVED] = pack(Proved(proved))
        self._ledger.write(batch)
        self.proved = proved
        self.vouched = max(self.vouched, proved)

    def _vouch(self, index: int, signatures: Placed) -> None:
        """The latest stay in memory until there are later ones: mostly a quorum has signed by then.

        Those under an epoch's last record are on disk at once: no later record of that epoch will have any.
        """
        recent, before = self._recent
        batch: dict[bytes, bytes | None] = {}
        if index < recent or self.ends_epoch(index):
            batch[key_of(VOUCHES, index)] = pack(Signatures(signatures))
        else:
            if 0 < recent < index and self.signatures(recent) is None:
                batch[key_of(VOUCHES, recent)] = pack(Signatures(before))
            self._recent = index, signatures
        if batch:
            self._ledger.write(batch)
        self.vouched = self._reached(self.vouched, [index, self._recent[0]], SIGNATURES, VOUCHES)

    def _kept(self, prefix: bytes, index: int) -> Placed | None:
        data = self._ledger.get(key_of(prefix, index))
        return None if data is None else unpack(Signatures, data).signatures

    def _reached(self, reached: int, fresh: Sequence[int], *prefixes: bytes) -> int:
        """How far signatures reach from `reached` on: no further than the first epoch whose last record has none.

        `fresh`: commits with signatures beside those kept under `prefixes`.
        """
        if not self._changes:
            return max(reached, *fresh, 0)
        while (following := self._record(reached + 1)) is not None:
            end = self._begun(following.epoch + 1) or LAST
            kept = [
                int.from_bytes(key[1:], "big")
                for prefix in prefixes
                for key, _ in self._ledger.scan(key_of(prefix, reached + 1), key_of(prefix, end))
            ]
            reached = max(reached, *(index for index in (*fresh, *kept) if index < end), 0)
            if reached < end - 1:
                break
        return reached
