"""What one step asks of the driver, gathered in order."""

from collections.abc import Mapping, Sequence
from typing import final

from soma_core.api import Action, Persist, Send

from ._messages import Message, pack


@final
class Outbox:
    """`barrier`, `asked`: the last barrier and the last question to the driver. `others`: all members but ourselves."""

    def __init__(self, others: Sequence[int]) -> None:
        self.barrier = 0
        self.asked = 0
        self.others = tuple(others)
        self._actions: list[Action] = []

    def add(self, action: Action) -> None:
        """One more action."""
        self._actions.append(action)

    def send(self, message: Message | bytes, *peers: int, after: int = 0) -> None:
        """A message to some members; with nobody named, to all others."""
        to = peers or self.others
        if to:
            self._actions.append(Send(to, message if isinstance(message, bytes) else pack(message), after))

    def persist(self, batch: Mapping[bytes, bytes | None]) -> int:
        """Write; returns the barrier behind which it is on disk."""
        if batch:
            self.barrier += 1
            self._actions.append(Persist(self.barrier, batch))
        return self.barrier

    def number(self) -> int:
        """The number of the next question to the driver, from 1."""
        self.asked += 1
        return self.asked

    def take(self) -> tuple[Action, ...]:
        """All that was gathered."""
        taken, self._actions = tuple(self._actions), []
        return taken
