"""A committee of engines on virtual time: what the node's driver does, without a disk, a clock or a net."""

import heapq
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from random import Random
from typing import Final

from attrs import define, field

from soma_core.api import (
    Action,
    Applied,
    CancelTimer,
    Commit,
    Deliver,
    Durable,
    Engine,
    Event,
    Load,
    Loaded,
    Member,
    Payload,
    PayloadReady,
    PeerDown,
    PeerUp,
    Persist,
    Pull,
    Received,
    Send,
    SetTimer,
    Setup,
    Sign,
    Signed,
    Start,
    Timer,
    Verified,
    Verify,
)
from soma_core.crypto import signing_digest

CHAIN: Final = bytes(range(32))
SYSTEM: Final = b"system "
"""How the system bytes begin that every member here gives with its payload."""
BEGIN: Final = 1_700_000_000_000
"""ms of UTC at which every run begins."""


def setup_of(size: int, me: int | None, first: int = 1) -> Setup:
    """A committee of `size` members of equal power, seen by the member `me`."""
    members = tuple(Member(bytes([1 + place]) * 32, 1) for place in range(size))
    return Setup(CHAIN, 0, members, me, first)


@define(eq=False)
class Seat:
    """One member: its engine, what it has on disk, what it has delivered, and what it was told and answered.

    `log` holds (event, time, actions) of every step. `barriers` counts `Persist`; `slots` are the bodies it signed.
    `applying`: whether its chain takes what is delivered. `forgot`: whether it has lost what it had on disk.
    """

    place: int
    engine: Engine
    disk: dict[bytes, bytes] = field(factory=dict)
    commits: list[Commit] = field(factory=list)
    applied: int = 0
    applying: bool = True
    forgot: bool = False
    waiting: list[bytes] = field(factory=list)
    log: list[tuple[Event, int, tuple[Action, ...]]] = field(factory=list)
    barriers: int = 0
    slots: dict[bytes, bytes] = field(factory=dict)
    held: list[Send | Deliver] = field(factory=list)
    timers: dict[str, int] = field(factory=dict)
    life: int = 0


