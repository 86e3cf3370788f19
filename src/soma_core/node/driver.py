"""The only shell of every consensus engine: it gives the engine events and does what its actions ask.

Outside stand disks, clocks, keys and peers; inside stands a pure `step`. What an engine persists is on disk before
anything that depends on it leaves (`_shell`). Commits are applied by one task, in order.

One engine serves one epoch, and its committee: places are those of the epoch, and peers are known by their nodes. Where
this node has no seat, it follows, until an epoch begins in which it has one. When the chain ends an epoch, the next
engine begins after that commit, whatever the last one had in flight; the last one goes on without payload until a
quorum has signed what it came to, after a restart as well. Who was away longer takes commits from peers as a follower
does. Rules O21 to O29 of ``specs/40-node.md``.
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
    Member,
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
    """A shell at work, and what ends it. `nodes`, `keys`: of its committee, by place."""

    shell: Shell
    nodes: tuple[bytes, ...]
    keys: tuple[bytes, ...]
    scope: trio.CancelScope = field(factory=trio.CancelScope)

    def tell_peer(self, node: bytes, *, up: bool) -> None:
        """A node came or went: the engine hears of it if it is a member's."""
        if node in self.nodes:
            self.shell.inbox.peer(self.nodes.index(node), up=up)


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
        self._seats: tuple[chain.Seat, ...] = ()
        self._connected: set[bytes] = set()
        self._early = Early(0)
        self._lag = Lag()
        self._turned = trio.Event()
        self._sweeping = trio.Event()
        self._commits_in, self._commits = trio.open_memory_channel[tuple[Shell, Commit]](math.inf)  # bounded by shells

    # What the node tells. ---------------------------------------------------------------------------------------------

    def payload_ready(self) -> None:
        """There is something to order."""
        if self._present is not None:
            self._present.shell.payload_ready()

    @property
    def seated(self) -> bool:
        """Whether this node is one of the present committee."""
        return any(seat.key == self._o.key for seat in self._seats)

    def connected(self, node: bytes) -> None:
        """A peer is connected; if it was before, it is so anew."""
        if node in self._connected:
            self.disconnected(node)
        self._connected.add(node)
        self._tell_peer(node, up=True)

    def disconnected(self, node: bytes) -> None:
        """A peer is not connected any more."""
        self._connected.discard(node)
        self._tell_peer(node, up=False)

    async def received(self, node: bytes, message: bytes) -> None:
        """A message of a peer, which is nothing if it is no member's. Waits while too many wait for the engine."""
        if len(message) < EPOCH_SIZE:
            return
        epoch, body = int.from_bytes(message[:EPOCH_SIZE], "big"), message[EPOCH_SIZE:]
        sits = any(seat.node == node for seat in self._seats)
        if sits:
            self._lag.heard(node, epoch)
        seat = self._at(epoch)
        if sits and epoch == self._early.epoch:
            self._early.keep(node, body)
        elif seat is None or node not in seat.nodes:
            return
        elif seat is self._present:
            await seat.shell.inbox.put(Received(seat.nodes.index(node), body))
        else:
            seat.shell.inbox.offer(Received(seat.nodes.index(node), body))

    # Epochs. ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drive the engine of the present epoch, then the next, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._checker.run)
            nursery.start_soon(self._recorder.run)
            nursery.start_soon(self._apply)
            nursery.start_soon(self._remind)
            nursery.start_soon(self._sweep)
            await self._take_seats()
            nursery.start_soon(self._catch_up)
            await self._revive(nursery)
            while True:
                seat = await self._begin(nursery)
                await (self._turned if seat is None else seat.shell.ended).wait()
                self._retire()
                self._past, self._present = seat, None
                self._retire_proved()

    async def _take_seats(self) -> None:
        """Learn who sits in the epoch that the chain is in."""
        self._epoch, _ = await self._o.store_thread.run(self._o.store.epoch)
        self._sit(await self._o.store_thread.run(self._o.store.seats, self._epoch))

    def _sit(self, seats: tuple[chain.Seat, ...]) -> None:
        self._seats = seats
        self._lag.sits({seat.node: seat.power for seat in seats}, seated=self.seated)

    async def _begin(self, nursery: trio.Nursery) -> _Seat | None:
        """The engine of the epoch that the chain is in; None if this node has no seat."""
        await self._lag.until_quiet()
        async with self.applying.lock:
            self._epoch, first = await self._o.store_thread.run(self._o.store.epoch)
            self._turned = trio.Event()
            self._o.mempool.give_back()
            self._present = seat = await self._start(nursery, self._epoch, first)
            early, self._early = self._early, Early(self._epoch + 1)
        self._lag.begins(self._epoch)
        self._sweeping.set()
        if seat is None:
            return None
        for node, message in early.take() if early.epoch == self._epoch else ():
            if node in seat.nodes:
                seat.shell.inbox.offer(Received(seat.nodes.index(node), message))
        if self._o.mempool.has_ready(self.now()):
            self.payload_ready()
        return seat

    async def _revive(self, nursery: trio.Nursery) -> None:
        """The engine of the epoch before, if no quorum is known to have signed its end: it serves its peers again."""
        store = self._o.store
        present, following = await self._o.store_thread.run(store.epoch)
        if present > 0 and store.proved < following - 1:
            if len(await self._o.store_thread.run(store.seats, present - 1)) < 2:
                return
            first = await self._o.store_thread.run(store.first_of, present - 1)
            self._past = await self._start(nursery, present - 1, first)
            if self._past is not None:
                self._past.shell.close(following - 1)

    async def _start(self, nursery: trio.Nursery, number: int, first: int) -> _Seat | None:
        """The engine of an epoch; None if this node had no seat in it."""
        seats = await self._o.store_thread.run(self._o.store.seats, number)
        mine = [place for place, one in enumerate(seats) if one.key == self._o.key]
        if not mine:
            return None
        committee = tuple(Member(one.key, one.power) for one in seats)
        setup = Setup(self._o.store.genesis.chain, number, committee, mine[0], first)
        prefix = prefix_of(number)
        found = await self._recorder.load(prefix, prefix + LOADED_KEYS, math.inf)
        records = {key[len(prefix) :]: value for key, value in found}
        shell = Shell(self._o.open(setup), setup, self, self._checker, self._recorder)
        seat = _Seat(shell, tuple(one.node for one in seats), tuple(one.key for one in seats))
        for node in seat.nodes:
            if node in self._connected:
                seat.tell_peer(node, up=True)
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
        if self._past is not None and (len(self._past.nodes) == 1 or self._o.store.proved >= self._past.shell.last):
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
                self._sit(applied.seats)
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
        if self._epoch > before:
            self._turned.set()
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
        if (seat := self._at(epoch)) is not None:
            self._o.peers.send(seat.nodes[place], prefix_of(epoch) + message)

    def deliver(self, shell: Shell, commit: Commit) -> None:
        """Queue a commit for the chain."""
        self._commits_in.send_nowait((shell, commit))

    def accuse(self, epoch: int, accusation: Accuse) -> None:
        """Keep the accusation, and hand on a new one."""
        seat = self._at(epoch)
        if seat is not None:
            key = seat.keys[accusation.member]
            if self.evidence.take(epoch, key, accusation):
                self._o.accused(epoch, key, accusation)

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

    def _at(self, epoch: int) -> _Seat | None:
        """The seat whose engine serves an epoch."""
        for seat in (self._present, self._past):
            if seat is not None and seat.shell.epoch == epoch:
                return seat
        return None

    def _tell_peer(self, node: bytes, *, up: bool) -> None:
        for seat in (self._past, self._present):
            if seat is not None:
                seat.tell_peer(node, up=up)


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
