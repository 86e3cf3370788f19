"""Our own blocks: payload is pulled, the header is signed, then block and ancestors are written, then it is sent.

One at a time; each of these steps waits for an answer of the driver. Rules D48 to D53.
"""

from typing import TYPE_CHECKING, Any, Final, final

from attrs import frozen

from soma_core.api import Note, Pull, Sign

from . import _messages as messages
from ._block import MAX_ITEMS, MAX_VOTES, assemble
from ._dag import Ref, to_ref
from ._intake import Intake
from ._library import Library
from ._parts import Parts

if TYPE_CHECKING:
    from ._proposer import Plan

_NOTHING: Final = 0


@frozen
class Draft:
    """Our next block, but for its signature."""

    round: int
    header: bytes
    ancestors: tuple[Ref, ...]
    items: tuple[bytes, ...]

    @property
    def slot(self) -> bytes:
        """What the signer calls its round: it signs one block in it, ever."""
        return self.round.to_bytes(8, "big")


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

    def begin(self, now: int) -> int:
        """Begin the next block if it is time. Returns when to look again, ms, or 0."""
        if self._pulling or self._draft is not None:
            return _NOTHING
        parts = self._parts
        left = bool(parts.ordering.waiting)
        plan: Plan = parts.proposer.plan(now, busy=self.ready or left or bool(self._intake.open))
        if plan.round:
            self._pulling = plan.round
            limit = 0 if plan.empty or left else parts.format.payload_most
            self.ready = self.ready and not limit
            parts.out.add(Pull(limit, plan.round))
        return plan.at

    def pulled(self, items: tuple[bytes, ...], system: bytes, now: int) -> None:
        """The payload for the block: now it has a header, to be signed."""
        if not self._pulling:
            return
        parts = self._parts
        round_, self._pulling = self._pulling, 0
        if round_ <= parts.proposer.floor:
            return  # meanwhile we met a block of ours that we did not remember
        ancestors = parts.proposer.ancestors(round_, parts.format.genesis)
        votes, self._library.unvoted = self._library.unvoted[:MAX_VOTES], self._library.unvoted[MAX_VOTES:]
        self.time = max(self.time, now)
        items = items[:MAX_ITEMS]
        header = parts.format.header(round_, parts.me, self.time, ancestors, votes, system, items)
        self._draft = Draft(round_, header, ancestors, items)
        parts.out.add(Sign(self._draft.slot, header))

    def signed(self, slot: bytes, signature: bytes, now: int) -> None:
        """The signature of the block; empty if the signer refused: it remembers a block of ours that we do not."""
        draft = self._draft
        if draft is None or slot != draft.slot:
            return
        self._draft = None
        parts = self._parts
        if not signature:
            parts.proposer.floor = max(parts.proposer.floor, draft.round)
            parts.out.add(Note("refused to sign", draft.round))
            return
        block = parts.format.parse(assemble(draft.header, signature, draft.items))
        parts.votes.hear(block)
        parts.proposer.made(block.ref, block.ancestors, now)
        self._intake.know(block)
        self._intake.enter(parts.manager.offer(block), now)
        parts.out.send(messages.Blocks((block.wire,)), after=self._library.save_own(block))

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        draft = self._draft
        drafted = (
            [] if draft is None else [[draft.round, draft.header, list(map(list, draft.ancestors)), list(draft.items)]]
        )
        return [self.ready, self.time, self._pulling, drafted]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self.ready, self.time, self._pulling, drafted = state
        self._draft = None
        for round_, header, ancestors, items in drafted:
            self._draft = Draft(round_, header, tuple(map(to_ref, ancestors)), tuple(items))
