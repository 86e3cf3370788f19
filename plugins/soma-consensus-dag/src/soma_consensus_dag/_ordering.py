"""The order as it grows: commit after commit, by the rule or by records that others certified. Rules D30 to D39."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, final

from attrs import frozen

from soma_core.api import Commit
from soma_core.errors import CorruptionError

from ._block import COMMIT_BYTES, Block
from ._committer import Committer, TwoCertifiedError
from ._dag import Dag, Ref, Vertex
from ._linearizer import NO_DIGEST, PROVED_EVERY, Linearizer, Record, unpack_record
from ._manager import Manager
from ._schedule import Schedule
from ._snapshot import Table

_BROKEN: Final = (
    "stop, and compare this node's records with its peers': more than a third of the stake lies, or a disk does"
)


_LOST: Final = "delete the consensus database: the node then asks its peers for what it needs"


@frozen
class Entry:
    """A block in the order. `leads`: its system bytes are the commit's own. `late`: a twin was before it."""

    block: Block
    leads: bool
    late: bool

    @property
    def items(self) -> list[tuple[int, bytes]]:
        """What it brings: (author, payload) pairs."""
        if self.late:
            return []
        author, system = self.block.author, self.block.system
        items = [(author, item) for item in self.block.items]
        if system and not self.leads:
            items.append((author, system))
        return items

    @property
    def size(self) -> int:
        """Bytes of it."""
        return 0 if self.late else self.block.weight


@frozen
class Made:
    """A commit that was made: its record, what the chain is given, and the lowest round needed to go on after it."""

    record: Record
    commit: Commit
    low: int


@frozen
class Kept:
    """A record, and the lowest round of which whoever goes on after it needs blocks."""

    record: Record
    low: int


