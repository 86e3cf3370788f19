"""The only shell of every consensus engine: it gives the engine events and does what its actions ask.

Outside stand disks, clocks, keys and peers; inside stands a pure `step`. What an engine persists is on disk before
anything that depends on it leaves. Commits are applied by one task, in order, behind a bounded queue. One engine serves
one epoch; when the chain ends an epoch, the next engine begins after that commit, whatever the last one had in flight.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol, final

import trio
from attrs import define, field, frozen

from soma_core import chain
from soma_core.api import (
    Accuse,
    Action,
    Applied,
    CancelTimer,
    Commit,
    Deliver,
    Durable,
    EndEpoch,
    Engine,
    Event,
    Ledger,
    Load,
    Loaded,
    Member,
    Note,
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
    Verified,
    Verify,
)
from soma_core.crypto import verify
from soma_core.errors import CorruptionError, DecodeError

from .mempool import Mempool
from .signing import Signing
from .store import Store
from .threads import Thread

INBOX: Final = 1_024
"""Events that wait for the engine. Messages of peers beyond it are lost, as `Send` says they may be."""
UNAPPLIED: Final = 64
"""Commits that wait to be applied; then delivering waits, and with it the engine."""
PULL_MOST: Final = 512 << 10
"""Bytes of payload a block is given at most, so that a commit travels to followers in one message."""
LOADED_KEYS: Final = b"\x80"
"""Keys an engine persists from here on come back by `Load` only."""

_log = logging.getLogger("soma.driver")


class Peers(Protocol):
    """How the driver speaks to the committee: by place."""

    def send(self, place: int, message: bytes) -> None:
        """Lossy."""
        ...


@frozen(kw_only=True)
class Outside:
    """What stands around an engine.

    `open`: an engine for a `Setup`. `system`: the system bytes for (epoch, round). `applied`: told of every commit that
    is on disk, before the next is applied. `now`: ms of UTC.
    """

    store: Store
    store_thread: Thread
    records: Ledger
    records_thread: Thread
    mempool: Mempool
    peers: Peers
    signing: Signing
    me: int | None
    committee: tuple[Member, ...]
    open: Callable[[Setup], Engine]
    system: Callable[[int, int], Awaitable[bytes]]
    applied: Callable[[chain.Applied], Awaitable[None]]
    now: Callable[[], int] = field(default=lambda: time.time_ns() // 1_000_000)


@define(eq=False)
class _Epoch:
    """One engine at work. `prefix`: of its keys in the consensus ledger."""

    number: int
    first: int
    engine: Engine
    prefix: bytes
    timers: dict[str, int] = field(factory=dict)
    durable: int = 0
    held: list[tuple[int, Send | Deliver]] = field(factory=list)
    closed: bool = False


@final
class _Inbox:
    """Events for the engine, bounded. How far the chain is never gets lost: only the last word of it counts.

    So the applier never waits for the engine, which may be waiting for the applier.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._progress: Applied | EndEpoch | None = None
        self._arrived = trio.Event()

    def offer(self, event: Event) -> bool:
        """Queue `event`, or say that there is no room."""
        if len(self._events) >= INBOX:
            return False
        self._events.append(event)
        self._arrived.set()
        return True

    def progress(self, event: Applied | EndEpoch) -> None:
        """The chain has come this far."""
        self._progress = event
        self._arrived.set()

    def clear(self) -> None:
        """Forget what was meant for an engine that has ended."""
        self._events.clear()
        self._progress = None

    async def get(self) -> Event:
        """The next event; progress first."""
        while True:
            if self._progress is not None:
                event, self._progress = self._progress, None
                return event
            if self._events:
                return self._events.popleft()
            self._arrived = trio.Event()
            await self._arrived.wait()


