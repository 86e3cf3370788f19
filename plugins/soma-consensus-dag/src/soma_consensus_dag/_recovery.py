"""After a start: what of our own did we say that we may not remember? A quorum is asked before we speak. Rule D54."""

from typing import Any, Final, final

from ._committee import Committee, mask_of, members_of

AGAIN_MS: Final = 1000
"""Milliseconds before who has not answered is asked again."""
ABOVE: Final = 2
"""Rounds above the highest block that others had of us and we had not."""


@final
class Recovery:
    """`number`: of this start's question. `done`: whether a quorum has answered, our own stake included."""

    def __init__(self, me: int, committee: Committee) -> None:
        self.number = 0
        self.answered = 1 << me
        self.highest = 0
        self._committee = committee

    @property
    def done(self) -> bool:
        """Whether we may speak."""
        return self._committee.is_quorum(self.answered)

    def answer(self, peer: int, round_: int) -> None:
        """A member has a block of ours of this round, and none above; 0: none at all."""
        self.answered |= 1 << peer
        self.highest = max(self.highest, round_)

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [self.number, list(members_of(self.answered)), self.highest]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self.number, answered, self.highest = state
        self.answered = mask_of(answered)

    def floor(self, last: int) -> int:
        """No block of ours may be of this round or an earlier one, if `last` is the latest that we remember."""
        return self.highest + ABOVE if self.highest > last else 0
