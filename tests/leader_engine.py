"""An engine for committees of several, to try what is around engines: what the member at place 0 says is the order.

It bears crashes of the others, and no lie of the leader. A commit says what its leader said: time, system bytes, items.
"""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from soma_core.api import (
    Action,
    Commit,
    Deliver,
    EndEpoch,
    Event,
    Payload,
    PayloadReady,
    PeerUp,
    Persist,
    Pull,
    Received,
    Send,
    SetTimer,
    Setup,
    Start,
    Timer,
)
from soma_core.api.encoding import decode, digest, encode


@define
class Follow:
    """Orders what the leader has; `asks` for what it missed as soon as it sees the leader (again).

    `idle` (0: never): ms after which the leader orders whatever there is, and the others give it what they have.
    """

    setup: Setup
    asks: bool
    idle: int = 0
    seen: list[Event] = field(factory=list)
    commits: list[bytes] = field(factory=list)
    early: dict[int, bytes] = field(factory=dict)
    given: list[tuple[int, bytes]] = field(factory=list)
    pulling: bool = False
    over: bool = False

    def step(self, event: Event, now: int) -> Sequence[Action]:
        self.seen.append(event)
        match event:
            case Start(records, applied):
                again = [records[name] for name in sorted(records)]
                made = [action for body in again for action in self.append(body, known=applied)]
                return [*made, *self.wait(now)]
            case Timer():
                return [*self.pull(), *self.wait(now)]
            case PayloadReady() if self.setup.me == 0:
                return self.pull()
            case Payload(items, system):
                return self.carry(items, system, now)
            case PeerUp(place) if self.asks and place == 0:
                return [Send((0,), encode(["ask", len(self.commits)]))]
            case Received(place, message):
                return self.hear(place, decode(message))
            case EndEpoch():
                self.over = True
        return []

    def wait(self, now: int) -> list[Action]:
        return [SetTimer("idle", now + self.idle)] if self.idle else []

    def pull(self) -> list[Action]:
        if self.pulling or self.over:
            return []
        self.pulling = True
        return [Pull(1 << 16, len(self.commits) + 1)]

    def carry(self, items: tuple[bytes, ...], system: bytes, now: int) -> list[Action]:
        self.pulling = False
        if self.setup.me != 0:
            return [Send((0,), encode(["give", [*items, system]]))]
        if not items and not self.idle:
            return []
        pairs = [*((0, item) for item in items), *self.given]
        self.given = []
        others = tuple(range(1, len(self.setup.committee)))
        made = self.append(encode([now, system, [list(pair) for pair in pairs]]))
        return [*made, Send(others, self.told(len(self.commits)), self.barrier)]

    def hear(self, place: int, said: Any) -> list[Action]:
        match said:
            case ["ask", have]:
                return [Send((place,), self.told(number)) for number in range(have + 1, len(self.commits) + 1)]
            case ["give", items]:
                self.given += [(place, item) for item in items]
            case ["told", number, body]:
                self.early[number] = body
        return [action for body in iter(self.next, None) for action in self.append(body)]

    def next(self) -> bytes | None:
        return self.early.pop(len(self.commits) + 1, None)

    def told(self, number: int) -> bytes:
        return encode(["told", number, self.commits[number - 1]])

    @property
    def barrier(self) -> int:
        return len(self.commits)

    def append(self, body: bytes, known: int = 0) -> list[Action]:
        self.commits.append(body)
        number = len(self.commits)
        index = self.setup.first + number - 1
        time, system, items = decode(body)  # type: ignore[misc]  # what `carry` encoded
        pairs: Any = tuple((author, item) for author, item in items)  # type: ignore[misc,union-attr]
        commit = Commit(index, digest("soma/commit", self.told(number)), time, number, 0, pairs, system)  # type: ignore[arg-type]
        kept = Persist(number, {number.to_bytes(8, "big"): body})
        return [kept] if index <= known else [kept, Deliver(commit, number)]

    def snapshot(self) -> bytes:
        return encode(list(self.commits))

    def restore(self, snapshot: bytes, /) -> None:
        raise NotImplementedError