@final
class Driver:
    """Runs engine after engine until cancelled."""

    def __init__(self, outside: Outside) -> None:
        self._o = outside
        self._clock = 0
        self._told_ready = False
        self._inbox = _Inbox()
        self._commits_in, self._commits = trio.open_memory_channel[tuple[_Epoch, Commit]](UNAPPLIED)
        self.notes: dict[str, int] = {}

    def payload_ready(self) -> None:
        """There is something to order. Said to the engine once until it has pulled."""
        if not self._told_ready:
            self._told_ready = self._inbox.offer(PayloadReady())

    def received(self, place: int, message: bytes) -> None:
        """A message of the committee member at `place`."""
        self._inbox.offer(Received(place, message))

    async def run(self) -> None:
        """Drive the engine of the present epoch, then the next, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._apply)
            while True:
                await self._run_epoch(await self._begin())

    async def _begin(self) -> _Epoch:
        epoch = await self._o.store_thread.run(self._o.store.read, lambda state: state.need(chain.EPOCH))
        prefix = epoch.number.to_bytes(8, "big")
        records = await self._o.records_thread.run(self._recover, prefix)
        setup = Setup(self._o.store.genesis.chain, epoch.number, self._o.committee, self._o.me, epoch.first_index)
        running = _Epoch(epoch.number, epoch.first_index, self._o.open(setup), prefix)
        self._o.mempool.give_back()
        self._told_ready = False
        await self._step(running, Start(records, self._o.store.tip.index))
        if self._o.mempool.has_ready(self._now()):
            self.payload_ready()
        return running

    def _recover(self, prefix: bytes) -> Mapping[bytes, bytes]:
        """The records of this epoch; what earlier epochs left is deleted."""
        old = {key: None for key, _ in self._o.records.scan(b"", prefix)}
        if old:
            self._o.records.write(old)
        found = self._o.records.scan(prefix, prefix + LOADED_KEYS)
        return {key[len(prefix) :]: value for key, value in found}

    async def _run_epoch(self, epoch: _Epoch) -> None:
        while True:
            event = await self._next_event(epoch)
            await self._step(epoch, event)
            if isinstance(event, EndEpoch):
                self._inbox.clear()
                return

    async def _next_event(self, epoch: _Epoch) -> Event:
        """The next timer that is due or event that came."""
        while True:
            now = self._now()
            if epoch.timers:
                name = min(epoch.timers, key=lambda n: (epoch.timers[n], n))
                wait = epoch.timers[name] - now
                if wait <= 0:
                    del epoch.timers[name]
                    return Timer(name)
                with trio.move_on_after(wait / 1000):
                    return await self._inbox.get()
            else:
                return await self._inbox.get()

    async def _step(self, epoch: _Epoch, event: Event) -> None:
        """One event and everything that follows from it at once."""
        todo = deque([event])
        while todo:
            for action in epoch.engine.step(todo.popleft(), self._now()):
                answer = await self._act(epoch, action)
                if answer is not None:
                    todo.append(answer)

    async def _act(self, epoch: _Epoch, action: Action) -> Event | None:  # noqa: C901, PLR0912  # a line an action
        match action:
            case Send() | Deliver():
                if action.after > epoch.durable:
                    epoch.held.append((action.after, action))
                else:
                    await self._release(epoch, action)
            case Persist(barrier, batch):
                prefixed = {epoch.prefix + key: value for key, value in batch.items()}
                await self._o.records_thread.run(self._o.records.write, prefixed)
                epoch.durable = barrier
                ready = [held for after, held in epoch.held if after <= barrier]
                epoch.held = [(after, held) for after, held in epoch.held if after > barrier]
                for held in ready:
                    await self._release(epoch, held)
                return Durable(barrier)
            case Pull(limit, round_):
                system = await self._o.system(epoch.number, round_)
                items = self._o.mempool.pull(min(limit, PULL_MOST), self._now())
                self._told_ready = False
                if self._o.mempool.has_ready(self._now()):
                    self.payload_ready()
                return Payload(items, system)
            case Sign(slot, body):
                number = int.from_bytes(slot, "big")
                return Signed(slot, await self._o.signing.sign("soma/block", epoch.number, body, slot=number))
            case Verify(identity, signatures, payload):
                return Verified(identity, await trio.to_thread.run_sync(_all_valid, signatures, payload))
            case Load(identity, start, stop, limit):
                return Loaded(identity, await self._o.records_thread.run(self._load, epoch.prefix, start, stop, limit))
            case SetTimer(name, at):
                epoch.timers[name] = at
            case CancelTimer(name):
                epoch.timers.pop(name, None)
            case Accuse(member):
                _log.warning("validator %d signed two bodies of one slot", member)
            case Note(name, value):
                self.notes[name] = value
        return None

    async def _release(self, epoch: _Epoch, action: Send | Deliver) -> None:
        if isinstance(action, Deliver):
            await self._commits_in.send((epoch, action.commit))
            return
        for place in action.peers:
            self._o.peers.send(place, action.message)

    def _load(self, prefix: bytes, start: bytes, stop: bytes, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        found = []
        for key, value in self._o.records.scan(prefix + start, prefix + stop):
            found.append((key[len(prefix) :], value))
            if len(found) >= limit:
                break
        return tuple(found)

    async def _apply(self) -> None:
        """Apply commits in order; those the chain has already, and those beyond an epoch's end, are passed over."""
        async for epoch, commit in self._commits:
            if epoch.closed or commit.index <= self._o.store.tip.index:
                continue
            applied = await self._o.store_thread.run(self._o.store.apply, commit)
            ended = any(isinstance(event, chain.EpochBegan) for event in applied.events)
            for event in applied.events:
                if isinstance(event, chain.TransactionDone):
                    self._o.mempool.forget(event.id)
                elif isinstance(event, chain.EpochBegan):
                    self._o.mempool.expire(event.number)
            await self._o.applied(applied)
            epoch.closed = ended
            self._inbox.progress(EndEpoch(commit.index) if ended else Applied(commit.index))

    def _now(self) -> int:
        self._clock = max(self._clock, self._o.now())
        return self._clock


def _all_valid(signatures: tuple[tuple[bytes, bytes, bytes], ...], payload: tuple[bytes, ...]) -> bool:
    """Whether every signature holds and every payload item is a transaction with a valid signature."""
    try:
        return all(verify(*one) for one in signatures) and all(
            chain.parse_wire(item).signature_holds() for item in payload
        )
    except (DecodeError, CorruptionError):
        return False
