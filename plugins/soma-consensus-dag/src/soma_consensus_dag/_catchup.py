"""Falling behind, and coming back by records that a quorum voted for and the blocks they name. Rules D57 to D59."""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, final

from attrs import frozen

from soma_core.errors import DecodeError

from ._block import Block, Format
from ._committee import Committee, mask_of
from ._dag import Ref
from ._jump import Jump, suffices
from ._linearizer import PROVED_EVERY, Record, unpack_record
from ._messages import Commits
from ._snapshot import Table

BEHIND: Final = 2 * PROVED_EVERY
"""Commits that a member may be behind a quorum before it asks for records."""
BATCH: Final = 5 * PROVED_EVERY
"""Commit records in one answer, at most."""
REACH: Final = 1000
"""Commit records in an answer from which somebody goes on, at most."""
AGAIN_MS: Final = 1000
"""Milliseconds before the next member is asked for records."""
PATIENCE_MS: Final = 10_000
"""Milliseconds without a commit after which proven records and their blocks are asked for anew."""


@frozen
class Proven:
    """Records that follow each other, and blocks whose signatures, to be verified, prove the last of them."""

    records: tuple[Record, ...]
    blocks: tuple[Block, ...]


@final
class CatchUp:
    """`certified`: records that are proven and not ordered yet, the next first. `trusted`: the blocks they name.

    `jump`: where we go on, if nobody had what follows our last commit.
    """

    def __init__(self, committee: Committee, format_: Format, first: int, depth: int) -> None:
        self.certified: deque[Record] = deque()
        self.trusted: set[Ref] = set()
        self.jump: Jump | None = None
        self.asked_at = 0
        self.asked = 0
        self._stands_at = 0
        self._stands_since = 0
        self._committee = committee
        self._format = format_
        self._first = first
        self._depth = depth

    def next_index(self, index: int) -> int:
        """The first record that is not known, after commit `index`."""
        return self.certified[-1].index + 1 if self.certified else index + 1

    def trusts(self, ref: Ref) -> bool:
        """Whether a quorum has named a block: its signature tells nothing more."""
        return ref in self.trusted or (self.jump is not None and ref in self.jump.needed)

    def give_up(self, index: int, now: int) -> None:
        """Forget what we wait for, if commit `index` is the last for so long that it will not come any more.

        Those whom we ask next may have something else for us.
        """
        if index != self._stands_at or not (self.certified or self.jump):
            self._stands_at, self._stands_since = index, now
        if now >= self._stands_since + PATIENCE_MS:
            self.certified, self.trusted, self.jump = deque(), set(), None

    def read(self, message: Commits, index: int) -> Proven:
        """What an answer to our question after commit `index` claims. Raises `DecodeError` if that is of no use."""
        if not 0 < len(message.records) <= REACH or len(message.stubs) > self._committee.size:
            raise DecodeError("as many records, or votes, as nobody asked for", "another member is asked")
        records = tuple(map(unpack_record, message.records))
        for record, after in pairwise(records):
            if (after.index, after.previous) != (record.index + 1, record.digest):
                raise DecodeError(f"record {after.index} does not follow {record.index}", "another member is asked")
        proven = Proven(records, self._voters(message.stubs, records[-1]))
        if records[0].index != self.next_index(index) and not self._can_jump(proven):
            raise DecodeError(f"nobody can go on after commit {records[-1].index} so", "another member is asked")
        return proven

    def prove(self, proven: Proven, index: int, digest: bytes) -> None:
        """The signatures hold: take the records up, after commit `index` of `digest`, or to go on from the last."""
        first, last = proven.records[0], proven.records[-1]
        if self.certified:
            index, digest = self.certified[-1].index, self.certified[-1].digest
        if (first.index, first.previous) == (index + 1, digest):
            self.certified += proven.records
            for record in proven.records:
                self.trusted.update(record.blocks)
        elif first.index != index + 1 and last.index > index + BEHIND and self.jump is None and self._can_jump(proven):
            self.jump = Jump(proven.records, self._depth)

    def ordered(self, index: int) -> None:
        """Commit `index` was made, one way or the other."""
        while self.certified and self.certified[0].index <= index:
            self.trusted.difference_update(self.certified.popleft().blocks)

    def dump(self, table: Table) -> list[Any]:
        """Its state, for a snapshot."""
        jump = self.jump
        jumping = (
            [] if jump is None else [[r.packed for r in jump.records], [table.place(b) for b in jump.here.values()]]
        )
        stands = [self._stands_at, self._stands_since]
        return [[record.packed for record in self.certified], self.asked_at, self.asked, stands, jumping]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state."""
        records, self.asked_at, self.asked, (self._stands_at, self._stands_since), jumping = state
        self.certified = deque(unpack_record(record) for record in records)
        self.trusted = {ref for record in self.certified for ref in record.blocks}
        for proven, here in jumping:
            self.jump = Jump([unpack_record(record) for record in proven], self._depth)
            for place in here:
                self.jump.give(table[place])

    def _can_jump(self, proven: Proven) -> bool:
        """Asked once more when signatures are verified: meanwhile our last commit may be another."""
        return suffices(proven.records, self._depth, self._first)

    def _voters(self, stubs: Sequence[bytes], record: Record) -> tuple[Block, ...]:
        vote = record.index, record.digest
        blocks = tuple(block for stub in stubs if vote in (block := self._format.parse_stub(stub)).votes)
        if not self._committee.is_quorum(mask_of(block.author for block in blocks)):
            raise DecodeError(f"no quorum votes for record {record.index}", "another member is asked")
        return blocks
