"""Whether this node is left behind: its chain stands still, or others, not all of them liars, are in a later epoch."""

import math
from collections.abc import Mapping
from typing import Final, final

import trio

STILL: Final = 5.0
"""Seconds for which the chain stands still before peers are asked for commits."""
LATE: Final = 1.0
"""Seconds for which others are in a later epoch before peers are asked for commits."""
QUIET: Final = 1.0
"""Seconds after commits of peers ended an epoch before an engine begins: one for each that passes would do nothing."""


@final
class Lag:
    """Until `sits` says who the committee is, nobody is behind, and nothing is waited for."""

    def __init__(self) -> None:
        self._powers: Mapping[bytes, int] = {}
        self._seated = True
        self._epoch = 0
        self._heard: dict[bytes, int] = {}
        self._ordered = 0
        self._passed_at = -math.inf
        self._moved = trio.Event()

    def sits(self, powers: Mapping[bytes, int], *, seated: bool) -> None:
        """The present committee: node → power. `seated`: this node is one of it; else it follows its peers."""
        self._powers, self._seated = powers, seated
        self._heard = {node: epoch for node, epoch in self._heard.items() if node in powers}
        self._move()

    def heard(self, node: bytes, epoch: int) -> None:
        """A member speaks in `epoch`."""
        before = self.behind
        self._heard[node] = max(epoch, self._heard.get(node, 0))
        if self.behind and not before:  # not for every word: who names ever later epochs would keep all waiting
            self._move()

    def begins(self, epoch: int) -> None:
        """The chain is in `epoch`."""
        self._epoch = epoch
        self._move()

    def ordered(self) -> None:
        """A commit of the own engine was applied."""
        self._ordered += 1
        self._move()

    def passed(self) -> None:
        """A commit of peers has ended an epoch."""
        self._passed_at = trio.current_time()
        self._move()

    @property
    def behind(self) -> bool:
        """Whether a later epoch is there: members of more than a third of the power say so."""
        later = sum(self._powers[node] for node, epoch in self._heard.items() if epoch > self._epoch)
        return later > max(0, sum(self._powers.values()) - 1) // 3

    async def until_left_behind(self) -> None:
        """Return when it is time to ask peers for commits."""
        while True:
            moved = self._moved
            alone = self._seated and len(self._powers) < 2
            with trio.move_on_after(math.inf if alone else self._patience()):
                await moved.wait()
                continue
            return

    def _patience(self) -> float:
        if not self._seated:
            return 0
        return LATE if self.behind else STILL

    async def until_going(self) -> None:
        """Return when the own engine orders, and no later epoch is there."""
        ordered = self._ordered
        while self._ordered == ordered or self.behind:
            await self._moved.wait()

    async def until_quiet(self) -> None:
        """Return when for `QUIET` no epoch was ended by commits of peers."""
        while (wait := self._passed_at + QUIET - trio.current_time()) > 0:
            moved = self._moved
            with trio.move_on_after(wait):
                await moved.wait()

    def _move(self) -> None:
        moved, self._moved = self._moved, trio.Event()
        moved.set()
