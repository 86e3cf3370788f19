"""One of the processes of ``consensus.py``: ``PLACE DIRECTORY ADDRESS…``. It prints where it listens.

A line ``KIND NUMBER BLOCKS`` on standard input prepares a turn; it answers ``ready``. ``go`` begins it; when it is over
here, it answers with a JSON object: when it began and ended (monotonic seconds), and how long each block took. ``stop``
clears it away. The end of standard input ends the process.
"""

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, final

import trio
import trio.lowlevel
from net import sockets_world
from net.peers_world import peer_of

from soma_consensus_dag import Config, Params, open_engine
from soma_core.api import Accuse, Applied, Commit, LedgerContext, Member, Note, Payload, Pull, Received, Setup
from soma_core.crypto import SIGNATURE_SIZE, SecretKey, signing_digest, verify
from soma_core.net import Address, Network
from soma_core.node._checker import Checker
from soma_core.node._recorder import Recorder
from soma_core.node._shell import EPOCH_SIZE, Shell, prefix_of
from soma_core.node.threads import Thread, open_thread
from soma_sqlite import SqliteConfig, open_ledger

MEMBERS: Final = 4
ITEM: Final = 512
"""Bytes of a transaction."""
ITEMS: Final = 192
"""Transactions of a block: three quarters of its member's part of a commit, so that one which is late fits in, too."""
OVERHEAD: Final = 1_100
"""Bytes that a block has beside its payload, about: header and sizes; so that bare frames are as long."""
CONFIG: Final = Config(min_round_ms=5, idle_ms=50)
CHAIN: Final = bytes(range(32))
KEYS: Final = tuple(SecretKey(bytes([1 + place]) * 32) for place in range(MEMBERS))
WAIT: Final = 0.001
"""Seconds until a sender looks again whether a queue has room: it holds many times what is sent meanwhile."""
UNWRITTEN: Final = 8 << 20
"""Bytes that wait for the disk, at most, as in the node's shell."""
STAMP: Final = 8
"""Bytes of the time at the beginning of an item."""
sockets_world.LIMIT = 240.0