class Committee:
    """Engines that speak to each other with a seeded delay of 1 to 10 ms. `open` makes the engine of a `Setup`.

    `twins` are places that lie: each has a second engine with its key, payload and disk of its own, both hear what the
    place is told, and one of them speaks to the members at even places, the other to those at odd ones.
    """

    def __init__(
        self,
        open_: Callable[[Setup], Engine],
        size: int,
        seed: int = 0,
        first: int = 1,
        twins: Collection[int] = (),
    ) -> None:
        self.now = BEGIN
        self.first = first
        self._open, self._size = open_, size
        self._random = Random(seed)
        self._heap: list[tuple[int, int, Seat, int, Event]] = []
        self._count = 0
        self._away: set[int] = set()
        self.seats = [self._seat(place) for place in range(size)]
        self.twins = {place: self._seat(place) for place in twins}
        for seat in (*self.seats, *self.twins.values()):
            self.start(seat)

    def start(self, seat: Seat) -> None:
        """Give the engine what is on disk, then its peers."""
        self._post(seat, Start({k: v for k, v in seat.disk.items() if k < b"\x80"}, seat.applied))
        for other in self.seats:
            if other.place != seat.place:
                self._post(seat, PeerUp(other.place))

    def forget(self, seat: Seat) -> None:
        """Lose what is on disk as well, but not what was signed: from now on the signer refuses, it does not object."""
        seat.disk.clear()
        seat.forgot = True
        self.crash(seat)

    def crash(self, seat: Seat) -> None:
        """Lose everything that is not on disk, and start again: what was delivered and not applied is lost as well."""
        seat.life += 1
        seat.engine = self._open(setup_of(self._size, seat.place, self.first))
        seat.barriers, seat.held, seat.timers = 0, [], {}
        self.start(seat)
        if seat.waiting:
            self._post(seat, PayloadReady())

    def cut_off(self, seat: Seat) -> None:
        """Let nothing reach `seat`, nor anybody from it. What is on its way still arrives."""
        self._away.add(seat.place)
        self._tell_of(seat, PeerDown)

    def reconnect(self, seat: Seat) -> None:
        """Undo `cut_off`. What was sent meanwhile is lost."""
        self._away.remove(seat.place)
        self._tell_of(seat, PeerUp)

    def submit(self, seat: Seat, *payload: bytes) -> None:
        """Let `seat` have something to order."""
        seat.waiting += payload
        self._post(seat, PayloadReady())

    def run(self, milliseconds: int) -> None:
        """Let that much time pass."""
        end = self.now + milliseconds
        while self._heap and self._heap[0][0] <= end:
            at, _, seat, life, event = heapq.heappop(self._heap)
            self.now = max(self.now, at)
            if life != seat.life:
                continue  # what was on its way to an engine that is gone
            if isinstance(event, Timer):
                if seat.timers.get(event.name) != at:
                    continue  # replaced or cancelled
                del seat.timers[event.name]
            self.tell(seat, event)
        self.now = end

    def tell(self, seat: Seat, event: Event) -> None:
        """One step of one engine, and what follows at once."""
        actions = tuple(seat.engine.step(event, self.now))
        seat.log.append((event, self.now, actions))
        for action in actions:
            self._act(seat, action)

    def _act(self, seat: Seat, action: Action) -> None:  # noqa: C901  # a line an action
        match action:
            case Persist(barrier, batch):
                assert barrier == seat.barriers + 1, f"barrier {barrier} follows {seat.barriers}"
                seat.barriers = barrier
                for key, value in batch.items():
                    assert isinstance(key, bytes), f"a key that is not bytes: {key!r}"
                    seat.disk.pop(key, None)
                    if value is not None:
                        assert isinstance(value, bytes), f"a value that is not bytes: {value!r:.60}"
                        seat.disk[key] = value
                self._post(seat, Durable(barrier), 1)
                ready = [one for one in seat.held if one.after <= barrier]
                seat.held = [one for one in seat.held if one.after > barrier]
                for one in ready:
                    self._release(seat, one)
            case Send() | Deliver():
                if action.after > seat.barriers:
                    seat.held.append(action)
                else:
                    self._release(seat, action)
            case Pull(limit, round_):
                items, size = [], 0
                while seat.waiting and size + len(seat.waiting[0]) <= limit:
                    size += len(seat.waiting[0])
                    items.append(seat.waiting.pop(0))
                self._post(seat, Payload(tuple(items), SYSTEM + b"%d" % round_), self._random.randint(0, 3))
            case Verify(identity, signatures, payload):
                ok = all(sign(key, digest) == signature for key, digest, signature in signatures)
                self._post(seat, Verified(identity, ok and all(payload)), self._random.randint(0, 3))
            case Sign(slot, body):
                if seat.forgot and (seat.slots.get(slot, body) != body or slot < max(seat.slots, default=slot)):
                    self._post(seat, Signed(slot, b""))
                    return
                assert seat.slots.setdefault(slot, body) == body, f"two bodies of the slot {slot.hex()}"
                signature = sign(bytes([1 + seat.place]) * 32, signing_digest("soma/block", CHAIN, 0, body))
                self._post(seat, Signed(slot, signature), self._random.randint(0, 3))
            case Load(identity, start, stop, limit):
                found = [(key, seat.disk[key]) for key in sorted(seat.disk) if start <= key < stop]
                self._post(seat, Loaded(identity, tuple(found[:limit])))
            case SetTimer(name, at):
                seat.timers[name] = max(at, self.now)
                self._post(seat, Timer(name), seat.timers[name] - self.now)
            case CancelTimer(name):
                seat.timers.pop(name, None)
            case _:  # an accusation or a metric changes nothing here
                pass

    def _release(self, seat: Seat, action: Send | Deliver) -> None:
        if isinstance(action, Deliver):
            seat.commits.append(action.commit)
            if seat.applying and action.commit.index == seat.applied + 1:
                seat.applied = action.commit.index
                self._post(seat, Applied(seat.applied), self._random.randint(0, 3))
            return
        for place in action.peers:
            if {seat.place, place} & self._away or not self._reaches(seat, place):
                continue
            for one in (self.seats[place], self.twins.get(place)):
                if one is not None:
                    self._post(one, Received(seat.place, action.message), self._random.randint(1, 10))

    def _reaches(self, seat: Seat, place: int) -> bool:
        twin = self.twins.get(seat.place)
        return twin is None or (seat is twin) == (place % 2 == 1)

    def _tell_of(self, seat: Seat, change: type[PeerUp] | type[PeerDown]) -> None:
        for other in self.seats:
            if other is not seat:
                self._post(other, change(seat.place))
                self._post(seat, change(other.place))

    def _seat(self, place: int) -> Seat:
        return Seat(place, self._open(setup_of(self._size, place, self.first)), applied=self.first - 1)

    def _post(self, seat: Seat, event: Event, delay: int = 0) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay, self._count, seat, seat.life, event))


def sign(key: bytes, digest: bytes) -> bytes:
    """A signature of a signing digest, as far as `Verify` here is concerned."""
    return blake2b(digest, key=key, digest_size=64).digest()


def order_of(commits: Sequence[Commit]) -> list[bytes]:
    """The payload in the order of `commits`, each commit once; system bytes, which ride along, are left out."""
    return [payload for _author, payload in pairs_of(commits)]


def pairs_of(commits: Sequence[Commit]) -> list[tuple[int, bytes]]:
    """As `order_of`, with the authors: (author, payload)."""
    once = {commit.index: commit for commit in commits}
    pairs = [pair for index in sorted(once) for pair in once[index].items]
    return [(author, payload) for author, payload in pairs if not payload.startswith(SYSTEM)]
