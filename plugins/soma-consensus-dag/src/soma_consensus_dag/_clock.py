"""The threshold clock: the round in which a member is, by the blocks it has accepted. Rule D10."""

from typing import Any, final

from ._committee import Committee, mask_of, members_of


@final
class Clock:
    """`round`: the first round of which no quorum is here. A block of a later round moves it there at once.

    `authors`: who has a block of `round`.
    """

    def __init__(self, committee: Committee, round_: int = 0) -> None:
        self.round = round_
        self.authors = 0
        self._committee = committee

    def note(self, round_: int, author: int) -> bool:
        """An accepted block. Whether the clock moved."""
        before = self.round
        if round_ < self.round:
            return False
        if round_ > self.round:
            self.round, self.authors = round_, 0
        self.authors |= 1 << author
        if self._committee.is_quorum(self.authors):
            self.round, self.authors = self.round + 1, 0
        return self.round > before

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [self.round, list(members_of(self.authors))]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self.round, authors = state
        self.authors = mask_of(authors)
