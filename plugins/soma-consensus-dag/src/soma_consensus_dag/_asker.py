"""What we ask of others, and when: missing blocks, commits that we have not made, our own past. Rules D11, D54, D57.

Every question may be lost, and is asked again by a timer.
"""

from typing import Any, Final, final

from soma_core.api import CancelTimer, SetTimer

from . import _messages as messages
from ._catchup import AGAIN_MS as CATCH_UP_MS
from ._catchup import BATCH, BEHIND
from ._committee import mask_of, members_of
from ._intake import Checking, Intake
from ._parts import Parts
from ._recovery import AGAIN_MS as RECOVERY_MS

BLOCK: Final = "block"
RECOVER: Final = "recover"
STILL: Final = "still"
STILL_MS: Final = 1000
"""Milliseconds in one round after which others are asked for its blocks."""
_FETCH, _CATCH_UP = "fetch", "catch-up"


@final
class Asker:
    """`connected`: the set of members that can be asked. `timers`: what we are woken for, and when."""

    def __init__(self, parts: Parts, intake: Intake) -> None:
        self.connected = 0
        self.timers: dict[str, int] = {}
        self._parts = parts
        self._intake = intake

    @property
    def is_behind(self) -> bool:
        """Whether a quorum has made many commits that we have not."""
        return self._parts.votes.agreed > self._parts.ordering.index + BEHIND

    def greet(self, peer: int) -> None:
        """Ask a member that has come for what we missed of it."""
        known = self._intake.latest.get(peer)
        self._parts.out.send(messages.Since(0 if known is None else known.round), peer)
        self.ask_for_ours(1 << peer)

    def ask_for_ours(self, members: int) -> None:
        """Ask who has not answered yet for the latest block of ours that it has."""
        recovery = self._parts.recovery
        asked = () if recovery.done else tuple(members_of(members & ~recovery.answered))
        if asked:
            self._parts.out.send(messages.AskLast(recovery.number), *asked)

    def ask_for_round(self, now: int) -> None:
        """If we are in the clock's round for long, ask all for their blocks from there on: they may be lost.

        Or have been too far ahead when they came.
        """
        parts, round_ = self._parts, self._parts.clock.round
        if now >= parts.proposer.entered_at + STILL_MS:
            for peer in members_of(self.connected):
                known = bool(parts.dag.slot(round_, peer))
                parts.out.send(messages.Since(round_ if known else round_ - 1), peer)

    def watch(self, now: int) -> None:
        """Have the driver tell us when to look whether we are in a round for long."""
        if self.connected and STILL not in self.timers:
            self.wake(STILL, now + STILL_MS)

    def recover(self, now: int) -> None:
        """Have the driver tell us when they are asked again, as long as we may not speak."""
        if not self._parts.recovery.done:
            self.wake(RECOVER, now + RECOVERY_MS)

    def hear_of_ours(self, peer: int, number: int, wire: bytes) -> None:
        """An answer to that. Raises `DecodeError` for a block that is none."""
        parts = self._parts
        if parts.recovery.done or number != parts.recovery.number:
            return
        block = parts.format.parse(wire) if wire else None
        if block is None:
            self._intake.answered(peer, 0)
        elif block.author == parts.me and block.ref in parts.manager:
            self._intake.answered(peer, block.round)
        elif block.author == parts.me:
            self._intake.verify(Checking(peer, (block,), last=True))

    def fetch(self, now: int) -> None:
        """Ask for blocks that are missing, and for those that certified records name."""
        parts = self._parts
        if not parts.fetcher and not parts.catch_up.certified and parts.catch_up.jump is None:
            return
        if parts.catch_up.jump is not None:
            parts.fetcher.miss(parts.catch_up.jump.missing, parts.catch_up.jump.records[-1].leader[1], now, soon=True)
        for record in parts.catch_up.certified:
            needed = (ref for ref in record.blocks if ref not in parts.manager and ref[0] > parts.dag.horizon)
            parts.fetcher.miss(needed, record.leader[1], now, soon=True)
        for peer, refs in parts.fetcher.due(now, self.connected).items():
            parts.out.send(messages.Want(tuple(refs)), peer)
        due = parts.fetcher.next_due()
        if due is not None and self.connected:
            self.wake(_FETCH, max(due, now + 1))
        elif self.timers.pop(_FETCH, None) is not None:
            parts.out.add(CancelTimer(_FETCH))

    def ask_for_commits(self, now: int) -> None:
        """Who is far behind asks one member after another that is not."""
        catch_up, votes = self._parts.catch_up, self._parts.votes
        catch_up.give_up(self._parts.ordering.index, now)
        if len(catch_up.certified) >= BATCH or catch_up.jump:
            return
        first = catch_up.next_index(self._parts.ordering.index)
        ahead = [place for place in members_of(self.connected) if votes.highest[place] >= first]
        due = catch_up.asked_at + CATCH_UP_MS
        if ahead and now >= due:
            catch_up.asked_at, catch_up.asked = now, catch_up.asked + 1
            self._parts.out.send(messages.AskCommits(first), ahead[catch_up.asked % len(ahead)])
            due = now + CATCH_UP_MS
        if ahead:
            self.wake(_CATCH_UP, due)

    def wake(self, name: str, at: int) -> None:
        """Have the driver tell us when it is `at`, ms."""
        if self.timers.get(name) != at:
            self.timers[name] = at
            self._parts.out.add(SetTimer(name, at))

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [list(members_of(self.connected)), list(self.timers.items())]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        connected, timers = state
        self.connected, self.timers = mask_of(connected), dict(timers)
