"""The start: what was kept is read back, page by page, and the engine goes on from there. Rules D54 to D56."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final

from soma_core.api import Commit, Load
from soma_core.api.encoding import decode
from soma_core.errors import CorruptionError, DecodeError

from ._intake import Intake
from ._jump import Jump
from ._keys import BLOCKS_END, DRAFT, TIP, from_round, record_key
from ._linearizer import Record, horizon_after, unpack_record
from ._parts import Parts
from ._snapshot import Table

if TYPE_CHECKING:
    from ._block import Block

RECORDS: Final = 256
"""Records that are loaded at a time."""
BLOCKS: Final = 64
"""Blocks that are loaded at a time."""
_MEND: Final = "delete the consensus database: the node then asks its peers what it has said"


@final
class Beginning:
    """`done`: whether all is read. Then `resume` once."""

    def __init__(self, parts: Parts, intake: Intake) -> None:
        self.done = False
        self.draft: Block | None = None
        """Our latest block as it was written down, without its signature."""
        self.base = 0
        """The commit from which on what follows can be delivered again."""
        self._parts = parts
        self._intake = intake
        self._index = 0  # the last commit made, if any
        self._low = 0  # the lowest round of which blocks are needed
        self._schedule = b""
        self._records: list[Record] = []
        self._blocks: list[Block] = []

    def start(self, records: Mapping[bytes, bytes]) -> None:
        """Begin to read. Raises `CorruptionError` for what no engine kept."""
        try:
            if DRAFT in records:
                self.draft = self._parts.format.parse(records[DRAFT])
            if TIP in records:
                self._index, first, self._low, self.base, self._schedule = _array(records[TIP], 5)
                self._load(record_key(first), record_key(self._index + 1), RECORDS)
                return
        except DecodeError as error:
            raise CorruptionError(f"consensus-dag: {error.what}", _MEND) from error
        self._load(from_round(0), BLOCKS_END, BLOCKS)

    def loaded(self, found: Sequence[tuple[bytes, bytes]]) -> None:
        """The next page. Raises `CorruptionError` for what no engine kept."""
        try:
            if self._wants_records:
                self._take_records(found)
            else:
                self._take_blocks(found)
        except DecodeError as error:
            raise CorruptionError(f"consensus-dag: {error.what}", _MEND) from error

    def adopt(self, jump: Jump) -> None:
        """Begin with what others proved, as if it had been read. Raises `DecodeError`."""
        self._index = self.base = jump.index
        self._low, self._schedule = jump.low, jump.schedule
        self._records, self._blocks = list(jump.records), jump.blocks
        self.done = True

    def resume(self, base: int, now: int) -> list[Commit]:
        """Everything as it was; returns the commits after `base`, to be delivered again."""
        parts, intake = self._parts, self._intake
        parts.dag.drop(max(0, self._low - 1))
        last = self._records[-1].leader[0] if self._records else 0  # what came later did not wait for what lies below
        parts.manager.settle(max(parts.dag.horizon, horizon_after(last, parts.gc_depth)))
        if self.draft is not None:
            parts.proposer.own = self.draft.ref  # so that it is known when it is met
        for block in self._blocks:  # in order of rounds
            parts.votes.hear(block)
            intake.know(block)
            intake.enter(parts.manager.offer(block), now)
        intake.unsaved, intake.proofs = [], {}  # they are on disk
        mine = intake.latest.get(parts.me)
        if mine is None:
            parts.proposer.remember(parts.format.genesis[parts.me])
        else:
            parts.proposer.made(mine.ref, mine.ancestors, 0)
        if self._schedule:
            parts.schedule.load(self._schedule, parts.dag)
        again = parts.ordering.resume(self._records, base)
        self._records, self._blocks, self._schedule = [], [], b""
        intake.ordered([ref for ref in intake.open if parts.ordering.has(ref)])
        return again

    def dump(self, table: Table) -> list[Any]:
        """Its state, for a snapshot."""
        draft = [] if self.draft is None else [self.draft.wire]
        records = [record.packed for record in self._records]
        blocks = [table.place(block) for block in self._blocks]
        return [self.done, draft, self.base, self._index, self._low, self._schedule, records, blocks]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state."""
        self.done, draft, self.base, self._index, self._low, self._schedule, records, blocks = state
        self.draft = next((self._parts.format.parse(wire) for wire in draft), None)
        self._records = [unpack_record(record) for record in records]
        self._blocks = [table[place] for place in blocks]

    @property
    def _wants_records(self) -> bool:
        return bool(self._index) and (not self._records or self._records[-1].index < self._index)

    def _take_records(self, found: Sequence[tuple[bytes, bytes]]) -> None:
        self._records += [unpack_record(data) for _, data in found]
        if not self._wants_records:
            self._load(from_round(self._low), BLOCKS_END, BLOCKS)
        elif found:
            self._load(record_key(self._records[-1].index + 1), record_key(self._index + 1), RECORDS)
        else:
            raise CorruptionError(f"consensus-dag: the record of commit {self._index} is not there", _MEND)

    def _take_blocks(self, found: Sequence[tuple[bytes, bytes]]) -> None:
        self._blocks += [self._parts.format.parse(wire) for _, wire in found]
        if len(found) == BLOCKS:
            self._load(found[-1][0] + b"\0", BLOCKS_END, BLOCKS)
        else:
            self.done = True

    def _load(self, start: bytes, stop: bytes, limit: int) -> None:
        self._parts.out.add(Load(0, start, stop, limit))


def uints(data: bytes, size: int) -> list[int]:
    """So many integers that were kept. Raises `CorruptionError`."""
    try:
        numbers = _array(data, size)
    except DecodeError as error:
        raise CorruptionError(f"consensus-dag: {error.what}", _MEND) from error
    if any(type(number) is not int for number in numbers):
        raise CorruptionError("consensus-dag: a record of the engine's is none", _MEND)
    return numbers


def _array(data: bytes, size: int) -> list[Any]:
    value = decode(data)
    if not isinstance(value, list) or len(value) != size:
        raise DecodeError("a record of the engine's is none", _MEND)
    return value
