"""A small engine for the simulator's own tests: the member at place 0 dictates the order; and one engine a fault.

It signs what it says, keeps it before it says it, starts again from what it kept, and is asked for what others missed.
It bears crashes of anybody and no lie of the dictator.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from attrs import define, evolve, field

from soma_core.api import (
    Action,
    Applied,
    Commit,
    Deliver,
    Durable,
    EndEpoch,
    Event,
    Loaded,
    Payload,
    PayloadReady,
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
)
from soma_core.api.encoding import decode, digest, encode
from soma_core.errors import DecodeError
from soma_core.genesis import Rule
from soma_core.testing.simulation import Engines

TICK = 100
AHEAD = 16
RULE = Rule(plugin="consensus-toy", rule_id="test/toy", rule_version=1, params={})


class Seen(NamedTuple):
    kind: str
    author: int
    round: int


def view(message: bytes) -> Seen | None:
    """A block is what the dictator says for the first time."""
    try:
        match decode(message):
            case ["new", int(round_), *_]:
                return Seen("block", 0, round_)
    except DecodeError:
        pass
    return None


@define
class Dictator:
    """`kept`: index → [round, time, items, system], as on disk. `draft`: to be signed. `given`: by others."""

    setup: Setup
    kept: dict[int, bytes] = field(factory=dict)
    early: dict[int, bytes] = field(factory=dict)
    given: list[bytes] = field(factory=list)
    taken: set[bytes] = field(factory=set)
    draft: bytes = b""
    applied: int = 0
    barrier: int = 0
    waits: int = 0
    pulling: bool = False
    ended: bool = False

    def step(self, event: Event, now: int, /) -> list[Action]:
        match event:
            case Start(records, applied):
                return self.start(dict(records), applied, now)
            case Timer():
                return [*self.begin(), *self.ask(), SetTimer("tick", now + TICK)]
            case PayloadReady():
                return self.begin()
            case Payload(items, _system) if self.setup.me != 0:
                return [Send((0,), encode(["give", list(items)]))] if items else []
            case Payload(items, system):
                items, self.given = (*items, *self.given), []
                last = decode(self.kept[self.last])[1] if self.last >= self.setup.first else 0  # type: ignore[index]
                body = [self.last + 2 - self.setup.first, max(now, last), list(items), system]
                self.draft = encode(body)
                self.waits = self.up()
                return [Persist(self.waits, {b"draft": self.draft})]
            case Durable(barrier) if 0 < self.waits <= barrier:
                self.waits = 0
                return [self.sign()]
            case Signed(_slot, signature):
                return self.say(signature)
            case Received(peer, message):
                return self.hear(peer, message)
            case Applied(index):
                self.applied = max(self.applied, index)
            case EndEpoch():
                self.ended = True
            case Loaded():
                raise AssertionError("it never asks for that")
        return []

    @property
    def last(self) -> int:
        return max(self.kept, default=self.setup.first - 1)

    def up(self) -> int:
        self.barrier += 1
        return self.barrier

    def start(self, records: dict[bytes, bytes], applied: int, now: int) -> list[Action]:
        self.applied = applied
        self.draft = records.pop(b"draft", b"")
        self.kept = {int.from_bytes(key, "big"): data for key, data in sorted(records.items())}
        again = [self.deliver(index, 0) for index in sorted(self.kept) if index > applied]
        resume = [self.sign()] if self.draft and self.setup.me == 0 else []
        self.pulling = bool(resume)
        return [*again, *resume, SetTimer("tick", now + TICK)]

    def begin(self) -> list[Action]:
        if self.setup.me != 0:
            return [Pull(1 << 14, 1)]
        if self.pulling or self.ended or self.last - self.applied >= AHEAD:
            return []
        self.pulling = True
        return [Pull(1 << 16, self.last + 2 - self.setup.first)]

    def ask(self) -> list[Action]:
        return [] if self.setup.me == 0 else [Send((0,), encode(["ask", self.last]))]

    def sign(self) -> Sign:
        round_ = decode(self.draft)[0]  # type: ignore[index]
        return Sign(round_.to_bytes(8, "big"), self.draft)  # type: ignore[union-attr]

    def say(self, signature: bytes) -> list[Action]:
        self.pulling = False
        round_, *_ = decode(self.draft)  # type: ignore[misc]
        data, index = self.draft, self.setup.first - 1 + round_  # type: ignore[operator]
        self.draft = b""
        self.kept[index] = data
        barrier = self.up()
        others = tuple(range(1, len(self.setup.committee)))
        key = index.to_bytes(8, "big")
        return [
            Persist(barrier, {b"draft": None, key: data, b"\xff" + key: signature}),
            Send(others, encode(["new", round_, index, data]), barrier),
            self.deliver(index, barrier),
        ]

    def hear(self, peer: int, message: bytes) -> list[Action]:
        try:
            match decode(message):
                case ["ask", int(last)] if self.setup.me == 0:
                    wanted = range(last + 1, min(self.last, last + 20) + 1)
                    return [Send((peer,), encode(["old", 0, index, self.kept[index]])) for index in wanted]
                case ["give", [*items]] if self.setup.me == 0:
                    new = [item for item in items if isinstance(item, bytes) and item not in self.taken]
                    self.taken.update(new)
                    self.given += new
                    return []
                case ["new" | "old", int(), int(index), bytes(data)] if peer == 0 and self.setup.me != 0:
                    self.early[index] = data
        except DecodeError:
            pass
        actions: list[Action] = []
        while self.last + 1 in self.early and not self.ended:
            index = self.last + 1
            self.kept[index] = self.early.pop(index)
            barrier = self.up()
            actions += [Persist(barrier, {index.to_bytes(8, "big"): self.kept[index]}), self.deliver(index, barrier)]
        return actions

    def deliver(self, index: int, after: int) -> Deliver:
        content: Any = decode(self.kept[index])
        round_, time, items, system = content
        name = digest("soma/commit", index.to_bytes(8, "big") + self.kept[index])
        return Deliver(Commit(index, name, time, round_, 0, tuple((0, item) for item in items), system), after)

    def snapshot(self) -> bytes:
        return b""

    def restore(self, snapshot: bytes, /) -> None:
        raise NotImplementedError


class Unkept(Dictator):
    """Signs a draft that is not on disk."""

    def step(self, event: Event, now: int, /) -> list[Action]:
        actions = super().step(event, now)
        if isinstance(event, Payload) and self.setup.me == 0:
            self.waits = 0
            return [evolve(actions[0], batch={}), self.sign()]  # type: ignore[type-var, list-item]
        return actions


class Hasty(Unkept):
    """Says its block before it is on disk."""

    def say(self, signature: bytes) -> list[Action]:
        return [evolve(action, after=0) if isinstance(action, Send) else action for action in super().say(signature)]


class Forgetful(Unkept):
    """Does not keep what it says."""

    def say(self, signature: bytes) -> list[Action]:
        return [
            evolve(action, batch={}) if isinstance(action, Persist) else action for action in super().say(signature)
        ]


class Fickle(Dictator):
    """Asks for two signatures of one slot."""

    def say(self, signature: bytes) -> list[Action]:
        return [*super().say(signature), Sign((1).to_bytes(8, "big"), b"another")]


class Forking(Dictator):
    """The second member has an order of its own."""

    def hear(self, peer: int, message: bytes) -> list[Action]:
        actions = super().hear(peer, message)
        if self.setup.me != 1:
            return actions
        return [
            evolve(action, commit=evolve(action.commit, digest=bytes(32))) if isinstance(action, Deliver) else action
            for action in actions
        ]


class Skipping(Dictator):
    """Leaves a commit out."""

    def deliver(self, index: int, after: int) -> Deliver:
        return super().deliver(index, after) if index != self.setup.first + 5 else super().deliver(index - 1, after)


class Doubling(Dictator):
    """Orders everything twice."""

    def step(self, event: Event, now: int, /) -> list[Action]:
        return super().step(evolve(event, items=event.items * 2) if isinstance(event, Payload) else event, now)


class Dropping(Dictator):
    """Loses what it is given now and then."""

    def step(self, event: Event, now: int, /) -> list[Action]:
        lost = isinstance(event, Payload) and self.last > self.setup.first + 10
        return super().step(evolve(event, items=()) if lost else event, now)


class Stuck(Dictator):
    """Stops after a while."""

    def begin(self) -> list[Action]:
        return super().begin() if self.last < self.setup.first + 20 else []


class Uncounted(Dictator):
    """Leaves a barrier out."""

    def up(self) -> int:
        self.barrier += 1 + (self.barrier == 7)
        return self.barrier


class Backwards(Dictator):
    """Its rounds do not grow."""

    def deliver(self, index: int, after: int) -> Deliver:
        deliver = super().deliver(index, after)
        return evolve(deliver, commit=evolve(deliver.commit, round=1))


class Eager(Dictator):
    """Delivers behind a barrier that it has not asked for."""

    def deliver(self, index: int, after: int) -> Deliver:
        return super().deliver(index, after + 5)


class Hoarding(Dictator):
    """Keeps everything it hears."""

    def snapshot(self) -> bytes:
        return bytes(17 << 20)


class Raising(Dictator):
    """Falls over a message."""

    def hear(self, peer: int, message: bytes) -> list[Action]:
        if self.last > self.setup.first + 5:
            raise ZeroDivisionError("of no use")
        return super().hear(peer, message)


def engines(open_: Callable[[Setup], Any] = Dictator) -> Engines:
    return Engines(name="consensus-toy", rule=RULE, open=open_, view=view, leader=lambda _setup, _round: 0)
