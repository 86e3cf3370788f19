"""One engine of one member: as the node's shell, it gives events and does what the actions ask, on virtual time."""

from collections import deque
from typing import TYPE_CHECKING, Any, Final, final

from soma_core.api import (
    Accuse,
    Action,
    Applied,
    CancelTimer,
    Deliver,
    Durable,
    EndEpoch,
    Event,
    Load,
    Loaded,
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from .member import Member

UNAPPLIED: Final = 64
"""Commits that wait for the chain; then the engine hears no messages."""
INBOX: Final = 1_024
"""Messages that wait for an engine that hears none; more are lost."""
PULL_MOST: Final = 512 << 10
"""Bytes of payload a block is given at most."""
STATE: Final = b"\x80"
"""Keys an engine persists from here on come back by `Load` only."""


@final
class Shell:
    """`closed`: the chain has ended its epoch with commit `last`; it serves peers and is given no payload.

    `alive`: events still reach it. `barriers`: asked for; `durable`: on disk.
    """

    def __init__(self, member: "Member", setup: Setup) -> None:
        self.member = member
        self.setup = setup
        self.epoch = setup.epoch
        self.prefix = setup.epoch.to_bytes(8, "big")
        self.engine = member.open(setup)
        self.alive = True
        self.closed = False
        self.last = 0
        self.barriers = 0
        self.durable = 0
        self.unapplied = 0
        self.notes: dict[str, int] = {}
        self._timers: dict[str, int] = {}
        self._sends: list[Send] = []
        self._deliveries: deque[Deliver] = deque()
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._ready = False
        self._post = member.around.heap.post
        self._tempo = member.tempo
        self._do: dict[type[Action], Callable[[Any], None]] = {
            Send: self._send,
            Deliver: self._queue,
            Persist: self._persist,
            Pull: self._pull,
            Verify: self._verify,
            Sign: self._sign,
            Load: self._load,
            SetTimer: self._set,
            CancelTimer: self._cancel,
            Note: self._note,
            Accuse: self._accuse,
        }

    @property
    def gone(self) -> bool:
        """Whether its member died."""
        return not self.alive

    def start(self) -> None:
        """The engine's first event, from what is on disk."""
        found = self.member.records.scan(self.prefix, self.prefix + STATE)
        self.tell(Start({key[8:]: value for key, value in found}, self.member.store.tip.index))

    def tell(self, event: Event) -> None:
        """One step of the engine, and what its actions ask."""
        if not self.alive:
            return
        member = self.member
        now = member.clock.read(member.around.heap.now)
        actions = self.engine.step(event, now)
        member.around.watch(self, event, now, actions)
        for action in actions:
            self._do[type(action)](action)
            if self.gone:  # it died at this write
                return

    def receive(self, peer: int, message: bytes) -> None:
        """A peer's message; while too many commits wait it is kept, while too many messages are kept it is lost."""
        if self.unapplied < UNAPPLIED and not self._backlog:
            self.tell(Received(peer, message))
        elif len(self._backlog) < INBOX:
            self._backlog.append((peer, message))

    def payload_ready(self) -> None:
        """There is something to order; said once until it is pulled."""
        if not self._ready and not self.closed:
            self._ready = True
            self._post(0, self.tell, PayloadReady())

    def applied(self, index: int) -> None:
        """The chain has come so far."""
        if not self.closed:
            self._post(self._tempo.tell(), self.tell, Applied(index))

    def taken(self) -> None:
        """A delivered commit was applied or passed over."""
        self.unapplied -= 1
        if self._backlog and self.unapplied < UNAPPLIED:
            self._post(0, self._catch_up)

    def close(self, last: int) -> None:
        """The epoch ended with commit `last`."""
        self.closed, self.last = True, last
        self.tell(EndEpoch(last))

    def recorded(self, barrier: int) -> None:
        """What was persisted up to `barrier` is on disk: what waited for it leaves, then the engine hears of it."""
        if not self.alive:
            return
        self.durable = barrier
        if self._sends:
            waiting, self._sends = self._sends, []
            for send in waiting:
                self._send(send)
        if self._deliveries:
            self._deliver()
        self.tell(Durable(barrier))

    # What actions ask. ------------------------------------------------------------------------------------------------

    def _send(self, send: Send) -> None:
        if send.after > self.durable:
            self._sends.append(send)
        else:
            self.member.speak(self.epoch, send)

    def _queue(self, deliver: Deliver) -> None:
        self._deliveries.append(deliver)
        self._deliver()

    def _deliver(self) -> None:
        while self._deliveries and self._deliveries[0].after <= self.durable:
            commit = self._deliveries.popleft().commit
            if not self.closed:
                self.unapplied += 1
                self.member.deliver(self, commit)

    def _persist(self, persist: Persist) -> None:
        self.barriers = persist.barrier
        batch = {self.prefix + key: value for key, value in persist.batch.items()}
        self.member.write(self, persist.barrier, batch)

    def _pull(self, pull: Pull) -> None:
        self._post(self._tempo.pull(), self._give, pull)

    def _give(self, pull: Pull) -> None:
        if not self.alive:
            return
        self._ready = False
        if self.closed:
            self.tell(Payload((), b""))
            return
        items = self.member.pull(min(pull.limit, PULL_MOST))
        self.tell(Payload(items, self.member.system(self.epoch, pull.round)))
        if self.member.has_ready():
            self.payload_ready()

    def _verify(self, verify: Verify) -> None:
        ok = self.member.around.holds(verify.signatures, verify.payload)
        self._post(self._tempo.verify(), self.tell, Verified(verify.id, ok))

    def _sign(self, sign: Sign) -> None:
        signature = self.member.sign(self.epoch, sign)
        self._post(self._tempo.sign(), self.tell, Signed(sign.slot, signature))

    def _load(self, load: Load) -> None:
        found = self.member.records.scan(self.prefix + load.start, self.prefix + load.stop, load.limit)
        records = tuple((key[8:], value) for key, value in found)
        self._post(self._tempo.load(), self.tell, Loaded(load.id, records))

    def _set(self, timer: SetTimer) -> None:
        if self._timers.get(timer.name) != timer.at:
            self._timers[timer.name] = timer.at
            self._wind(timer.name, timer.at)

    def _cancel(self, timer: CancelTimer) -> None:
        self._timers.pop(timer.name, None)

    def wind(self) -> None:
        """The clock was set: see anew when each timer is due."""
        for name, at in self._timers.items():
            self._wind(name, at)

    def _wind(self, name: str, at: int) -> None:
        self._post(self.member.clock.wait(self.member.around.heap.now, at), self._ring, name, at)

    def _ring(self, name: str, at: int) -> None:
        if not self.alive or self._timers.get(name) != at:
            return
        wait = self.member.clock.wait(self.member.around.heap.now, at)
        if wait and self.member.clock.read(self.member.around.heap.now) < at:
            self._post(wait, self._ring, name, at)
        else:
            del self._timers[name]
            self.tell(Timer(name))

    def _catch_up(self) -> None:
        while self.alive and self._backlog and self.unapplied < UNAPPLIED:
            peer, message = self._backlog.popleft()
            self.tell(Received(peer, message))

    def _note(self, note: Note) -> None:
        self.notes[note.name] = note.value

    def _accuse(self, accuse: Accuse) -> None:
        self.member.around.accused(self.member.place, accuse.member)
