"""The memory that all peers together may make a node hold, and who goes when it is full.

Whoever holds bytes for a peer (a transport its buffers, `net` its queues) counts them here while it does. Rules N57 to
N60 of ``specs/50-network.md``. Integers only; nothing waits.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final, final

PEER_MEMORY: Final = 128 << 20
"""Bytes held for all peers together, where nothing else is said."""


@final
class Share:
    """What one holder, such as a connection or a queue, has of a `Budget`.

    `owner` is the peer for whom it holds, once that is known; until then the share stands for itself.
    """

    def __init__(self, budget: "Budget", cut: Callable[[], None], owner: bytes | None) -> None:
        self.owner: object = self if owner is None else owner
        self.held = 0
        self.closed = False
        self.cut = cut
        self._budget = budget

    def add(self, size: int) -> bool:
        """Count `size` bytes more, or less if it is negative. False once closed: then let go of them."""
        if not self.closed:
            self.held += size
            self._budget.count(size)
        return not self.closed

    def close(self) -> None:
        """Nothing is held any more."""
        if not self.closed:
            self.closed = True
            self._budget.forget(self)


@final
class Budget:
    """At most `most` bytes at a time, whatever the number of peers. Half of it belongs to the members, in equal parts.

    A byte too much cuts the peer that holds most beyond what it is guaranteed, with all its shares, until the rest
    fits. So a member that holds no more than its part is never cut, and who holds little outlasts who holds much.
    """

    def __init__(self, most: int = PEER_MEMORY, members: frozenset[bytes] = frozenset()) -> None:
        self.most = most
        self.held = 0
        """Bytes held now; never more than `most` when a call has returned."""
        self._members = members
        self._shares: set[Share] = set()

    def open(self, cut: Callable[[], None], owner: bytes | None = None) -> Share:
        """A new share. `cut` is called, once it is closed, when its owner must go; it neither waits nor raises."""
        share = Share(self, cut, owner)
        self._shares.add(share)
        return share

    def guaranteed(self, owner: object) -> int:
        """Bytes for which `owner` is never cut."""
        return self.most // 2 // len(self._members) if owner in self._members else 0

    def belong(self, members: frozenset[bytes]) -> None:
        """Half of it belongs to these from now on."""
        self._members = members

    def count(self, size: int) -> None:
        """A share has grown by `size` bytes. For shares."""
        self.held += size
        while self.held > self.most:
            self._cut_most()

    def forget(self, share: Share) -> None:
        """A share is closed. For shares."""
        self._shares.discard(share)
        self.held -= share.held

    def _cut_most(self) -> None:
        held: Counter[object] = Counter()
        for share in self._shares:
            held[share.owner] += share.held
        worst = max(held, key=lambda owner: held[owner] - self.guaranteed(owner))
        going = [share for share in self._shares if share.owner == worst]
        for share in going:
            share.close()
        for share in going:
            share.cut()
