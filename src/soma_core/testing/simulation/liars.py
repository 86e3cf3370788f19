"""What Byzantine members do with what their engines say: the engine itself is the real one, and hears everything."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, Final, final

from soma_core.api import Send
from soma_core.api.encoding import decode, encode
from soma_core.errors import SomaError

from .engines import View
from .heap import MS

if TYPE_CHECKING:
    from .links import Links
    from .member import Member

HEARD: Final = 256
"""Messages that are kept, to be said again in another place."""


@final
class Lies:
    """`quorum`: powers needed; `view`, `leader`: of the engine, as schedules have them."""

    def __init__(
        self,
        links: "Links",
        random: Random,
        powers: tuple[int, ...],
        view: Callable[[bytes], View | None],
        leader: Callable[[int], int],
    ) -> None:
        self._links, self._random, self._powers = links, random, powers
        self._view, self._leader = view, leader
        self._audiences: dict[int, list[int]] = {}
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=HEARD)

    def heard(self, epoch: int, message: bytes) -> None:
        """Anything anybody said."""
        self._heard.append((epoch, message))

    def filter(self, kind: str, member: "Member") -> "Callable[[Member, int, Send], None] | None":
        """What becomes of what `member` says."""
        return {
            "twins": self._twin(member.place, member.voice),
            "withhold": self._withhold(member.place),
            "silent-leader": self._silent,
            "mute": lambda _member, _epoch, _send: None,
            "liar": self._lie,
        }.get(kind)

    def flood(self, member: "Member") -> None:
        """Garbage, phantoms, bad signatures and old messages to everybody, for ever."""
        if member.up:
            for _ in range(self._random.randint(1, 8)):
                other = self._random.randrange(len(self._powers))
                if other != member.place:
                    epoch, message = self._forged(member.present.epoch)
                    self._links.carry(member.place, other, epoch, message)
        member.around.heap.post(self._random.randint(5 * MS, 60 * MS), self.flood, member)

    def _own(self, member: "Member", message: bytes) -> View | None:
        view = self._view(message)
        return view if view is not None and view.kind == "block" and view.author == member.place else None

    def _twin(self, place: int, voice: int) -> "Callable[[Member, int, Send], None]":
        """One voice speaks to these, the other to the rest; some hear both."""
        if place not in self._audiences:
            self._audiences[place] = [self._random.randrange(4) for _ in self._powers]
        audience = self._audiences[place]

        def speak(member: "Member", epoch: int, send: Send) -> None:
            for place in send.peers:
                if audience[place] == 3 or audience[place] % 2 == voice:
                    self._links.carry(member.place, place, epoch, send.message)

        return speak

    def _withhold(self, place: int) -> "Callable[[Member, int, Send], None]":
        """Own blocks go to few others: with its own, a third of the power and one more."""
        enough = (sum(self._powers) - 1) // 3 + 1

        def speak(member: "Member", epoch: int, send: Send) -> None:
            if self._own(member, send.message) is None:
                chosen = set(send.peers)
            else:
                view = self._view(send.message)
                start = 0 if view is None else view.round // 8
                chosen, power = set(), self._powers[place]
                for step in range(len(self._powers)):
                    other = (start + step) % len(self._powers)
                    if power < enough and other != place:
                        chosen.add(other)
                        power += self._powers[other]
            for other in send.peers:
                if other in chosen:
                    self._links.carry(place, other, epoch, send.message)

        return speak

    def _silent(self, member: "Member", epoch: int, send: Send) -> None:
        """Its block of a round that it leads is not sent."""
        own = self._own(member, send.message)
        if own is None or self._leader(own.round) != member.place:
            for place in send.peers:
                self._links.carry(member.place, place, epoch, send.message)

    def _lie(self, member: "Member", epoch: int, send: Send) -> None:
        """Blocks are true; half of all else is changed, cut short, or something that was said before."""
        block = self._view(send.message) is not None
        for place in send.peers:
            if block or self._random.randrange(2):
                self._links.carry(member.place, place, epoch, send.message)
            elif self._random.randrange(3):
                self._links.carry(member.place, place, epoch, self._changed(send.message))
            else:
                self._links.carry(member.place, place, *self._forged(epoch))

    def _forged(self, epoch: int) -> tuple[int, bytes]:
        kind = self._random.randrange(4)
        if kind == 0 or not self._heard:
            return epoch, self._random.randbytes(self._random.randrange(200))
        old_epoch, message = self._heard[self._random.randrange(len(self._heard))]
        if kind == 1:
            return old_epoch, message
        return epoch, self._changed(message)

    def _changed(self, message: bytes) -> bytes:
        """`message` with a small fault: in its bytes, or in its meaning where it is in the one encoding."""
        random = self._random
        kind = random.randrange(4)
        if kind == 0 or not message:
            return message[: random.randrange(len(message) + 1)]
        if kind == 1:
            place = random.randrange(len(message))
            return message[:place] + bytes([message[place] ^ 1 << random.randrange(8)]) + message[place + 1 :]
        if kind == 2:
            other = self._heard[random.randrange(len(self._heard))][1] if self._heard else b""
            return message[: random.randrange(len(message))] + other[random.randrange(len(other) + 1) :]
        try:
            return encode(self._mutated(decode(message, max_size=1 << 20)))
        except SomaError:
            return message + b"\x00"

    def _mutated(self, value: Any) -> Any:
        random = self._random
        match value:
            case bool() | None:
                return value
            case int():
                return max(0, value + random.choice((-1, 1, 1 << 40)))
            case bytes() if value:
                place = random.randrange(len(value))
                return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
            case list() if value:
                place = random.randrange(len(value))
                if random.randrange(4) == 0:
                    return value[:place] + value[place + 1 :]
                return [*value[:place], self._mutated(value[place]), *value[place + 1 :]]
            case dict() if value:
                key = random.choice(sorted(value))
                return {**value, key: self._mutated(value[key])}
        return value
