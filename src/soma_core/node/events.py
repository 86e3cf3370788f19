"""What happens on the chain, told to whoever in the node waits for it.

Roles are told every event, in order, and do their own queueing; waiters (a command that waits for a job) look at the
state again whenever anything was applied. Nothing here is lossy and nothing grows: roles are called, not fed.
"""

from collections.abc import Callable
from typing import final

import trio

from soma_core.chain import Applied


@final
class Hub:
    """The one place where the appliers say that a commit was applied."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Applied], None]] = []
        self._changed = trio.Event()

    def listen(self, listener: Callable[[Applied], None]) -> None:
        """`listener` is called with every applied commit. It returns at once and does not raise."""
        self._listeners.append(listener)

    def publish(self, applied: Applied) -> None:
        """A commit was applied and written."""
        for listener in self._listeners:
            listener(applied)
        self.wake()

    def wake(self) -> None:
        """Something that waiters look at has changed."""
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    @property
    def changed(self) -> trio.Event:
        """Set at the next change. Take it before looking, so that no change falls between."""
        return self._changed