Sender = Callable[[int, bytes], bool]
"""To the process at a place; whether there was room."""
_FILLING: Final = bytes(range(256)) * (ITEM // 256)


def payload_of(count: int) -> tuple[bytes, ...]:
    """Items that are made now."""
    stamp = time.monotonic_ns().to_bytes(STAMP, "big")
    return tuple(stamp + number.to_bytes(4, "big") + _FILLING[STAMP + 4 :] for number in range(count))


def age_of(item: bytes) -> float:
    """Seconds since an item was made, here or in another process of this machine."""
    return (time.monotonic_ns() - int.from_bytes(item[:STAMP], "big")) / 1e9


class Turn(Protocol):
    """What is measured, in one process. `ready` and `over` are set in their time. `ages`: one a block, in seconds."""

    ready: trio.Event
    over: trio.Event
    ages: list[float]

    async def hear(self, place: int, message: bytes) -> None:
        """A message of another process, of this turn."""
        ...

    async def run(self) -> None:
        """All that is to be done, until cancelled."""
        ...

    def go(self) -> None:
        """All processes are ready."""
        ...


@final
class NoChecks:
    """In place of the pool of transactions: every item is good, and needs no look."""

    def holds(self, _item: bytes) -> bool:
        return True


@final
class Ordering:
    """The node's shell with an engine of ``consensus-dag``, disk and checker, and a pool of `blocks` blocks' items."""

    def __init__(self, number: int, place: int, blocks: int, send: Sender, disk: Recorder, verify_: Thread) -> None:
        self.ready, self.over = trio.Event(), trio.Event()
        self.ages: list[float] = []
        self._place, self._send, self._blocks, self._left = place, send, blocks, 0
        self._missing = blocks * MEMBERS * ITEMS
        setup = Setup(CHAIN, number, tuple(Member(key.public, 1) for key in KEYS), place, 1)
        self._checker = Checker(verify_, NoChecks())  # type: ignore[arg-type]  # all that it asks of a pool
        self._shell = Shell(open_engine(CONFIG, Params(), setup), setup, self, self._checker, disk)

    async def run(self) -> None:
        for other in range(MEMBERS):
            if other != self._place:
                self._shell.inbox.peer(other, up=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._checker.run)
            await self._shell.run({}, 0)

    async def hear(self, place: int, message: bytes) -> None:
        await self._shell.inbox.put(Received(place, message))

    def go(self) -> None:
        self._left = self._blocks
        self._shell.payload_ready()

    def deliver(self, shell: Shell, commit: Commit) -> None:
        """Take a commit: it is what the whole turn is for."""
        items = [item for _, item in commit.items]
        self.ages += [age_of(item) for item in items[::ITEMS]]
        self._missing -= len(items)
        shell.inbox.progress(Applied(commit.index))
        shell.taken()
        self.ready.set()
        if not self._missing:
            self.over.set()

    async def payload(self, _epoch: int, pull: Pull) -> tuple[Payload, bool]:
        """The next block's items; a block that may have none brings none."""
        if not self._left or pull.limit < ITEMS * ITEM:
            return Payload((), b""), self._left > 0
        self._left -= 1
        return Payload(payload_of(ITEMS), b""), self._left > 0

    async def sign(self, epoch: int, _slot: int, body: bytes) -> bytes:
        """By a key in this process."""
        return KEYS[self._place].sign(signing_digest("soma/block", CHAIN, epoch, body))

    def send(self, epoch: int, place: int, message: bytes) -> None:
        """To another process."""
        self._send(place, prefix_of(epoch) + message)

    def now(self) -> int:
        """Ms; never goes back."""
        return time.monotonic_ns() // 1_000_000

    def accuse(self, _epoch: int, accusation: Accuse) -> None:
        """Nobody lies here."""
        raise AssertionError(accusation)

    def note(self, _note: Note) -> None:
        """Not measured."""


@final
class Bare:
    """`blocks` signed frames to everybody, as long as blocks; each is verified and written when it comes, no more.

    It is verified where it comes: without a thread for it, nothing waits for one.
    """

    def __init__(self, number: int, place: int, blocks: int, send: Sender, disk: Recorder, _: Thread) -> None:
        self.ready, self.over = trio.Event(), trio.Event()
        self.ages: list[float] = []
        self._number, self._place, self._blocks, self._send, self._disk = number, place, blocks, send, disk
        self._barrier, self._durable, self._missing, self._unwritten = 0, 0, blocks * MEMBERS, 0
        self._written, self._begin = trio.Event(), trio.Event()

    async def run(self) -> None:
        self.ready.set()
        await self._begin.wait()
        for _ in range(self._blocks):
            frame = b"".join((bytes(OVERHEAD), *payload_of(ITEMS)))
            message = frame + KEYS[self._place].sign(signing_digest("soma/block", CHAIN, self._number, frame))
            for other in range(MEMBERS):
                if other != self._place:
                    await self._pass(other, prefix_of(self._number) + message)
            await self._keep(message)

    async def hear(self, place: int, message: bytes) -> None:
        frame, signature = message[:-SIGNATURE_SIZE], message[-SIGNATURE_SIZE:]
        name = signing_digest("soma/block", CHAIN, self._number, frame)
        assert verify(KEYS[place].public, name, signature), "a frame came to harm"
        self.ages.append(age_of(frame[OVERHEAD:]))
        await self._keep(message)

    def go(self) -> None:
        self._begin.set()

    def recorded(self, barrier: int, size: int) -> None:
        """`Recorder` has written."""
        self._missing -= barrier - self._durable
        self._durable = barrier
        self._unwritten -= size
        self._written.set()
        if not self._missing:
            self.over.set()

    async def _pass(self, other: int, message: bytes) -> None:
        while not self._send(other, message):  # noqa: ASYNC110  # the queue tells nobody that it has room
            await trio.sleep(WAIT)

    async def _keep(self, message: bytes) -> None:
        self._barrier += 1
        self._unwritten += self._disk.put(self, self._barrier, {self._barrier.to_bytes(8, "big"): message})
        while self._unwritten > UNWRITTEN:
            if self._written.is_set():  # who waits already waits for the same
                self._written = trio.Event()
            await self._written.wait()


KINDS: Final = {"ordered": Ordering, "bare": Bare}


@asynccontextmanager
async def disk(directory: Path) -> AsyncIterator[Recorder]:
    """A new database and who writes it, with a sync at every commit."""
    with tempfile.TemporaryDirectory(dir=directory) as place:
        context = LedgerContext("ledger-sqlite", Path(place), logging.getLogger("soma.bench"), "consensus")
        async with open_thread("records") as thread, trio.open_nursery() as nursery:
            ledger = await thread.run(open_ledger, SqliteConfig(), context)
            try:
                recorder = Recorder(ledger, thread)
                nursery.start_soon(recorder.run)
                yield recorder
            finally:
                nursery.cancel_scope.cancel()
                await thread.run(ledger.close)


class Process:
    """This process: it hands messages to the turn there is, and lets the parent lead."""

    def __init__(self, place: int, network: Network, directory: Path) -> None:
        self._place, self._network, self._directory = place, network, directory
        self._places = {peer_of(1 + other): other for other in range(MEMBERS)}
        self._peers = {other: peer for peer, other in self._places.items()}
        self._turn: Turn | None = None
        self._number = 0

    async def connected(self) -> None:
        """Wait until all others are."""
        while len(self._network.peers) < MEMBERS - 1:
            await self._network.changed.wait()

    async def hear(self) -> None:
        """Hand on what comes; what is of another turn is passed over."""
        async for peer, message in self._network.consensus_messages:
            if self._turn is not None and int.from_bytes(message[:EPOCH_SIZE], "big") == self._number:
                await self._turn.hear(self._places[peer], message[EPOCH_SIZE:])

    async def take(self, kind: str, number: int, blocks: int, lines: AsyncIterator[str]) -> None:
        """One turn."""
        async with (
            disk(self._directory) as recorder,
            open_thread("verify") as thread,
            trio.open_nursery() as nursery,
        ):
            turn: Turn = KINDS[kind](number, self._place, blocks, self._send, recorder, thread)
            self._number, self._turn = number, turn
            nursery.start_soon(turn.run)
            await turn.ready.wait()
            print("ready", flush=True)
            assert await anext(lines) == "go"
            began = time.monotonic()
            turn.go()
            await turn.over.wait()
            print(json.dumps({"began": began, "ended": time.monotonic(), "ages": turn.ages}), flush=True)
            assert await anext(lines) == "stop"
            self._turn = None
            nursery.cancel_scope.cancel()
        print("stopped", flush=True)

    def _send(self, place: int, message: bytes) -> bool:
        return self._network.consensus_send(self._peers[place], message)


async def lines_of(stream: trio.lowlevel.FdStream) -> AsyncIterator[str]:
    """Lines of text until the end."""
    waiting = b""
    async for data in stream:
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            yield line.decode()


async def main(place: int, directory: Path, *book: Address) -> None:
    async with (
        sockets_world.node(1 + place, directory, *book) as (network, _store, where),
        trio.open_nursery() as tasks,
    ):
        print(where, flush=True)
        lines = lines_of(trio.lowlevel.FdStream(os.dup(0)))
        process = Process(place, network, directory)
        await process.connected()
        tasks.start_soon(process.hear)
        async for line in lines:
            kind, number, blocks = line.split()
            await process.take(kind, int(number), int(blocks), lines)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run(main, int(sys.argv[1]), Path(sys.argv[2]), *map(Address.parse, sys.argv[3:]))
