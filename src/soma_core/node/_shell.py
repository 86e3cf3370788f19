"""One engine at work: its events in turn, and what its actions ask, done off the engine, which goes on meanwhile.

A turn gives it the timers that are due, how far the chain is, answers, and then a bounded number of peers' messages;
so nothing starves. While too much of what it asked waits for disk, signatures or the chain, it hears no messages.
"""

import logging
import math
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, final

import trio

from soma_core.api import (
    Accuse,
    Action,
    CancelTimer,
    Commit,
    Deliver,
    Durable,
    EndEpoch,
    Engine,
    Event,
    Load,
    Loaded,
    Note,
    Payload,
    PayloadReady,
    Persist,
    Pull,
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
from soma_core.errors import KeyStoreError

from ._checker import Checker
from ._inbox import Inbox
from ._recorder import Recorder

UNAPPLIED: Final = 64
"""Commits that wait to be applied; then an engine hears no messages and loads nothing."""
UNCHECKED: Final = 4 << 20
"""Bytes that wait to be checked; then an engine hears no messages."""
UNWRITTEN: Final = 8 << 20
"""Bytes that wait to be written; then an engine hears no messages."""
EPOCH_SIZE: Final = 8
"""Bytes before the keys and the messages of an epoch's engine: its number, big endian."""

_log = logging.getLogger("soma.driver")


class Around(Protocol):
    """What an engine's actions reach, beside checker and recorder."""

    def now(self) -> int:
        """Ms of UTC; never goes back."""
        ...

    def send(self, epoch: int, place: int, message: bytes) -> None:
        """To a member. Lossy."""
        ...

    def deliver(self, shell: "Shell", commit: Commit) -> None:
        """The next commit; `Shell.taken` says when it was applied or passed over."""
        ...

    def accuse(self, epoch: int, accusation: Accuse) -> None:
        """Two bodies of one slot."""
        ...

    def note(self, note: Note) -> None:
        """A metric."""
        ...

    async def payload(self, epoch: int, pull: Pull) -> tuple[Payload, bool]:
        """What a block of this node carries, and whether there is more."""
        ...

    async def sign(self, epoch: int, slot: int, body: bytes) -> bytes:
        """The signature. Raises `KeyStoreError`."""
        ...


@final
class Shell:
    """An engine of one epoch. `closed`: the chain has ended its epoch; it then only serves its peers.

    A closed engine still makes blocks, without payload: peers that lack what ended the epoch find it through these.
    What it delivers is not applied.
    """

    def __init__(self, engine: Engine, setup: Setup, around: Around, checker: Checker, recorder: Recorder) -> None:
        self.epoch = setup.epoch
        self.first = setup.first
        self.prefix = prefix_of(setup.epoch)
        self.inbox = Inbox()
        self.closed = False
        self.last = 0
        """The epoch's last commit, once it is closed."""
        self.ended = trio.Event()
        """Set when the engine has been told that its epoch ended."""
        self._engine = engine
        self._around = around
        self._checker = checker
        self._recorder = recorder
        self._timers: dict[str, int] = {}
        self._asked = 0
        self._durable = 0
        self._sends: list[Send] = []
        self._deliveries: deque[Deliver] = deque()
        self._unapplied = 0
        self._unchecked = 0
        self._unwritten = 0
        self._ready = False
        self._moved = trio.Event()
        self._pulls_in, self._pulls = trio.open_memory_channel[Pull](math.inf)
        self._signs_in, self._signs = trio.open_memory_channel[Sign](math.inf)
        self._loads_in, self._loads = trio.open_memory_channel[tuple[Load, int]](math.inf)

    # What the driver and the helpers say. -----------------------------------------------------------------------------

    def payload_ready(self) -> None:
        """There is something to order. Said to the engine once until it has pulled."""
        if not self._ready and not self.closed:
            self._ready = True
            self.inbox.answer(PayloadReady())

    def close(self, last: int) -> None:
        """The chain has ended the epoch with commit `last`."""
        self.closed, self.last = True, last
        self.inbox.progress(EndEpoch(last))

    def taken(self) -> None:
        """A commit it delivered was applied or passed over."""
        self._unapplied -= 1
        self._move()

    def checked(self, identity: int, size: int, *, ok: bool) -> None:
        """`Checker` has an answer."""
        self._unchecked -= size
        self.inbox.answer(Verified(identity, ok))

    def recorded(self, barrier: int, size: int) -> None:
        """`Recorder` has written: what waited for it leaves, before the engine hears of it."""
        self._unwritten -= size
        self._durable = barrier
        waiting, self._sends = self._sends, []
        for send in waiting:
            self._send(send)
        self._deliver()
        self.inbox.answer(Durable(barrier))
        self._move()

    # Turns. -----------------------------------------------------------------------------------------------------------

    async def run(self, records: Mapping[bytes, bytes], applied: int) -> None:
        """Start the engine on what it had persisted, and give it events until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pull)
            nursery.start_soon(self._sign)
            nursery.start_soon(self._load)
            self._step(Start(records, applied))
            while True:
                await self._until_due()
                self._ring()
                for event in self.inbox.take(messages=self._hears):
                    self._step(event)
                await trio.lowlevel.checkpoint()  # others have their turn, too

    @property
    def _hears(self) -> bool:
        return self._unapplied < UNAPPLIED and self._unchecked < UNCHECKED and self._unwritten < UNWRITTEN

    async def _until_due(self) -> None:
        while not self.inbox.has(messages=self._hears):
            wait = min(self._timers.values()) - self._around.now() if self._timers else math.inf
            if wait <= 0:
                return
            with trio.move_on_after(wait / 1000):
                await self.inbox.changed()

    def _ring(self) -> None:
        """The timers that are due now, each once; one that is set again meanwhile has its next turn."""
        now = self._around.now()
        for at, name in sorted((at, name) for name, at in self._timers.items() if at <= now):
            if self._timers.get(name) == at:
                del self._timers[name]
                self._step(Timer(name))

    def _step(self, event: Event) -> None:
        for action in self._engine.step(event, self._around.now()):
            self._act(action)
        if isinstance(event, EndEpoch):
            self.ended.set()

    def _act(self, action: Action) -> None:  # noqa: C901  # a line an action
        match action:
            case Send():
                self._send(action)
            case Deliver():
                self._deliveries.append(action)
                self._deliver()
            case Persist(barrier, batch):
                self._asked = barrier
                self._unwritten += self._recorder.put(
                    self, barrier, {self.prefix + key: value for key, value in batch.items()}
                )
            case Pull():
                self._pulls_in.send_nowait(action)
            case Sign():
                self._signs_in.send_nowait(action)
            case Load():
                self._loads_in.send_nowait((action, self._asked))
            case Verify(identity, signatures, payload):
                self._unchecked += self._checker.ask(self, identity, signatures, payload)
            case SetTimer(name, at):
                self._timers[name] = at
            case CancelTimer(name):
                self._timers.pop(name, None)
            case Accuse():
                self._around.accuse(self.epoch, action)
            case Note():
                self._around.note(action)

    # What is done off the engine. -------------------------------------------------------------------------------------

    def _send(self, send: Send) -> None:
        if send.after > self._durable:
            self._sends.append(send)
            return
        for place in send.peers:
            self._around.send(self.epoch, place, send.message)

    def _deliver(self) -> None:
        """Hand on the commits whose barrier is durable, in their order."""
        while self._deliveries and self._deliveries[0].after <= self._durable:
            commit = self._deliveries.popleft().commit
            if not self.closed:
                self._unapplied += 1
                self._around.deliver(self, commit)

    async def _pull(self) -> None:
        async for pull in self._pulls:
            self._ready = False
            payload, more = await self._around.payload(self.epoch, pull)
            self.inbox.answer(payload)
            if more:
                self.payload_ready()

    async def _sign(self) -> None:
        async for sign in self._signs:
            slot = int.from_bytes(sign.slot, "big")
            try:
                signature = await self._around.sign(self.epoch, slot, sign.body)
            except KeyStoreError as error:
                _log.warning("slot %d of epoch %d is not signed: %s", slot, self.epoch, error)
                signature = b""
            self.inbox.answer(Signed(sign.slot, signature))

    async def _load(self) -> None:
        """Read what was persisted before it was asked for."""
        async for load, barrier in self._loads:
            while self._durable < barrier or self._unapplied >= UNAPPLIED:
                self._moved = trio.Event()
                await self._moved.wait()
            found = await self._recorder.load(self.prefix + load.start, self.prefix + load.stop, load.limit)
            records = tuple((key[len(self.prefix) :], value) for key, value in found)
            self.inbox.answer(Loaded(load.id, records))

    def _move(self) -> None:
        self._moved.set()
        self.inbox.wake()


def prefix_of(epoch: int) -> bytes:
    """Of an epoch's keys in the consensus ledger, and of its messages."""
    return epoch.to_bytes(EPOCH_SIZE, "big")
