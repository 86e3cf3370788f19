"""Asks for blocks that are missing: of who should have them first, then of one member after another. Rule D11."""

from collections.abc import Iterable
from typing import Any, Final, final

from attrs import define

from ._dag import Ref, to_ref
from ._messages import WANT_MOST

FIRST_MS: Final = 50
"""Milliseconds before a missing block is asked for: most are on their way."""
AGAIN_MS: Final = 500
"""Milliseconds before another member is asked."""
ASKED_MOST: Final = 1024
"""Blocks asked for at a time."""


@define(eq=False)
class _Asked:
    due: int
    hint: int
    tries: int = 0


@final
class Fetcher:
    """`peers`: who is connected, ascending."""

    def __init__(self, me: int, size: int) -> None:
        self._me, self._size = me, size
        self._asked: dict[Ref, _Asked] = {}

    def miss(self, refs: Iterable[Ref], hint: int, now: int, *, soon: bool = False) -> None:
        """Blocks that are needed; `hint` is who should have them."""
        for ref in refs:
            if ref not in self._asked and len(self._asked) < ASKED_MOST:
                self._asked[ref] = _Asked(now if soon else now + FIRST_MS, hint)

    def got(self, ref: Ref) -> bool:
        """A block has come. Whether it was asked for."""
        one = self._asked.pop(ref, None)
        return one is not None

    def forget(self, horizon: int) -> None:
        """What lies at or below the horizon is not needed any more."""
        for ref in [ref for ref in self._asked if ref[0] <= horizon]:
            del self._asked[ref]

    def __contains__(self, ref: Ref) -> bool:
        return ref in self._asked

    def __len__(self) -> int:
        return len(self._asked)

    def next_due(self) -> int | None:
        """When to look again, ms."""
        return min((one.due for one in self._asked.values()), default=None)

    def due(self, now: int, connected: int) -> dict[int, list[Ref]]:
        """Whom to ask for what, now. `connected`: the set of members that can be asked."""
        questions: dict[int, list[Ref]] = {}
        if not connected:
            return questions
        for ref, one in self._asked.items():
            if one.due <= now:
                peer = self._whom(one, connected)
                if len(questions.setdefault(peer, [])) < WANT_MOST:
                    questions[peer].append(ref)
                    one.due = now + AGAIN_MS
                    one.tries += 1
        return questions

    def _whom(self, one: _Asked, connected: int) -> int:
        for step in range(self._size):
            peer = (one.hint + one.tries + step) % self._size
            if peer != self._me and connected >> peer & 1:
                return peer
        raise AssertionError("somebody is connected")

    def dump(self) -> list[Any]:
        """Its state, for a snapshot."""
        return [[list(ref), one.due, one.hint, one.tries] for ref, one in self._asked.items()]

    def load(self, state: list[Any]) -> None:
        """Take up a state."""
        self._asked = {to_ref(ref): _Asked(due, hint, tries) for ref, due, hint, tries in state}
