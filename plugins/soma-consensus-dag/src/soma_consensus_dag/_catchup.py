"""Falling behind, and coming back by records that a quorum voted for and the blocks they name. Rules D57 to D59."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, final

from attrs import frozen

from soma_core.errors import DecodeError

from ._block import Block, Format
from ._committee import Committee
from ._linearizer import PROVED_EVERY, Record, unpack_record
from ._messages import Commits

if TYPE_CHECKING:
    from ._dag import Ref

BEHIND: Final = 2 * PROVED_EVERY
"""Commits that a member may be behind a quorum before it asks for records."""
BATCH: Final = 5 * PROVED_EVERY
"""Commit records in one answer, at most."""
AGAIN_MS: Final = 1000
"""Milliseconds before the next member is asked for records."""
STUBS_MOST: Final = 1 << 16
"""Bytes of a block without payload, at most."""


@frozen
class Proven:
    """Records that follow each other, and blocks whose signatures, to be verified, prove the last of them."""

    records: tuple[Record, ...]
    blocks: tuple[Block, ...]


@final
class CatchUp:
    """`certified`: records that are proven and not ordered yet, the next first. `trusted`: the blocks they name."""

    def __init__(self, committee: Committee, format_: Format) -> None:
        self.certified: deque[Record] = deque()
        self.trusted: set[Ref] = set()
        self.asked_at = 0
        self.asked = 0
        self._committee = committee
        self._format = format_

    def next_index(self, index: int) -> int:
        """The first record that is not known, after commit `index`."""
        return self.certified[-1].index + 1 if self.certified else index + 1

    def read(self, message: Commits, index: int, digest: bytes) -> Proven:
        """What an answer claims, held against commit `index` of `digest`. Raises `DecodeError` if that is nothing."""
        if self.certified:
            index, digest = self.certified[-1].index, self.certified[-1].digest
        if not 0 < len(message.records) <= BATCH or len(message.stubs) > self._committee.size:
            raise DecodeError("as many records, or votes, as nobody asked for", "another member is asked")
        records = []
        for data in message.records:
            record = unpack_record(data)
            if (record.index, record.previous) != (index + 1, digest):
                raise DecodeError(f"record {record.index} does not follow {index}", "another member is asked")
            records.append(record)
            index, digest = record.index, record.digest
        return Proven(tuple(records), self._voters(message.stubs, index, digest))

    def prove(self, proven: Proven, index: int, digest: bytes) -> None:
        """The signatures hold: take the records up, if they still follow commit `index`."""
        if self.certified:
            index, digest = self.certified[-1].index, self.certified[-1].digest
        if (proven.records[0].index, proven.records[0].previous) == (index + 1, digest):
            self.certified += proven.records
            for record in proven.records:
                self.trusted.update(record.blocks)

    def ordered(self, index: int) -> None:
        """Commit `index` was made, one way or the other."""
        while self.certified and self.certified[0].index <= index:
            self.trusted.difference_update(self.certified.popleft().blocks)

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [[record.packed for record in self.certified], self.asked_at, self.asked]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        records, self.asked_at, self.asked = state
        self.certified = deque(unpack_record(record) for record in records)
        self.trusted = {ref for record in self.certified for ref in record.blocks}

    def _voters(self, stubs: Sequence[bytes], index: int, digest: bytes) -> tuple[Block, ...]:
        blocks = tuple(self._format.parse_stub(stub) for stub in stubs)
        voters = 0
        for block in blocks:
            if (index, digest) in block.votes:
                voters |= 1 << block.author
        if not self._committee.is_quorum(voters):
            raise DecodeError(f"no quorum votes for record {index}", "another member is asked")
        return tuple(block for block in blocks if (index, digest) in block.votes)
