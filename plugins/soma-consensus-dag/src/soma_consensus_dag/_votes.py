"""Which commits the others have made: what their blocks vote for. Rules D36 and D47."""

from typing import Any, Final, final

from ._block import Block
from ._committee import Committee, agreed
from ._linearizer import PROVED_EVERY

OPEN_MOST: Final = 64
"""Such commits for which votes are gathered at a time."""


@final
class Votes:
    """`highest`: by place, the last commit that its blocks vote for. `agreed`: the last that a quorum has made."""

    def __init__(self, committee: Committee) -> None:
        self.highest = [0] * committee.size
        self.agreed = 0
        self._committee = committee
        self._gathered: dict[tuple[int, bytes], dict[int, bytes]] = {}  # commit → author → block without payload

    def hear(self, block: Block) -> None:
        """A block with a valid signature."""
        if not block.votes:
            return
        highest = max(block.votes)[0]
        if highest > self.highest[block.author]:
            self.highest[block.author] = highest
            self.agreed = agreed(self._committee.stakes, self.highest, self._committee.quorum)

    def gather(self, block: Block) -> dict[int, tuple[bytes, ...]]:
        """An accepted block. Returns commits (by index, one is enough for all) that a quorum's blocks now prove."""
        proved = {}
        for vote in block.votes:
            if vote[0] % PROVED_EVERY:
                continue
            stubs = self._gathered.setdefault(vote, {})
            before = self._committee.is_quorum(sum(1 << author for author in stubs))
            stubs[block.author] = block.stub
            if not before and self._committee.is_quorum(sum(1 << author for author in stubs)):
                proved[vote[0]] = tuple(stubs[author] for author in sorted(stubs))
        while len(self._gathered) > OPEN_MOST * self._committee.size:
            del self._gathered[next(iter(self._gathered))]
        return proved

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        gathered = [
            [index, digest, [[author, stub] for author, stub in stubs.items()]]
            for (index, digest), stubs in self._gathered.items()
        ]
        return [list(self.highest), gathered]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self.highest, gathered = state
        self.agreed = agreed(self._committee.stakes, self.highest, self._committee.quorum)
        self._gathered = {(index, digest): dict(stubs) for index, digest, stubs in gathered}
