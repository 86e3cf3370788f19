"""Going on from a later commit, when nobody has the records before it any more. Rule D59.

A proven record names the state of the leader schedule; it and the records before it name every block that is needed to
go on. What lies before is the chain's to get elsewhere.
"""

from collections.abc import Sequence
from typing import final

from soma_core.errors import DecodeError

from ._block import Block
from ._dag import Ref
from ._linearizer import Record, horizon_after


def lowest_needed(records: Sequence[Record], depth: int) -> int:
    """The lowest round of blocks that whoever goes on after the last of `records` needs."""
    last = records[-1]
    rounds = [ref[0] for ref in _waiting(records)]
    return min([horizon_after(last.leader[0], depth) + 1, *rounds])


def check_reach(records: Sequence[Record], depth: int, first: int) -> None:
    """Raise `DecodeError` unless one can go on after the last of `records`, from the epoch's `first` commit on.

    They must reach back beyond what is needed, and the last must have the state of the schedule.
    """
    last = records[-1]
    complete = records[0].index == first or records[0].leader[0] < lowest_needed(records, depth)
    if not last.schedule or not complete or last.left > sum(len(record.blocks) for record in records):
        raise DecodeError(f"nobody can go on after commit {last.index} with these records", "another member is asked")


@final
class Jump:
    """`records`: proven; we go on after the last. `needed`: the blocks they name, and what those refer to, from `low`.

    `here`: those that have come. What a committed block refers to was accepted by a quorum, so it is as good as named.
    """

    def __init__(self, records: Sequence[Record], depth: int) -> None:
        self.records = tuple(records)
        self.low = lowest_needed(records, depth)
        self.needed = {ref for record in records for ref in record.blocks if ref[0] >= self.low}
        self.here: dict[Ref, Block] = {}

    @property
    def index(self) -> int:
        """The commit after which we go on."""
        return self.records[-1].index

    @property
    def schedule(self) -> bytes:
        """The state of the leader schedule after it."""
        return self.records[-1].schedule

    @property
    def is_complete(self) -> bool:
        """Whether all blocks have come."""
        return len(self.here) == len(self.needed)

    @property
    def missing(self) -> list[Ref]:
        """What has not come, in order of rounds."""
        return sorted(self.needed - self.here.keys())

    @property
    def blocks(self) -> list[Block]:
        """All blocks, in order of rounds; once none is missing."""
        return [self.here[ref] for ref in sorted(self.needed)]

    def give(self, block: Block) -> None:
        """A block has come."""
        if block.ref in self.needed and block.ref not in self.here:
            self.here[block.ref] = block
            self.needed.update(ref for ref in block.ancestors if ref[0] >= self.low)


def _waiting(records: Sequence[Record]) -> Sequence[Ref]:
    """The blocks that the last record leaves for a later commit."""
    left = records[-1].left
    ordered = [ref for record in records for ref in record.blocks]
    return ordered[len(ordered) - left :] if left else ()
