"""Blocks on their way into the graph: each waits until all it refers to is there. Rules D11 to D13.

Bounded: of each author so many wait, and of those that would be too many the ones of the latest rounds go first, so
that a flood of blocks of the far future does not push out what is really missing.
"""

from collections.abc import Iterable
from typing import Any, Final, final

from attrs import define

from ._block import Block
from ._dag import Dag, Ref
from ._snapshot import Table

SUSPENDED_MOST: Final = 256
"""Blocks of one author that wait for others."""


@define(eq=False)
class _Suspended:
    block: Block
    missing: int


@final
class Manager:
    """`blocks`: the bytes of what is in the graph, by name.

    `settled`: the highest round of which nothing is waited for. After a start the graph reaches further down.
    """

    def __init__(self, dag: Dag) -> None:
        self.blocks: dict[Ref, Block] = {}
        self.settled = dag.horizon
        self._dag = dag
        self._suspended: dict[Ref, _Suspended] = {}
        self._waiting: dict[Ref, list[Ref]] = {}  # what is missing → who waits for it
        self._of: dict[int, set[Ref]] = {}  # author → what of it is suspended

    def __len__(self) -> int:
        return len(self._suspended)

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._suspended or ref in self.blocks

    def find(self, ref: Ref) -> Block | None:
        """A block that is here, in the graph or waiting."""
        one = self._suspended.get(ref)
        return self.blocks.get(ref) if one is None else one.block

    def misses(self, ref: Ref) -> bool:
        """Whether a block of this name is waited for."""
        return ref in self._waiting and ref not in self._suspended

    def offer(self, block: Block) -> list[Block]:
        """Take a valid block; returns all that entered the graph by it, in an order in which ancestors come first."""
        if block.ref in self or block.round <= self._dag.horizon:
            return []
        missing = [ref for ref in block.ancestors if ref not in self.blocks and ref[0] > self.settled]
        if not missing:
            return self._enter(block)
        if not self._make_room(block):
            return []
        self._suspended[block.ref] = _Suspended(block, len(missing))
        self._of.setdefault(block.author, set()).add(block.ref)
        for ref in missing:
            self._waiting.setdefault(ref, []).append(block.ref)
        return []

    def settle(self, horizon: int) -> list[Block]:
        """What lies at or below the horizon is not waited for any more. Returns what enters the graph."""
        self.settled = horizon
        for ref in [ref for ref in self._suspended if ref[0] <= horizon]:
            self._forget(ref)
        entered: list[Block] = []
        for ref in sorted(ref for ref in self._waiting if ref[0] <= horizon):
            entered += self._release(ref)
        return entered

    def drop(self, refs: Iterable[Ref]) -> None:
        """Forget the bytes of blocks that have left the graph."""
        for ref in refs:
            self.blocks.pop(ref, None)

    def dump(self, table: Table) -> list[Any]:
        """Graph and queue, for a snapshot."""
        entered = [[table.place(self.blocks[v.ref]), v.ordered, v.late] for v in self._dag.vertices()]
        return [self._dag.horizon, self.settled, entered, [table.place(one.block) for one in self._suspended.values()]]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state."""
        horizon, self.settled, entered, suspended = state
        self._dag.drop(horizon)
        for place, ordered, late in entered:
            self._enter(table[place])
            vertex = self._dag.get(table[place].ref)
            assert vertex is not None
            vertex.ordered, vertex.late = ordered, late
        for place in suspended:
            self.offer(table[place])

    def _enter(self, block: Block) -> list[Block]:
        entered = []
        ready = [block]
        while ready:
            one = ready.pop()
            self.blocks[one.ref] = one
            self._dag.add(one.ref, one.ancestors, size=one.payload_size, time=one.time)
            entered.append(one)
            ready += reversed(self._freed(one.ref))
        return entered

    def _release(self, ref: Ref) -> list[Block]:
        entered: list[Block] = []
        for block in self._freed(ref):
            entered += self._enter(block)
        return entered

    def _freed(self, ref: Ref) -> list[Block]:
        """Those that waited for `ref` alone; they are no longer suspended."""
        freed = []
        for waiter in self._waiting.pop(ref, ()):
            one = self._suspended.get(waiter)
            if one is None:
                continue
            one.missing -= 1
            if not one.missing:
                self._remove(waiter)
                freed.append(one.block)
        return freed

    def _make_room(self, block: Block) -> bool:
        """Whether `block` may wait: another of its author's goes if it is of a later round."""
        mine = self._of.get(block.author, ())
        if len(mine) < SUSPENDED_MOST:
            return True
        latest = max(mine)
        if latest <= block.ref:
            return False
        self._forget(latest)
        return True

    def _forget(self, ref: Ref) -> None:
        """Drop a suspended block, and what only it waited for."""
        one = self._suspended[ref]
        self._remove(ref)
        for ancestor in one.block.ancestors:
            waiters = self._waiting.get(ancestor)
            if waiters is not None and ref in waiters:
                waiters.remove(ref)
                if not waiters:
                    del self._waiting[ancestor]

    def _remove(self, ref: Ref) -> None:
        del self._suspended[ref]
        self._of[ref[1]].discard(ref)
