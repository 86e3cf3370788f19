"""Going on from a later commit, when nobody has the records before it any more. Rule D59.

A proven record names the state of the leader schedule; it and the records before it name every block that is needed to
go on. What lies before is the chain's to get elsewhere.
"""

from collections.abc import Sequence
from typing import final

from ._block import Block
from ._dag import Ref
from ._linearizer import Record, horizon_after


def lowest_needed(records: Sequence[Record], depth: int) -> int:
    """The lowest round of blocks that whoever goes on after the last of `records` needs."""
    last = records[-1]
    rounds = [ref[0] for ref in _waiting(records)]
    return min([horizon_after(last.leader[0], depth) + 1, *rounds])


def suffices(records: Sequence[Record], depth: int, first: int) -> bool:
    """Whether one can go on after the last of `records`, in an epoch whose first commit is `first`.

    They must reach back beyond what is needed, and the last must have the state of the schedule.
    """
    last = records[-1]
    complete = records[0].index == first or records[0].leader[0] < lowest_needed(records, depth)
    return bool(last.schedule) and complete and last.left <= sum(len(record.blocks) for record in records)


@final
class Jump:
    """`records`: proven; we go on after the last. `needed`: the blocks they name, from round `low`.

    `here`: those that have come. What they refer to is among them, or lies below the horizon of all that follows.
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


def _waiting(records: Sequence[Record]) -> Sequence[Ref]:
    """The blocks that the last record leaves for a later commit."""
    left = records[-1].left
    ordered = [ref for record in records for ref in record.blocks]
    return ordered[len(ordered) - left :] if left else ()
