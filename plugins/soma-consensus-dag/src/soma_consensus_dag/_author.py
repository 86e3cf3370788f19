"""Our own blocks: payload is pulled, the block is written down with all it refers to, then signed, then sent.

One at a time; each of these steps waits for an answer of the driver. It is written before it is signed, because the
signer signs one block in a round, ever: should we die between the two, we ask it for the same one again. Rules D48 to
D53 of ``specs/70-consensus-dag.md``.
"""

from typing import TYPE_CHECKING, Any, Final, final

from attrs import evolve, frozen

from soma_core.api import Note, Pull, Sign

from . import _messages as messages
from ._block import MAX_ITEMS, MAX_VOTES, Block, InvalidBlockError
from ._intake import Intake
from ._library import Library
from ._parts import Parts
from ._snapshot import Table

if TYPE_CHECKING:
    from ._proposer import Plan

_NOTHING: Final = 0


@frozen
class Draft:
    """Our next block, but for its signature. It is on disk behind `barrier`; `asked`: whether the signer has it."""

    block: Block
    barrier: int
    asked: bool = False

    @property
    def slot(self) -> bytes:
        """What the signer calls its round: it signs one block in it, ever, and that one again."""
        return self.block.round.to_bytes(8, "big")


@final
class Author:
    """`ready`: whether payload waits. `time`: of our latest block."""

    def __init__(self, parts: Parts, intake: Intake, library: Library) -> None:
        self.ready = False
        self.time = 0
        self._parts = parts
        self._intake = intake
        self._library = library
        self._pulling = 0  # the round for which payload was asked
        self._draft: Draft | None = None

    @property
    def present(self) -> int:
        """The round of the block that we are at, or 0."""
        return self._pulling if self._draft is None else self._draft.block.round

    def begin(self, now: int) -> int:
        """Begin the next block if it is time. Returns when to look again, ms, or 0."""
        parts = self._parts
        if self._pulling or self._draft is not None or not parts.proposer.has_turn:
            return _NOTHING
        busy = self.ready or bool(self._intake.open) or bool(parts.ordering.waiting)
        plan: Plan = parts.proposer.plan(now, busy=busy, ordered=parts.linearizer.leader_round)
        if plan.round:
            self._pulling = plan.round
            limit = 0 if plan.empty or parts.ordering.is_full else parts.format.payload_most
            self.ready = self.ready and not limit
            parts.out.add(Pull(limit, plan.round))
        return plan.at

    def pulled(self, items: tuple[bytes, ...], system: bytes, now: int) -> None:
        """The payload for the block: now it is written down, with all it refers to."""
        if not self._pulling:
            return
        parts = self._parts
        round_, self._pulling = self._pulling, 0
        if round_ <= parts.proposer.floor:
            return  # meanwhile we met a block of ours that we did not remember
        ancestors = parts.proposer.ancestors(round_)
        votes, self._library.unvoted = self._library.unvoted[:MAX_VOTES], self._library.unvoted[MAX_VOTES:]
        self.time = max(self.time, now)
        try:
            block = parts.format.make(round_, parts.me, self.time, ancestors, votes, system, items[:MAX_ITEMS])
        except InvalidBlockError:  # what it would refer to went below the horizon meanwhile
            parts.out.add(Note("outdated", round_))
            return
        self._draft = Draft(block, self._library.save_draft(block))

    def durable(self, barrier: int) -> None:
        """All up to `barrier` is on disk: a block that is may be signed."""
        if self._draft is not None and not self._draft.asked and self._draft.barrier <= barrier:
            self._sign(self._draft)

    def resume(self, draft: Block) -> None:
        """What was written down before the start, and perhaps signed, and is not in the graph."""
        self._sign(Draft(draft, 0))

    def signed(self, slot: bytes, signature: bytes, now: int) -> None:
        """The signature of the block; empty if the signer refused: it remembers a block of ours that we do not."""
        draft = self._draft
        if draft is None or slot != draft.slot:
            return
        self._draft = None
        parts = self._parts
        if not signature:
            parts.proposer.floor = max(parts.proposer.floor, draft.block.round)
            parts.out.add(Note("refused to sign", draft.block.round))
            return
        block = draft.block.signed(signature)
        parts.votes.hear(block)
        parts.proposer.made(block.ref, block.ancestors, now)
        self._intake.know(block)
        self._intake.enter(parts.manager.offer(block), now)
        parts.out.send(messages.Blocks((block.wire,)), after=draft.barrier)

    def dump(self, table: Table) -> list[Any]:
        """Its state, for a snapshot."""
        drafts = [[table.place(one.block), one.barrier, one.asked] for one in (self._draft,) if one is not None]
        return [self.ready, self.time, self._pulling, drafts]

    def load(self, state: list[Any], table: Table) -> None:
        """Take up a state."""
        self.ready, self.time, self._pulling, drafts = state
        self._draft = None
        for place, barrier, asked in drafts:
            self._draft = Draft(table[place], barrier, asked)

    def _sign(self, draft: Draft) -> None:
        self._draft = evolve(draft, asked=True)
        self._parts.out.add(Sign(draft.slot, draft.block.header))
