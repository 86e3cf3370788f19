"""Commits on their way to the chain. Rules D56 and D59."""

from collections import deque
from typing import Any, Final, final

from soma_core.api import Commit, Deliver

from ._outbox import Outbox

HELD: Final = 64
"""Commits that are held for a chain that is getting those before them elsewhere."""


@final
class Delivery:
    """`applied`: the chain's last commit. `base`: the commit that the chain must have before it is given the next.

    What the chain lacks of the commits up to `base` it gets elsewhere. Meanwhile the order goes on, and its last
    commits are held: whoever stood still for so long would be left behind anew.
    """

    def __init__(self, out: Outbox, applied: int) -> None:
        self.applied = applied
        self.base = 0
        self._out = out
        self._held: deque[Deliver] = deque()

    @property
    def waits(self) -> bool:
        """Whether the chain has not come to `base`."""
        return self.applied < self.base

    @property
    def reached(self) -> int:
        """The last commit that is not this engine's to deliver any more."""
        return max(self.applied, self.base)

    def begin_after(self, base: int) -> None:
        """The next commit is given to the chain once it has come to `base`."""
        self.base = base
        self._held.clear()

    def give(self, commit: Commit, after: int = 0) -> None:
        """The next commit, behind the barrier `after`. One that the chain has already is passed over."""
        if commit.index <= self.applied:
            return
        deliver = Deliver(commit, after)
        if not self.waits:
            self._out.add(deliver)
            return
        self._held.append(deliver)
        if len(self._held) > HELD:
            self.base = self._held.popleft().commit.index

    def apply(self, index: int) -> None:
        """The chain has come so far."""
        self.applied = max(self.applied, index)
        if not self.waits:
            held, self._held = self._held, deque()
            for deliver in held:
                self.give(deliver.commit, deliver.after)

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [self.applied, self.base, [[_dump(deliver.commit), deliver.after] for deliver in self._held]]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self.applied, self.base, held = state
        self._held = deque(Deliver(_load(commit), after) for commit, after in held)


def _dump(commit: Commit) -> list[Any]:
    items = [list(item) for item in commit.items]
    return [commit.index, commit.digest, commit.time, commit.round, commit.leader, items, commit.leader_system]


def _load(state: list[Any]) -> Commit:
    index, digest, time, round_, leader, items, system = state
    return Commit(index, digest, time, round_, leader, tuple((author, item) for author, item in items), system)
