"""A member's own clock: it drifts and is set, and the engine never sees it go back."""

from typing import Final, final

from .heap import MS

BEGIN: Final = 1_700_000_000_000
"""ms of UTC at which every simulation begins."""


@final
class Clock:
    """`offset`: microseconds ahead of the truth. `drift`: microseconds it gains in a second."""

    def __init__(self, offset: int = 0, drift: int = 0) -> None:
        self.offset = offset
        self.drift = drift
        self._last = BEGIN

    def read(self, now: int) -> int:
        """Ms of UTC as the driver gives it to an engine: what the clock showed last, if it was set back since."""
        shown = BEGIN + self._shows(now) // MS
        if shown > self._last:
            self._last = shown
        return self._last

    def wait(self, now: int, at: int) -> int:
        """Microseconds until the clock may show `at`, in ms; 0 if it does."""
        return max(0, (at - BEGIN) * MS - self._shows(now))

    def _shows(self, now: int) -> int:
        return now + self.offset + now * self.drift // 1_000_000
