"""One member's engine as its driver sees it: the disk is instant or held back, and the other members are puppets."""

from collections.abc import Sequence
from typing import Any, TypeVar

from soma_consensus_dag import Config, Params, leader, open_engine
from soma_consensus_dag import _messages as messages
from soma_consensus_dag._block import Block, Format
from soma_consensus_dag._committee import Committee
from soma_core.api import (
    Action,
    CancelTimer,
    Deliver,
    Durable,
    Event,
    Load,
    Loaded,
    Payload,
    PeerUp,
    Persist,
    Pull,
    Received,
    Send,
    SetTimer,
    Sign,
    Signed,
    Start,
    Timer,
    Verified,
    Verify,
)
from soma_core.testing.committee import setup_of

T = TypeVar("T")
SIGNATURE = bytes(64)


class Driven:
    """The engine of `me`, in a committee of four whose others have answered its question at the start.

    `done`: all actions, with the time of each. `durable`: whether what it writes is on disk at once.
    `answering`: whether it is given payload and signatures at once.
    """

    def __init__(self, me: int = 0, params: Params | None = None) -> None:
        params = params or Params()
        self.me = me
        self.setup = setup_of(4, me)
        self.format = Format(self.setup.chain, self.setup.epoch, Committee([1] * 4))
        self.engine = open_engine(Config(), params, self.setup)
        self.now = 1_000
        self.done: list[tuple[int, Action]] = []
        self.timers: dict[str, int] = {}
        self.durable = self.answering = True
        self.items: tuple[bytes, ...] = ()
        self.blocks: dict[tuple[int, int], Block] = {}
        self.others = [place for place in range(4) if place != me]
        self.leader = [leader(params, self.setup, round_) for round_ in range(100)]
        self.step(Start({}, 0))

    def join(self) -> None:
        """The others come, and have no block of ours."""
        for peer in self.others:
            self.step(PeerUp(peer))
        (number, *_) = [one.number for one in self.sent() if isinstance(one, messages.AskLast)]
        for peer in self.others:
            self.step(Received(peer, messages.pack(messages.Last(number, b""))))

    def step(self, event: Event) -> None:
        waiting: list[Event] = [event]
        while waiting:
            for action in self.engine.step(waiting.pop(0), self.now):
                self.done.append((self.now, action))
                waiting += self.answer(action)

    def answer(self, action: Action) -> list[Event]:
        match action:
            case SetTimer(name, at):
                self.timers[name] = at
            case CancelTimer(name):
                self.timers.pop(name, None)
            case Load(number):
                return [Loaded(number, ())]
            case Verify(number):
                return [Verified(number, ok=True)]
            case Persist(barrier) if self.durable:
                return [Durable(barrier)]
            case Pull() if self.answering:
                return [Payload(self.items, b"")]
            case Sign(slot) if self.answering:
                return [Signed(slot, SIGNATURE)]
            case Send() if not (action.after and not self.durable):
                for block in self.blocks_in(action):
                    self.blocks[block.round, block.author] = block
        return []

    def wait(self, ms: int) -> None:
        """Time goes by, and timers go off when they are due."""
        end = self.now + ms
        while self.timers and min(self.timers.values()) <= end:
            name = min(self.timers, key=lambda name: (self.timers[name], name))
            self.now = max(self.now, self.timers.pop(name))
            self.step(Timer(name))
        self.now = end

    # What the others do. ----------------------------------------------------------------------------------------------

    def make(self, author: int, round_: int, time: int = 0, items: Sequence[bytes] = ()) -> Block:
        """A block of another, of all that there is of the round before, its own first."""
        genesis = self.format.genesis
        before = {
            other: genesis[other] if round_ == 1 else self.blocks[round_ - 1, other].ref
            for other in range(4)
            if round_ == 1 or (round_ - 1, other) in self.blocks
        }
        refs = [before.pop(author), *before.values()]
        return self.format.make(round_, author, time, refs, (), b"", items).signed(SIGNATURE)

    def give(self, block: Block, peer: int | None = None) -> None:
        """A block comes from its author, or from another."""
        self.blocks.setdefault((block.round, block.author), block)
        sender = block.author if peer is None else peer
        self.step(Received(sender, messages.pack(messages.Blocks((block.wire,)))))

    def give_round(self, round_: int) -> None:
        """The blocks of all others."""
        for author in self.others:
            self.give(self.make(author, round_))

    # What was done. ---------------------------------------------------------------------------------------------------

    def of(self, kind: type[T]) -> list[T]:
        return [action for _, action in self.done if isinstance(action, kind)]

    def sent(self) -> list[Any]:
        return [messages.unpack(one.message) for one in self.of(Send)]

    def blocks_in(self, send: Send) -> list[Block]:
        message = messages.unpack(send.message)
        return [self.format.parse(wire) for wire in message.wires] if isinstance(message, messages.Blocks) else []

    def own(self) -> list[Block]:
        """Our blocks, as they were sent to all."""
        return [block for send in self.of(Send) if send.peers == tuple(self.others) for block in self.blocks_in(send)]

    def delivered(self) -> list[int]:
        return [one.commit.index for one in self.of(Deliver)]
