"""A validator: engines of two epochs, chain, mempool, signer, disk and clock; it dies and comes back.

What `node.driver` does with tasks and threads is done here on virtual time. `Around` is all that members share.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol, final

from attrs import frozen

from soma_core import chain
from soma_core.api import Action, Commit, Event, PeerDown, PeerUp, Send, Setup, Sign
from soma_core.beacon import Chain
from soma_core.crypto import signing_digest
from soma_core.genesis import Genesis
from soma_core.node.mempool import Mempool
from soma_core.node.store import Store
from soma_core.records import pack

from .clock import Clock
from .engines import Engines
from .heap import MS, Heap
from .shelf import Batch, Loss, Records, Shelf
from .shell import Shell
from .signer import Signer
from .tempo import Tempo

REMIND: Final = 2_000 * MS
"""Now and then a member looks whether an item that was pulled and never ordered is to be pulled again."""

Phase = Literal["before", "written", "synced"]
"""Of a write at which a member dies: ``before`` it, when it is ``written``, when it is ``synced`` and nobody knows."""


class Around(Protocol):
    """What members share."""

    heap: Heap
    engines: Engines
    genesis: Genesis

    def watch(self, shell: Shell, event: Event, now: int, actions: Sequence[Action]) -> None:
        """A step was done."""
        ...

    def carry(self, sender: "Member", place: int, epoch: int, message: bytes) -> None:
        """A member says something to another."""
        ...

    def holds(self, signatures: tuple[tuple[bytes, bytes, bytes], ...], payload: tuple[bytes, ...]) -> bool:
        """Whether all these signatures and payload items are good."""
        ...

    def setup(self, place: int, epoch: int, first: int) -> Setup:
        """What an engine is opened for."""
        ...

    def open_store(self, ledger: Shelf) -> Store:
        """The chain on a ledger."""
        ...

    def delivered(self, shell: Shell, commit: Commit) -> None:
        """A commit left an engine."""
        ...

    def applied(self, member: "Member", commit: Commit, applied: chain.Applied) -> None:
        """A commit is on a member's disk."""
        ...

    def accused(self, member: int, whom: int) -> None:
        """An engine showed two bodies of one slot."""
        ...

    def beacon(self, place: int, epoch: int) -> Chain:
        """The links of a member in an epoch."""
        ...

    def proved(self) -> int:
        """The last commit that a quorum has."""
        ...

    def changed(self, place: int) -> None:
        """A member came up or went down."""
        ...

    def pulled(self, items: tuple[bytes, ...]) -> None:
        """An engine was given these to order."""
        ...


@frozen(kw_only=True)
class Death:
    """How a member dies, and what it comes back to. `away`: microseconds. `chain`: the chain is lost as well.

    `record`: the record of what was signed is lost too: then it may lie, and counts as Byzantine.
    """

    loss: Loss
    away: int
    chain: bool = False
    record: bool = False


