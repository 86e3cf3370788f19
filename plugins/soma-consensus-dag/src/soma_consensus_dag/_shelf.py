"""What of the past is still on disk for those who are behind, and what may go. Rule D60."""

from collections import deque
from typing import Any, final

from ._keys import proof_key, record_key


@final
class Shelf:
    """Commit records and blocks that we wrote, so that they can be deleted by name. `most`: commits kept at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._commits: deque[tuple[int, int]] = deque()  # (index, round of its leader)
        self._blocks: dict[int, list[bytes]] = {}  # round → keys

    def put_block(self, round_: int, key: bytes) -> None:
        """A block is written."""
        self._blocks.setdefault(round_, []).append(key)

    def put_commit(self, index: int, leader_round: int) -> None:
        """A record is written."""
        self._commits.append((index, leader_round))

    def clear_out(self, needed: int, slowest: int, low: int, depth: int) -> dict[bytes, None]:
        """What is deleted: what comes before commit `slowest`, where the slowest member stands, or is too much.

        `needed`, `low`: the first record and the lowest round that our own restart needs. `depth`: rounds below a
        leader that its commit may bring something of.
        """
        gone: dict[bytes, None] = {}
        first = min(needed, max(slowest, self._commits[-1][0] - self._most)) if self._commits else 0
        while self._commits and self._commits[0][0] < first:
            index, _ = self._commits.popleft()
            gone[record_key(index)] = gone[proof_key(index)] = None
        if self._commits:
            lowest = min(low, self._commits[0][1] - depth)
            for round_ in [round_ for round_ in self._blocks if round_ < lowest]:
                gone.update(dict.fromkeys(self._blocks.pop(round_)))
        return gone

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [[list(pair) for pair in self._commits], [[round_, keys] for round_, keys in self._blocks.items()]]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        commits, blocks = state
        self._commits = deque((index, round_) for index, round_ in commits)
        self._blocks = {round_: list(keys) for round_, keys in blocks}
