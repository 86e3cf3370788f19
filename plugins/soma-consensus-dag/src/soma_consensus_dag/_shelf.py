"""What of the past is still on disk for those who are behind, and what may go. Rule D60."""

from collections import deque
from typing import Any, final

from attrs import frozen

from ._keys import proof_key, record_key


@frozen
class Shelved:
    """A commit whose record is on disk: the round of its leader, the lowest round that is needed to go on after it."""

    index: int
    round: int
    low: int


@final
class Shelf:
    """Commit records and blocks that we wrote, so that they can be deleted by name.

    `most`, `least`: commits that are kept, at most because somebody is behind, at least for whoever comes anew.
    `proved`: the last commit whose votes are kept; 0 if none.
    """

    def __init__(self, most: int, least: int) -> None:
        self.proved = 0
        self._most = most
        self._least = least
        self._commits: deque[Shelved] = deque()
        self._blocks: dict[int, list[bytes]] = {}  # round → keys

    def put_block(self, round_: int, key: bytes) -> None:
        """A block is written."""
        self._blocks.setdefault(round_, []).append(key)

    def put_commit(self, index: int, leader_round: int, low: int) -> None:
        """A record is written."""
        self._commits.append(Shelved(index, leader_round, low))

    def has(self, index: int) -> bool:
        """Whether the record of a commit is kept."""
        return bool(self._commits) and self._commits[0].index <= index <= self._commits[-1].index

    def reach(self, index: int) -> int | None:
        """The first record that somebody needs who goes on after commit `index`; None if it is not kept."""
        if not self.has(index) or not index:
            return None
        low = self._commits[index - self._commits[0].index].low
        before = [commit.index for commit in self._commits if commit.round < low]
        return before[-1] if before else self._commits[0].index

    def clear_out(self, needed: int, slowest: int, low: int, depth: int) -> dict[bytes, None]:
        """What is deleted: what comes before commit `slowest`, where the slowest member stands, or is too much.

        `needed`, `low`: the first record and the lowest round that our own restart needs. `depth`: rounds below a
        leader that its commit may bring something of.
        """
        gone: dict[bytes, None] = {}
        if not self._commits:
            return gone
        last = self._commits[-1].index
        first = min(needed, max(min(slowest, last - self._least), last - self._most))
        while self._commits[0].index < first:
            index = self._commits.popleft().index
            gone[record_key(index)] = gone[proof_key(index)] = None
        lowest = min(low, self._commits[0].round - depth)
        for round_ in [round_ for round_ in self._blocks if round_ < lowest]:
            gone.update(dict.fromkeys(self._blocks.pop(round_)))
        return gone

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        commits = [[commit.index, commit.round, commit.low] for commit in self._commits]
        return [commits, [[round_, keys] for round_, keys in self._blocks.items()], self.proved]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        commits, blocks, self.proved = state
        self._commits = deque(Shelved(*commit) for commit in commits)
        self._blocks = {round_: list(keys) for round_, keys in blocks}