@final
class Member:
    """`place` in the committee. `voice`: 0, or 1 for the second of two that share a place and a key.

    `honest`: what it says is one. `filter`: what becomes of what it says, if it is not.
    """

    def __init__(self, around: Around, place: int, key: bytes, tempo: Tempo, clock: Clock, voice: int = 0) -> None:
        self.around = around
        self.place = place
        self.voice = voice
        self.tempo = tempo
        self.clock = clock
        self.honest = True
        self.filter: Callable[[Member, int, Send], None] | None = None
        self.open = around.engines.open
        self.signer = Signer(key)
        self.ledger = Shelf()
        self.records = Records()
        self.up = False
        self.life = 0
        self.deaths = 0
        self.most_unapplied = 0
        self.ordered = 0
        self.ordered_at = 0
        """The last commit of its own engine that its chain applied, and when."""
        self.told: dict[int, int] = {}
        """Peers it was told to be connected with → the connection."""
        self._key = key
        self._writes = 0
        self._doom: tuple[int, Phase, Death] | None = None

    # Lives. -----------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Come up with what is on disk."""
        if self.up:
            return
        self.up = True
        self.life += 1
        self.told = {}
        self.ordered_at = self.around.heap.now
        self.store = self.around.open_store(self.ledger)
        self.mempool = Mempool()
        self.past: Shell | None = None
        self._queue: deque[tuple[Shell, Commit]] = deque()
        self._applying = False
        self._writing: list[tuple[Shell, int]] = []
        self._waiting: list[tuple[Shell, int]] = []
        self._begin()
        self._revive()
        self.around.changed(self.place)
        self.around.heap.post(REMIND, self._remind, self.life)

    def die(self, death: Death) -> None:
        """Lose what was in memory, and of the disk what `death` says; come back later."""
        if not self.up:
            return
        self.up = False
        self.deaths += 1
        self._doom = None
        for shell in (self.present, self.past):
            if shell is not None:
                shell.alive = False
        self.records.crash(death.loss, self.tempo.random)
        if death.chain:
            self.ledger = Shelf()
        if death.record:
            self.signer.forget()
        self.around.changed(self.place)
        self.around.heap.post(death.away, self.boot)

    def doom(self, writes: int, phase: Phase, death: Death) -> None:
        """Die at the `writes`th write from now."""
        self._doom = (self._writes + writes, phase, death)

    def spare(self) -> None:
        """No write is its last any more."""
        self._doom = None

    def _begin(self) -> None:
        number, first = self._epoch()
        self.present = Shell(self, self.around.setup(self.place, number, first))
        self.mempool.give_back()
        self.present.start()
        for peer in sorted(self.told):
            self.present.tell(PeerUp(peer))
        if self.mempool.has_ready(self.now()):
            self.present.payload_ready()

    def _revive(self) -> None:
        """The engine of the epoch before serves its peers again, if no quorum has all of that epoch."""
        number, first = self._epoch()
        if number > 0 and self.around.proved() < first - 1:
            setup = self.around.setup(self.place, number - 1, self.store.first_of(number - 1))
            self.past = Shell(self, setup)
            self.past.start()
            self.past.close(first - 1)

    def _epoch(self) -> tuple[int, int]:
        epoch = self.store.read(lambda state: state.need(chain.EPOCH))
        return epoch.number, epoch.first_index

    def now(self) -> int:
        """ms, by its own clock."""
        return self.clock.read(self.around.heap.now)

    # Peers. -----------------------------------------------------------------------------------------------------------

    def peer(self, place: int, connection: int | None) -> None:
        """Who is connected, as far as this member can tell."""
        known = self.told.get(place)
        if not self.up or known == connection:
            return
        if known is not None:
            del self.told[place]
            self._tell_all(PeerDown(place))
        if connection is not None:
            self.told[place] = connection
            self._tell_all(PeerUp(place))

    def receive(self, peer: int, epoch: int, message: bytes) -> None:
        """A message for the engine of an epoch; if there is none, it is lost."""
        if self.up:
            for shell in (self.present, self.past):
                if shell is not None and shell.epoch == epoch:
                    shell.receive(peer, message)
                    return

    def speak(self, epoch: int, send: Send) -> None:
        """What an engine says leaves."""
        if self.filter is not None:
            self.filter(self, epoch, send)
            return
        for place in send.peers:
            self.around.carry(self, place, epoch, send.message)

    def _tell_all(self, event: PeerUp | PeerDown) -> None:
        for shell in (self.past, self.present):
            if shell is not None:
                shell.tell(event)

    # The disk. --------------------------------------------------------------------------------------------------------

    def write(self, shell: Shell, barrier: int, batch: Batch) -> None:
        """Persist, with all that comes while the disk is busy."""
        self._writes += 1
        if self._dies("before"):
            return
        self.records.write(batch)
        self._waiting.append((shell, barrier))
        if not self._dies("written") and not self._writing:
            self._sync()

    def _dies(self, phase: Phase) -> bool:
        """Whether it is time, and the place, to die."""
        if self._doom is None or self._writes < self._doom[0] or self._doom[1] != phase:
            return False
        self.die(self._doom[2])
        return True

    def _sync(self) -> None:
        self._writing, self._waiting = self._waiting, []
        self.around.heap.post(self.tempo.sync(), self._synced, self.life)

    def _synced(self, life: int) -> None:
        if life != self.life or not self.up:
            return
        done = self._writing
        self.records.sync(len(done))
        if self._dies("synced"):
            return
        newest: dict[int, tuple[Shell, int]] = {}
        for shell, barrier in done:
            newest[shell.epoch] = (shell, barrier)
        self._writing = []
        if self._waiting:
            self._sync()
        for shell, barrier in newest.values():
            shell.recorded(barrier)

    def sign(self, epoch: int, sign: Sign) -> bytes:
        """The signature under a block's header, or nothing if it signed another one in its place."""
        digest = signing_digest("soma/block", self.around.genesis.chain, epoch, sign.body)
        return self.signer.sign(epoch, int.from_bytes(sign.slot, "big"), digest)

    # The chain. -------------------------------------------------------------------------------------------------------

    def deliver(self, shell: Shell, commit: Commit) -> None:
        """Queue a commit."""
        self.around.delivered(shell, commit)
        self._queue.append((shell, commit))
        self.most_unapplied = max(self.most_unapplied, len(self._queue))
        if not self._applying:
            self._applying = True
            self.around.heap.post(self.tempo.apply(), self._apply, self.life)

    def _apply(self, life: int) -> None:
        if life != self.life or not self.up:
            return
        shell, commit = self._queue.popleft()
        if not shell.closed and commit.index > self.store.tip.index:
            self.take(commit)
        shell.taken()
        if self._queue:
            self.around.heap.post(self.tempo.apply(), self._apply, life)
        else:
            self._applying = False

    def take(self, commit: Commit, record: chain.CommitRecord | None = None) -> None:
        """Apply the next commit. `record`: what others signed that it comes to, if it came from peers."""
        applied = self.store.apply(commit, record)
        if record is None:
            self.ordered, self.ordered_at = commit.index, self.around.heap.now
        before = self.present.epoch
        ended = False
        for event in applied.events:
            if isinstance(event, chain.TransactionDone):
                self.mempool.forget(event.id)
            elif isinstance(event, chain.EpochBegan):
                self.mempool.expire(event.number)
                ended = event.number > before
        self.around.applied(self, commit, applied)
        if not ended:
            self.present.applied(commit.index)
            return
        if self.past is not None:
            self.past.alive = False
        self.past = self.present
        self.past.close(commit.index)
        if self.up:
            self._begin()

    def retire(self) -> None:
        """The last epoch's engine ends once a quorum has all of that epoch."""
        if self.past is not None and self.around.proved() >= self.past.last:
            self.past.alive = False
            self.past = None
            self.records.sweep(self.present.prefix)

    # Payload. ---------------------------------------------------------------------------------------------------------

    def submit(self, signed: chain.SignedTransaction) -> bool:
        """Take a transaction to be ordered, or refuse it. Raises `RefusedError`."""
        if self.store.examine(signed) is not None:
            return False
        self.mempool.add(signed)
        self.present.payload_ready()
        return True

    def pull(self, limit: int) -> tuple[bytes, ...]:
        """Items for a block."""
        items = self.mempool.pull(limit, self.now())
        self.around.pulled(items)
        return items

    def has_ready(self) -> bool:
        """Whether there is more to pull."""
        return self.mempool.has_ready(self.now())

    def system(self, epoch: int, round_: int) -> bytes:
        """What rides along in a block: the link, the anchors."""
        rounds = self.around.genesis.parameters.beacon_rounds
        link = self.around.beacon(self.place, epoch).link(round_) if 1 <= round_ <= rounds else None
        anchors = tuple((number, self.around.beacon(self.place, number).anchor) for number in (epoch, epoch + 1))
        return pack(chain.System(link=link, anchors=anchors, signatures=()))

    def _remind(self, life: int) -> None:
        if life != self.life or not self.up:
            return
        if self.has_ready():
            self.present.payload_ready()
        self.retire()
        self.around.heap.post(REMIND, self._remind, life)
