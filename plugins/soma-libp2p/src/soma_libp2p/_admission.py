"""Who may come in from outside: a bound on strangers, a bound on peers."""

from collections import Counter

from ._connection import Link


class Admission:
    """Above `most_half_open` unproved connections the oldest of the host with most of them goes.

    A flood cannot shut out an honest peer, who proves itself in a moment, and one host's flood costs that host.
    """

    def __init__(self, most_half_open: int, most_proved: int) -> None:
        self._most_half_open, self._most_proved = most_half_open, most_proved
        self._half_open: dict[Link, str] = {}  # in order of arrival
        self._proved: set[Link] = set()

    def arrive(self, link: Link, host: str) -> None:
        """A stranger from `host`; perhaps another one goes, or this one."""
        if len(self._proved) >= self._most_proved:
            link.drop()
            return
        self._half_open[link] = host
        link.at_end.append(lambda: self._leave(link))
        if len(self._half_open) > self._most_half_open:
            busiest = Counter(self._half_open.values()).most_common(1)[0][0]
            next(link for link, host in self._half_open.items() if host == busiest).drop()

    def prove(self, link: Link) -> None:
        """A stranger has become a peer."""
        self._half_open.pop(link, None)
        self._proved.add(link)

    def counts(self) -> tuple[int, int]:
        """Half open, proved."""
        return len(self._half_open), len(self._proved)

    def _leave(self, link: Link) -> None:
        self._half_open.pop(link, None)
        self._proved.discard(link)
