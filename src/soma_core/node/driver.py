"""The only shell of every consensus engine: it gives the engine events and does what its actions ask.

Outside stand disks, clocks, keys and peers; inside stands a pure `step`. What an engine persists is on disk before
anything that depends on it leaves (`_shell`). Commits are applied by one task, in order.

One engine serves one epoch. When the chain ends an epoch, the next engine begins after that commit, whatever the last
one had in flight; the last one goes on without payload until a quorum has signed what it came to, after a restart as
well.
Who was away longer takes commits from peers as a follower does. Rules O21 to O29 of ``specs/40-node.md``.
"""

import logging
import math
from typing import Final, final

import trio
from attrs import define, field

from soma_core import chain
from soma_core.api import (
    Accuse,
    Applied,
    Commit,
    Note,
    Payload,
    Pull,
    Received,
    Setup,
)
from soma_core.errors import CorruptionError

from ._checker import Checker
from ._early import Early
from ._evidence import Evidence
from ._lag import Lag
from ._recorder import Recorder
from ._shell import EPOCH_SIZE, Shell, prefix_of
from .applying import Applying
from .outside import Outside
from .store import Store

PULL_MOST: Final = 512 << 10
"""Bytes of payload a block is given at most, so that a commit travels to followers in one message."""
LOADED_KEYS: Final = b"\x80"
"""Keys an engine persists from here on come back by `Load` only."""
REMIND: Final = 5.0
"""Seconds between two looks whether what was pulled and never ordered may be pulled again."""

_log = logging.getLogger("soma.driver")


@define(eq=False)
class _Seat:
    """A shell at work, and what ends it."""

    shell: Shell
    scope: trio.CancelScope = field(factory=trio.CancelScope)


