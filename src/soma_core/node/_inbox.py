"""What waits for an engine: answers, how far the chain is, who came and went, and messages of peers.

Only messages are bounded, and whoever brings one waits for room: answers come to what the engine asked for itself. How
far the chain is and who is connected never get lost either; of both only the last word counts.
"""

from collections import deque
from typing import Final, final

import trio

from soma_core.api import Applied, EndEpoch, Event, PeerDown, PeerUp, Received

INBOX: Final = 1_024
"""Messages of peers that wait for an engine; then reading from the network waits."""
TURN: Final = 64
"""Messages an engine is given before it hears again of timers and answers."""


@final
class Inbox:
    """The events of one engine."""

    def __init__(self) -> None:
        self._answers: deque[Event] = deque()
        self._messages: deque[Received] = deque()
        self._peers: dict[int, list[bool]] = {}
        self._progress: Applied | EndEpoch | None = None
        self._arrived = trio.Event()
        self._room = trio.Event()
        self._closed = False

    def answer(self, event: Event) -> None:
        """What the engine asked for."""
        self._answers.append(event)
        self.wake()

    def progress(self, event: Applied | EndEpoch) -> None:
        """The chain has come this far. After the end of its epoch nothing concerns an engine any more."""
        if not isinstance(self._progress, EndEpoch):
            self._progress = event
        self.wake()

    def peer(self, place: int, *, up: bool) -> None:
        """A member was connected, or is not any more. What cancels out before it is heard is not heard."""
        waiting = self._peers.get(place, [])
        if not waiting or waiting[-1] != up:
            self._peers[place] = [*waiting, up] if len(waiting) < 2 else [up]
        self.wake()

    async def put(self, message: Received) -> None:
        """Queue a message when there is room."""
        while not self.offer(message):
            if self._room.is_set():
                self._room = trio.Event()
            await self._room.wait()

    def offer(self, message: Received) -> bool:
        """Queue a message, or say that there is no room."""
        if self._closed:
            return True
        if len(self._messages) >= INBOX:
            return False
        self._messages.append(message)
        self.wake()
        return True

    def close(self) -> None:
        """Nobody takes messages any more: they are dropped, and whoever waits for room goes on."""
        self._closed = True
        self._room.set()

    def take(self, *, messages: bool) -> list[Event]:
        """What waits, messages last and only if they are wanted."""
        events: list[Event] = []
        if self._progress is not None:
            events.append(self._progress)
            self._progress = None
        for place, waiting in self._peers.items():
            events += [PeerUp(place) if up else PeerDown(place) for up in waiting]
        self._peers.clear()
        events += self._answers
        self._answers.clear()
        if messages and self._messages:
            events += [self._messages.popleft() for _ in range(min(TURN, len(self._messages)))]
            self._room.set()
        return events

    def has(self, *, messages: bool) -> bool:
        """Whether `take` would give anything."""
        return bool(self._progress or self._peers or self._answers or (messages and self._messages))

    def wake(self) -> None:
        """Something has changed for whoever waits."""
        self._arrived.set()

    async def changed(self) -> None:
        """Return at the next change, or at once if there was one since the last call returned."""
        await self._arrived.wait()
        self._arrived = trio.Event()
