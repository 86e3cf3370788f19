"""Blocks from their arrival to their place in the graph. Rules D8 to D13 and D44."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from attrs import frozen

from soma_core.api import Accuse, Note, Verify

from ._block import Block, InvalidBlockError
from ._catchup import Proven
from ._dag import Ref, to_ref
from ._linearizer import unpack_record
from ._parts import Parts
from ._snapshot import Table

PENDING_MOST: Final = 1024
"""Messages whose signatures are being verified; what comes beyond is lost, and asked for when it is missing."""
FAR: Final = 60
"""Rounds above the clock from which on blocks are not kept: more than who does not ask for commits can be behind."""
TWINS_MOST: Final = 2
"""Blocks of one slot that are taken from their author unasked: as many as prove that it lies."""


@frozen
class Checking:
    """Blocks of a message of `peer` whose signatures are verified now. `last`: it answers our question for our own."""

    peer: int
    blocks: tuple[Block, ...]
    last: bool = False


@final
class Intake:
    """`latest`: by place, the valid block of the highest round. `open`: blocks with payload that are not ordered yet.

    `unsaved`, `proofs`: accepted blocks, and votes that prove a commit, that are not on disk yet.
    """

    def __init__(self, parts: Parts) -> None:
        self.latest: dict[int, Block] = {}
        self.open: dict[Ref, None] = {}
        self.unsaved: list[Block] = []
        self.proofs: dict[int, tuple[bytes, ...]] = {}
        self._parts = parts
        self._accused: set[tuple[int, int]] = set()
        self._checking: dict[int, Checking | Proven] = {}
        self._in_check: dict[Ref, None] = {}

    def receive(self, peer: int, wires: Sequence[bytes], now: int) -> bool:
        """Blocks of a message: those that are valid so far, and wanted, are verified. Whether that is all."""
        parts = self._parts
        unchecked = []
        took = False
        for wire in wires:
            try:
                block = parts.format.parse(wire)
            except InvalidBlockError:
                parts.out.add(Note("invalid", peer))
                continue
            ref = block.ref
            if ref in parts.manager or ref in self._in_check or block.round <= parts.dag.horizon:
                continue
            if parts.catch_up.trusts(ref):
                self._trust(block, peer, now)
                took = True
            elif ref in parts.fetcher or (block.author == peer and len(parts.dag.slot(*ref[:2])) < TWINS_MOST):
                unchecked.append(block)
        if unchecked:
            self.verify(Checking(peer, tuple(unchecked)))
        return not took

    def _prove(self, proven: Proven) -> None:
        """The votes for records hold. Blocks that they name and that are here already need not come again."""
        parts = self._parts
        parts.catch_up.prove(proven, parts.ordering.index, parts.ordering.digest)
        jump = parts.catch_up.jump
        if jump is not None:
            here = [block for ref in jump.missing if (block := parts.manager.find(ref)) is not None]
            for block in here:
                jump.give(block)

    def _trust(self, block: Block, peer: int, now: int) -> None:
        """A block that a proven record names."""
        jump = self._parts.catch_up.jump
        if jump is not None and block.ref in jump.needed:
            jump.give(block)
            self._parts.fetcher.got(block.ref)
        else:
            self.take(block, peer, now)

    def verify(self, what: Checking | Proven) -> None:
        """Have signatures verified; `checked` then hears of it."""
        blocks = what.blocks
        if len(self._checking) >= PENDING_MOST:
            self._parts.out.add(Note("unchecked", len(blocks)))
            return
        number = self._parts.out.number()
        self._checking[number] = what
        keys = self._parts.keys
        signed = [(keys[block.author], block.ref[2], block.signature) for block in blocks]
        items: list[bytes] = []
        if isinstance(what, Checking):
            for block in blocks:
                self._in_check[block.ref] = None
                items += block.items
        self._parts.out.add(Verify(number, tuple(signed), tuple(items)))

    def checked(self, number: int, now: int, *, ok: bool) -> None:
        """The answer to a `Verify`."""
        what = self._checking.pop(number, None)
        if isinstance(what, Proven):
            if ok:
                self._prove(what)
        elif what is not None:
            for block in what.blocks:
                self._in_check.pop(block.ref, None)
            if ok:
                for block in what.blocks:
                    self.take(block, what.peer, now)
                    if what.last:
                        self.answered(what.peer, block.round)
            elif len(what.blocks) > 1:  # which of them is it?
                for block in what.blocks:
                    self.verify(Checking(what.peer, (block,), what.last))
            else:
                self._parts.out.add(Note("forged", what.peer))

    def answered(self, peer: int, round_: int) -> None:
        """A member has shown that our latest block it has is of this round; what we have forgotten binds us."""
        parts = self._parts
        parts.recovery.answer(peer, round_)
        parts.proposer.floor = max(parts.proposer.floor, parts.recovery.floor(parts.proposer.last))

    def take(self, block: Block, peer: int, now: int) -> None:
        """A valid block: into the graph, or into the queue before it."""
        parts = self._parts
        parts.votes.hear(block)
        self.know(block)
        if parts.catch_up.jump is not None:
            parts.catch_up.jump.give(block)
        if block.round > parts.clock.round + FAR and block.ref not in parts.catch_up.trusted:
            return  # it comes again when we have caught up
        self.enter(parts.manager.offer(block), now)
        asked = parts.fetcher.got(block.ref)
        if block.ref in parts.manager and block.ref not in parts.manager.blocks:
            missing = (ref for ref in block.ancestors if parts.manager.misses(ref))
            parts.fetcher.miss(missing, peer, now, soon=asked)  # of a new block's they may be on their way

    def know(self, block: Block) -> None:
        """A block with a valid signature; the latest of each member is remembered."""
        if block.author not in self.latest or self.latest[block.author].round < block.round:
            self.latest[block.author] = block

    def enter(self, blocks: Iterable[Block], now: int) -> None:
        """Blocks that the graph has just taken."""
        parts = self._parts
        for block in blocks:
            self.unsaved.append(block)
            if block.sizes:
                self.open[block.ref] = None
            if parts.clock.note(block.round, block.author):
                parts.proposer.entered_at = now
            self.proofs.update(parts.votes.gather(block))
            self._accuse(block)
            if block.author == parts.me:
                parts.proposer.met(block.ref)

    def ordered(self, refs: Iterable[Ref]) -> None:
        """Blocks that are in the order, or have left the graph."""
        for ref in refs:
            self.open.pop(ref, None)

    def forget(self, horizon: int) -> None:
        """What lies at or below the horizon is told no more."""
        self._accused = {place for place in self._accused if place[0] > horizon}

    def _accuse(self, block: Block) -> None:
        place = block.round, block.author
        twins = self._parts.dag.slot(*place)
        if len(twins) > 1 and place not in self._accused:
            self._accused.add(place)
            first, second = (self._parts.manager.blocks[vertex.ref].stub for vertex in twins[:2])
            self._parts.out.add(Accuse(block.author, first, second))

    def dump(self, table: Table) -> list[Any]:
        """Its state, for a snapshot."""
        return [
            [table.place(block) for _, block in sorted(self.latest.items())],
            [list(ref) for ref in self.open],
            [table.place(block) for block in self.unsaved],
            [[index, list(stubs)] for index, stubs in self.proofs.items()],
            [list(place) for place in sorted(self._accused)],
            [[number, *self._dump_check(what, table)] for number, what in self._checking.items()],
        ]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state."""
        latest, open_, unsaved, proofs, accused, checking = state
        self.latest = {table[place].author: table[place] for place in latest}
        self.open = {to_ref(ref): None for ref in open_}
        self.unsaved = [table[place] for place in unsaved]
        self.proofs = {index: tuple(stubs) for index, stubs in proofs}
        self._accused = {(round_, author) for round_, author in accused}
        self._checking = {number: self._load_check(what, table) for number, *what in checking}
        self._in_check = {}
        for what in self._checking.values():
            if isinstance(what, Checking):
                self._in_check.update(dict.fromkeys(block.ref for block in what.blocks))

    @staticmethod
    def _dump_check(what: Checking | Proven, table: Table) -> list[Any]:
        if isinstance(what, Checking):
            return [what.peer, what.last, [table.place(block) for block in what.blocks]]
        return [[record.packed for record in what.records], [block.stub for block in what.blocks]]

    def _load_check(self, state: list[Any], table: Table) -> Checking | Proven:
        if len(state) == 3:
            peer, last, places = state
            return Checking(peer, tuple(table[place] for place in places), last)
        records, stubs = state
        parse = self._parts.format.parse_stub
        return Proven(tuple(map(unpack_record, records)), tuple(map(parse, stubs)))