@final
class Ordering:
    """`index`: the last commit's. `digest`: its record's. `recent`: the records that a restart needs, oldest first.

    `waiting`: blocks that are ordered and not delivered.
    """

    def __init__(
        self, first: int, dag: Dag, manager: Manager, committer: Committer, linearizer: Linearizer, schedule: Schedule
    ) -> None:
        self.index = first - 1
        self.digest = NO_DIGEST
        self.recent: deque[Kept] = deque()
        self.waiting: deque[Entry] = deque()
        self._changed = False  # whether the last commit changed the leaders
        self._dag = dag
        self._manager = manager
        self._committer = committer
        self._linearizer = linearizer
        self._schedule = schedule

    @property
    def is_full(self) -> bool:
        """Whether more waits to be delivered than the next commit takes."""
        return bool(self.waiting) and sum(entry.size for entry in self.waiting) > COMMIT_BYTES

    def by_rule(self) -> list[Made]:
        """The commits that the graph decides now. Raises `CorruptionError` if more than f lie."""
        made = []
        try:
            slots = deque(self._committer.try_commit())
            while slots:
                slot = slots.popleft()
                if slot.vertex is None:
                    continue
                made.append(self._commit(slot.vertex, None))
                if self._changed:  # all beyond is decided anew, by other leaders
                    self._committer.move_to(slot.place)
                    slots = deque(self._committer.try_commit())
        except TwoCertifiedError as error:
            raise CorruptionError(f"consensus-dag: {error}", _BROKEN) from error
        return made

    def by_record(self, record: Record) -> Made | None:
        """The next commit as others certified it, once its leader's block is here."""
        leader = self._dag.get(record.leader)
        if leader is None or record.index != self.index + 1:
            return None
        rank = self._rank(leader.round, leader.author)
        made = self._commit(leader, record.time)
        if made.record != record:
            raise CorruptionError(f"consensus-dag: commit {record.index} is not what a quorum voted for", _BROKEN)
        self._committer.move_to((leader.round, rank))
        return made

    def applied(self, index: int) -> None:
        """The chain has applied this commit: what only a restart before it would need is forgotten."""
        at = self._at(index)
        while at is not None and self.recent[0] is not at and self.recent[0].record.leader[0] < at.low:
            self.recent.popleft()

    def base(self, applied: int) -> tuple[int, int, int]:
        """For a restart after commit `applied`: the first record and the lowest round of blocks that it needs.

        And the commit from which on it can deliver again: `applied`, if that is not older than all that is known.
        """
        at = self._at(applied)
        first = self.recent[0].record.index
        return (first, 1, first - 1) if at is None else (first, at.low, at.record.index)

    def has(self, ref: Ref) -> bool:
        """Whether a block of the graph is in a sub-DAG."""
        vertex = self._dag.get(ref)
        return vertex is not None and vertex.ordered

    def resume(self, records: Sequence[Record], base: int) -> list[Commit]:
        """Take up what was recorded, its blocks in the graph; returns the commits after `base`, to deliver again."""
        again = []
        for record in records:
            for ref in record.blocks:
                vertex = self._dag.get(ref)
                if vertex is None and ref[0] > self._dag.horizon:
                    raise CorruptionError(f"consensus-dag: a block of commit {record.index} is missing", _LOST)
                if vertex is not None:
                    late = self._linearizer.mark(vertex)
                    self.waiting.append(Entry(self._manager.blocks[ref], ref == record.leader, late))
            delivered = [self.waiting.popleft() for _ in range(len(self.waiting) - record.left)]
            if record.index > base:
                again.append(self._commit_of(record, delivered, self._manager.blocks[record.leader].system))
            self._linearizer.leader_round, self._linearizer.time = record.leader[0], record.time
            self._keep(record)
        if records:
            self.index, self.digest = records[-1].index, records[-1].digest
            round_, author, _ = records[-1].leader
            self._committer.move_to((round_, self._rank(round_, author)))
        return again

    def dump(self, table: Table) -> list[Any]:
        """Its state and that of the rule, for a snapshot."""
        return [
            self.index,
            self.digest,
            [[kept.record.packed, kept.low] for kept in self.recent],
            [[table.place(entry.block), entry.leads, entry.late] for entry in self.waiting],
            [self._linearizer.leader_round, self._linearizer.time],
            list(self._committer.decided),
            self._schedule.pack(),
        ]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state; the graph is there."""
        self.index, self.digest, recent, waiting, (leader_round, time), (round_, rank), schedule = state
        self.recent = deque(Kept(unpack_record(record), low) for record, low in recent)
        self.waiting = deque(Entry(table[place], leads, late) for place, leads, late in waiting)
        self._linearizer.leader_round, self._linearizer.time = leader_round, time
        self._schedule.load(schedule, self._dag)
        self._committer.move_to((round_, rank))

    def _at(self, applied: int) -> "Kept | None":
        return next((kept for kept in reversed(self.recent) if kept.record.index <= applied), None)

    def _keep(self, record: Record) -> int:
        low = min([self._linearizer.horizon + 1, *(entry.block.round for entry in self.waiting)])
        self.recent.append(Kept(record, low))
        return low

    def _rank(self, round_: int, author: int) -> int:
        leaders = tuple(self._schedule.leaders(round_))
        if author not in leaders:
            raise CorruptionError(f"consensus-dag: {author} does not lead round {round_} of a commit", _BROKEN)
        return leaders.index(author)

    def _commit(self, leader: Vertex, time: int | None) -> Made:
        if time is None:
            time = self._linearizer.time_of(leader)
        else:
            self._linearizer.time = time
        sub_dag = self._linearizer.take(leader)
        for vertex in sub_dag:
            self.waiting.append(Entry(self._manager.blocks[vertex.ref], vertex is leader, vertex.late))
        delivered = self._deliver()
        self._changed = self._schedule.note(leader, self._dag, self._linearizer.horizon)
        self.index += 1
        schedule = b"" if self.index % PROVED_EVERY else self._schedule.pack()
        blocks = tuple(vertex.ref for vertex in sub_dag)
        record = Record(self.index, self.digest, leader.ref, blocks, time, len(self.waiting), schedule)
        self.digest = record.digest
        low = self._keep(record)
        return Made(record, self._commit_of(record, delivered, self._manager.blocks[leader.ref].system), low)

    def _deliver(self) -> list[Entry]:
        delivered: list[Entry] = []
        room = COMMIT_BYTES
        while self.waiting and (not delivered or self.waiting[0].size <= room):
            entry = self.waiting.popleft()
            room -= entry.size
            delivered.append(entry)
        return delivered

    @staticmethod
    def _commit_of(record: Record, delivered: list[Entry], system: bytes) -> Commit:
        """What the chain is given for a record."""
        items: list[tuple[int, bytes]] = []
        for entry in delivered:
            items += entry.items
        round_, leader, _ = record.leader
        return Commit(record.index, record.digest, record.time, round_, leader, tuple(items), system)