@final
class Driver:
    """Runs engine after engine until cancelled. `notes`: the last value of each metric an engine gave."""

    def __init__(self, outside: Outside) -> None:
        self._o = outside
        self._clock = 0
        self.applying = Applying(outside.store, outside.store_thread, self._told)
        self.notes: dict[str, int] = {}
        self.evidence = Evidence()
        self._checker = Checker(outside.verify_thread, outside.mempool)
        self._recorder = Recorder(outside.records, outside.records_thread)
        self._present: _Seat | None = None
        self._past: _Seat | None = None
        self._epoch = 0
        self._connected: set[int] = set()
        self._early = Early(0)
        self._lag = Lag([member.power for member in outside.committee])
        self._sweeping = trio.Event()
        self._commits_in, self._commits = trio.open_memory_channel[tuple[Shell, Commit]](math.inf)  # bounded by shells

    # What the node tells. ---------------------------------------------------------------------------------------------

    def payload_ready(self) -> None:
        """There is something to order."""
        if self._present is not None:
            self._present.shell.payload_ready()

    def connected(self, place: int) -> None:
        """The committee member at `place` is connected; if it was before, it is so anew."""
        if place in self._connected:
            self.disconnected(place)
        self._connected.add(place)
        self._tell_peer(place, up=True)

    def disconnected(self, place: int) -> None:
        """The committee member at `place` is not connected any more."""
        self._connected.discard(place)
        self._tell_peer(place, up=False)

    async def received(self, place: int, message: bytes) -> None:
        """A message of the committee member at `place`. Waits while too many wait for the engine."""
        if len(message) < EPOCH_SIZE:
            return
        epoch = int.from_bytes(message[:EPOCH_SIZE], "big")
        self._lag.heard(place, epoch)
        heard = Received(place, message[EPOCH_SIZE:])
        if epoch == self._early.epoch:
            self._early.keep(place, heard.message)
        elif self._present is not None and self._present.shell.epoch == epoch:
            await self._present.shell.inbox.put(heard)
        elif self._past is not None and self._past.shell.epoch == epoch:
            self._past.shell.inbox.offer(heard)

    # Epochs. ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the engine of the present epoch, then the next, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._checker.run)
            nursery.start_soon(self._recorder.run)
            nursery.start_soon(self._apply)
            nursery.start_soon(self._remind)
            nursery.start_soon(self._sweep)
            if len(self._o.committee) > 1:
                nursery.start_soon(self._catch_up)
                await self._revive(nursery)
            while True:
                seat = await self._begin(nursery)
                await seat.shell.ended.wait()
                self._retire()
                self._past, self._present = seat, None
                self._retire_proved()

    async def _begin(self, nursery: trio.Nursery) -> _Seat:
        """The engine of the epoch that the chain is in."""
        await self._lag.until_quiet()
        async with self.applying.lock:
            self._epoch, first = await self._o.store_thread.run(self._o.store.epoch)
            self._o.mempool.give_back()
            self._present = seat = await self._start(nursery, self._epoch, first)
            early, self._early = self._early, Early(self._epoch + 1)
        self._lag.begins(self._epoch)
        self._sweeping.set()
        for place, message in early.take() if early.epoch == self._epoch else ():
            seat.shell.inbox.offer(Received(place, message))
        if self._o.mempool.has_ready(self.now()):
            self.payload_ready()
        return seat

    async def _revive(self, nursery: trio.Nursery) -> None:
        """The engine of the epoch before, if no quorum is known to have signed its end: it serves its peers again."""
        store = self._o.store
        present, following = await self._o.store_thread.run(store.epoch)
        if present > 0 and store.proved < following - 1:
            self._epoch = present
            first = await self._o.store_thread.run(store.first_of, present - 1)
            self._past = await self._start(nursery, present - 1, first)
            self._past.shell.close(following - 1)

    async def _start(self, nursery: trio.Nursery, number: int, first: int) -> _Seat:
        setup = Setup(self._o.store.genesis.chain, number, self._o.committee, self._o.me, first)
        prefix = prefix_of(number)
        found = await self._recorder.load(prefix, prefix + LOADED_KEYS, math.inf)
        records = {key[len(prefix) :]: value for key, value in found}
        seat = _Seat(Shell(self._o.open(setup), setup, self, self._checker, self._recorder))
        for place in sorted(self._connected):
            seat.shell.inbox.peer(place, up=True)
        nursery.start_soon(_work, seat, records, self._o.store.tip.index)
        return seat

    def _retire(self) -> None:
        """End the engine of the past epoch."""
        if self._past is not None:
            self._past.scope.cancel()
            self._past.shell.inbox.close()
            self._recorder.forget(self._past.shell)
            self._past = None
            self._sweeping.set()

    def _retire_proved(self) -> None:
        """End it once a quorum has signed what it came to: laggards then get that as followers do."""
        alone = len(self._o.committee) == 1
        if self._past is not None and (alone or self._o.store.proved >= self._past.shell.last):
            self._retire()

    async def _sweep(self) -> None:
        """Delete what engines of earlier epochs persisted, a batch at a time."""
        while True:
            await self._sweeping.wait()
            self._sweeping = trio.Event()
            kept = self._past or self._present
            while kept is not None and await self._recorder.sweep(kept.shell.prefix):
                pass

    # The chain. -------------------------------------------------------------------------------------------------------

    async def _apply(self) -> None:
        """Apply what engines deliver, in order; pass over what the chain has and what is beyond an epoch's end."""
        async for shell, commit in self._commits:
            async with self.applying.lock:
                if not shell.closed:
                    if commit.index > self._o.store.tip.index:
                        await self.applying.apply(commit)
                    else:
                        await self._o.store_thread.run(_check_known, self._o.store, commit)
            shell.taken()

    async def _told(self, applied: chain.Applied, fetched: bool) -> None:  # noqa: FBT001  # as `Applying` says it
        """A commit is on disk."""
        before = self._epoch
        for event in applied.events:
            if isinstance(event, chain.TransactionDone):
                self._o.mempool.forget(event.id)
            elif isinstance(event, chain.EpochBegan):
                self._o.mempool.expire(event.number)
                self._epoch = event.number
        if fetched:
            await self._o.fetched(applied)
        else:
            await self._o.applied(applied)
            self._lag.ordered()
        if fetched and self._epoch > before:
            self._lag.passed()
        if self._present is not None and self._epoch > before:
            self._present.shell.close(applied.record.index)
        elif self._present is not None:
            self._present.shell.inbox.progress(Applied(applied.record.index))
        self._lag.begins(self._epoch)
        self._retire_proved()

    async def _catch_up(self) -> None:
        """Take commits from peers while this node is left behind."""
        while True:
            await self._lag.until_left_behind()
            _log.info("commit %d is the last here: asking peers for later ones", self._o.store.tip.index)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._o.fetch, self.applying)
                await self._lag.until_going()
                async with self.applying.lock:  # so that nothing is cut off half applied
                    nursery.cancel_scope.cancel()

    async def _remind(self) -> None:
        while True:
            await trio.sleep(REMIND)
            if self._o.mempool.has_ready(self.now()):
                self.payload_ready()

    # What engines ask: `Around`. --------------------------------------------------------------------------------------

    def now(self) -> int:
        """Ms of UTC; never goes back."""
        self._clock = max(self._clock, self._o.now())
        return self._clock

    def send(self, epoch: int, place: int, message: bytes) -> None:
        """To a member, behind the epoch."""
        self._o.peers.send(place, prefix_of(epoch) + message)

    def deliver(self, shell: Shell, commit: Commit) -> None:
        """Queue a commit for the chain."""
        self._commits_in.send_nowait((shell, commit))

    def accuse(self, epoch: int, accusation: Accuse) -> None:
        """Keep the accusation."""
        self.evidence.take(epoch, accusation)

    def note(self, note: Note) -> None:
        """Keep the value."""
        self.notes[note.name] = note.value

    async def payload(self, epoch: int, pull: Pull) -> tuple[Payload, bool]:
        """System bytes, and items from the pool."""
        system = await self._o.system(epoch, pull.round) if epoch == self._epoch else b""
        if epoch != self._epoch:
            return Payload((), b""), False  # its epoch has ended: the next engine shall have the items
        items = self._o.mempool.pull(min(pull.limit, PULL_MOST), self.now())
        return Payload(items, system), self._o.mempool.has_ready(self.now())

    async def sign(self, epoch: int, slot: int, body: bytes) -> bytes:
        """By the signer, which waits for its disk."""
        return await self._o.signing.sign("soma/block", epoch, body, slot=slot)

    def _tell_peer(self, place: int, *, up: bool) -> None:
        for seat in (self._past, self._present):
            if seat is not None:
                seat.shell.inbox.peer(place, up=up)


async def _work(seat: _Seat, records: dict[bytes, bytes], applied: int) -> None:
    with seat.scope:
        await seat.shell.run(records, applied)


def _check_known(store: Store, commit: Commit) -> None:
    record = store.record(commit.index)
    if record is not None and record.commit != commit.digest:
        raise CorruptionError(
            f"the engine ordered another commit {commit.index} than the chain has",
            "a database is damaged, or more than a third of the validators are at fault: stop, and ask the others",
        )
