"""What is kept on disk, and read back for those who ask. Rules D42, D43, D56 and D57."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, final

from attrs import evolve, frozen

from soma_core.api import Load
from soma_core.api.encoding import decode, encode

from . import _messages as messages
from ._block import Block, Vote
from ._catchup import BATCH, REACH
from ._dag import Ref
from ._delivery import Delivery
from ._intake import Intake
from ._keys import DRAFT, TIP, block_key, from_round, proof_key, record_key
from ._ordering import Kept, Made
from ._parts import Parts
from ._shelf import Shelf

LOADS_MOST: Final = 64
"""Questions of others that wait for the disk; what comes beyond is lost."""
PROOF_MOST: Final = 1 << 24
"""Bytes of the votes that prove a commit, at most."""
SWEPT: Final = 16
"""What an earlier life left is deleted in pages of so many."""


@frozen
class Serving:
    """A question of `peer` that waits for the disk: for a block (`first` 0), else for commits from `first` on.

    `proof`: the votes that were found for the last of these.
    """

    peer: int
    first: int = 0
    proof: bytes = b""


@final
class Library:
    """`unvoted`: commits that no block of ours has voted for.

    What lies on disk from before a start, or a jump, is nowhere listed. It goes, page by page, once what came after it
    has begun to go.
    """

    def __init__(self, parts: Parts, intake: Intake, shelf: Shelf) -> None:
        self.unvoted: list[Vote] = []
        self._shelf = shelf
        self._parts = parts
        self._intake = intake
        self._serving: dict[int, Serving] = {}
        self._unlisted: list[tuple[bytes, bytes]] = []  # ranges of keys
        self._sweep = 0  # the question for a page of them

    # What is kept -----------------------------------------------------------------------------------------------------

    def save(self, batch: dict[bytes, bytes | None]) -> int:
        """Write `batch`, and the blocks and proofs that came since the last time. Returns the barrier."""
        for block in self._intake.unsaved:
            key = block_key(block.ref)
            batch[key] = block.wire
            self._shelf.put_block(block.round, key)
        for index, stubs in self._intake.proofs.items():
            batch[proof_key(index)] = encode(list(stubs))
            self._shelf.proved = max(self._shelf.proved, index)
        self._intake.unsaved, self._intake.proofs = [], {}
        return self._parts.out.persist(batch)

    def save_draft(self, block: Block) -> int:
        """Write our next block, unsigned, with all it refers to. Returns the barrier behind which it may be signed."""
        return self.save({DRAFT: block.wire})

    def hand_on(self, made: Sequence[Made], delivery: Delivery) -> None:
        """Write commits that were made, and deliver behind that what the chain has not applied."""
        self.unvoted += [(one.record.index, one.record.digest) for one in made]
        barrier = self.keep([Kept(one.record, one.low) for one in made], delivery.reached)
        for one in made:
            delivery.give(one.commit, barrier)

    def keep(self, commits: Iterable[Kept], applied: int) -> int:
        """Write where the order stands, with these records; delete what nobody needs. Returns the barrier."""
        parts = self._parts
        batch: dict[bytes, bytes | None] = {}
        for one in commits:
            batch[record_key(one.record.index)] = one.record.packed
            self._shelf.put_commit(one.record.index, one.record.leader[0], one.low)
        first, low, base = parts.ordering.base(applied)
        batch[TIP] = encode([parts.ordering.index, first, low, base, parts.schedule.pack()])
        gone = self._shelf.clear_out(first, min(parts.votes.highest), low, parts.gc_depth)
        if gone and self._unlisted and not self._sweep:
            self._sweep = parts.out.number()
            parts.out.add(Load(self._sweep, *self._unlisted[0], SWEPT))
        batch.update(gone)
        return self.save(batch)

    def recall(self, blocks: Iterable[Block], commits: Iterable[Kept]) -> None:
        """What was on disk at the start."""
        voted = self._parts.votes.highest[self._parts.me]
        for block in blocks:
            self._shelf.put_block(block.round, block_key(block.ref))
        for one in commits:
            self._shelf.put_commit(one.record.index, one.record.leader[0], one.low)
            if one.record.index > voted:
                self.unvoted.append((one.record.index, one.record.digest))
        self.pass_over()

    def pass_over(self) -> None:
        """What lies on disk from before all that is known is to go, some time."""
        recent = self._parts.ordering.recent
        if recent:
            first, low = recent[0].record.index, self._parts.dag.horizon + 1
            ends = (
                (from_round(0), from_round(low)),
                (record_key(0), record_key(first)),
                (proof_key(0), proof_key(first)),
            )
            self._unlisted = list(ends)

    # What is asked for ------------------------------------------------------------------------------------------------

    def serve_blocks(self, peer: int, refs: Sequence[Ref]) -> None:
        """Blocks by name: from memory now, the older ones from disk."""
        here = self._parts.manager.blocks
        self._send(peer, [here[ref].wire for ref in refs if ref in here])
        for ref in refs:
            if ref not in here and 0 < ref[0] <= self._parts.dag.horizon:
                self._load(Serving(peer), block_key(ref), block_key(ref) + b"\0", 1)

    def serve_ours(self, peer: int, round_: int) -> None:
        """Our blocks after a round, as far as they are in memory: older ones are found by what refers to them."""
        blocks = self._parts.manager.blocks.values()
        ours = [block for block in blocks if block.author == self._parts.me and block.round > round_]
        self._send(peer, [block.wire for block in sorted(ours, key=lambda block: block.ref)])

    def serve_commits(self, peer: int, first: int) -> None:
        """Commit records from `first` on, up to the last of a batch that is proven.

        If they are gone: those with which one can go on after the last proven one.
        """
        proved = self._shelf.proved
        reach = self._shelf.reach(proved)
        if self._shelf.has(first):
            self._load(Serving(peer, first), proof_key(first), proof_key(first + BATCH), BATCH)
        elif reach is not None:
            self._load(Serving(peer, reach), proof_key(proved), proof_key(proved + 1), 1)

    def loaded(self, number: int, records: Sequence[tuple[bytes, bytes]]) -> None:
        """What the disk answered."""
        if number == self._sweep:
            self._sweep = 0
            if records:
                self.save({key: None for key, _ in records})
            else:
                self._unlisted.pop(0)
            return
        serving = self._serving.pop(number, None)
        if serving is None or not records:
            return
        if not serving.first:
            self._send(serving.peer, [wire for _, wire in records])
        elif not serving.proof:
            key, proof = records[-1]
            after = record_key(int.from_bytes(key[1:], "big") + 1)
            self._load(evolve(serving, proof=proof), record_key(serving.first), after, REACH)
        else:
            stubs: Any = decode(serving.proof, max_size=PROOF_MOST)
            answer = messages.Commits(tuple(record for _, record in records), tuple(stubs))
            self._parts.out.send(answer, serving.peer)

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        serving = [[number, one.peer, one.first, one.proof] for number, one in self._serving.items()]
        unlisted = [list(ends) for ends in self._unlisted]
        return [[list(vote) for vote in self.unvoted], serving, self._shelf.dump(), unlisted, self._sweep]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        unvoted, serving, shelf, unlisted, self._sweep = state
        self._unlisted = [(start, stop) for start, stop in unlisted]
        self._shelf.load(shelf)
        self.unvoted = [(index, digest) for index, digest in unvoted]
        self._serving = {number: Serving(peer, first, proof) for number, peer, first, proof in serving}

    def _load(self, serving: Serving, start: bytes, stop: bytes, limit: int) -> None:
        if len(self._serving) < LOADS_MOST:
            number = self._parts.out.number()
            self._serving[number] = serving
            self._parts.out.add(Load(number, start, stop, limit))

    def _send(self, peer: int, wires: Sequence[bytes]) -> None:
        for message in messages.in_messages(wires):
            self._parts.out.send(message, peer)
