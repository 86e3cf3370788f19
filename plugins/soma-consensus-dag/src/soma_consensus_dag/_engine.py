"""The engine: events in, actions out. What it knows lies in its parts; here is who hears of what.

A turn ends every step: what is certified or decided is ordered and handed on, our next block is begun if it is time,
and what is missing is asked for. Rules D48 to D61 of ``specs/70-consensus-dag.md``.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from attrs import evolve

from soma_core.api import (
    Action,
    Applied,
    Durable,
    EndEpoch,
    Event,
    Loaded,
    Note,
    Payload,
    PayloadReady,
    PeerDown,
    PeerUp,
    Received,
    Setup,
    Signed,
    Start,
    Timer,
    Verified,
)
from soma_core.api.encoding import encode
from soma_core.errors import CorruptionError, DecodeError

from . import _messages as messages
from ._asker import BLOCK, RECOVER, STILL, Asker
from ._author import Author
from ._beginning import Beginning, uints
from ._committee import members_of
from ._delivery import Delivery
from ._intake import Intake
from ._jump import Jump
from ._keys import GROUND, TIP
from ._library import Library
from ._ordering import Made
from ._outbox import Outbox
from ._parts import make
from ._shelf import Shelf
from ._snapshot import Table, pack, refused, unpack

if TYPE_CHECKING:
    from . import Config, Params

AHEAD: Final = 16
"""Commits that the chain may be behind; then nothing is ordered and no block is made until it has come up."""

UNUSED: Final = 64
"""Rounds that somebody alone may be ahead of the commits that its chain has applied."""
KEPT_DEPTHS: Final = 4
"""Times `gc_depth` that commits are kept on disk for whoever comes anew, at least."""

_BROKEN: Final = "stop, and compare this node's records with its peers': more than a third of the stake lies"


@final
class DagEngine:
    """An engine of one epoch. Silent if we are not in the committee."""

    def __init__(self, config: "Config", params: "Params", setup: Setup) -> None:
        self._made_with = config, params, setup
        self._ground = 0
        self._outside = setup.me is None
        self._beginning = self._build(Outbox([p for p in range(len(setup.committee)) if p != setup.me]))
        self._delivery = Delivery(self._parts.out, setup.first - 1)
        self._running = False
        self._seen = (0, 0, 0, 0)  # what there was when the order was last looked at

    def _build(self, out: Outbox) -> Beginning:
        """New parts, and who works with them."""
        config, params, setup = self._made_with
        self._parts = make(config, params, setup, out, self._ground)
        self._intake = Intake(self._parts)
        shelf = Shelf(config.keep_commits, KEPT_DEPTHS * params.gc_depth)
        self._library = Library(self._parts, self._intake, shelf)
        self._author = Author(self._parts, self._intake, self._library)
        self._asker = Asker(self._parts, self._intake)
        return Beginning(self._parts, self._intake)

    def step(self, event: Event, now: int, /) -> Sequence[Action]:
        """React. Raises `CorruptionError` if what is on disk, or what a quorum says, cannot be."""
        hear = self._HEAR.get(type(event))
        if self._outside or hear is None:
            return ()
        quiet = hear(self, event, now)
        if self._running and not quiet:
            self._turn(now)
        return self._parts.out.take()

    def snapshot(self) -> bytes:
        """All that `step` reads and writes, as bytes."""
        parts, table = self._parts, Table()
        state = [
            parts.clock.dump(),
            parts.manager.dump(table),
            parts.ordering.dump(table),
            parts.proposer.dump(),
            parts.fetcher.dump(),
            parts.votes.dump(),
            parts.catch_up.dump(table),
            parts.recovery.dump(),
            self._intake.dump(table),
            self._library.dump(),
            self._author.dump(table),
            self._beginning.dump(table),
            [parts.out.barrier, parts.out.asked],
            [self._ground, self._made_with[2].first],
            [self._running, self._delivery.dump()],
            self._asker.dump(),
        ]
        return pack(table, state)

    def restore(self, snapshot: bytes, /) -> None:
        """Become the engine that gave `snapshot`. Raises `DecodeError`, and changes nothing, if no engine gave it."""
        other = DagEngine(*self._made_with)
        try:
            other._load(snapshot)
            same = other.snapshot() == snapshot
        except (DecodeError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise refused() from error
        if not same:
            raise refused()
        self.__dict__ = other.__dict__

    def _load(self, snapshot: bytes) -> None:
        table, wires, state = unpack(snapshot)
        if [self._ground, self._made_with[2].first] != state[-3]:
            self._begin_at(*state[-3])
        parts = self._parts
        table.read(parts.format, wires)
        clock, manager, ordering, proposer, fetcher, votes, catch_up, recovery, *rest = state
        intake, library, author, beginning, (parts.out.barrier, parts.out.asked), _ground, own, asker = rest
        parts.clock.load(clock)
        parts.manager.load(manager, table)
        parts.ordering.load(ordering, table)
        parts.proposer.load(proposer)
        parts.fetcher.load(fetcher)
        parts.votes.load(votes)
        parts.catch_up.load(catch_up, table)
        parts.recovery.load(recovery)
        self._intake.load(intake, table)
        self._library.load(library)
        self._author.load(author, table)
        self._beginning.load(beginning, table)
        self._running, delivery = own
        self._delivery.load(delivery)
        self._asker.load(asker)

    # What happens; True: nothing follows from it that a turn would do -------------------------------------------------

    def _started(self, event: Start, now: int) -> None:
        self._delivery.apply(event.applied)
        applied, first = self._delivery.applied, self._made_with[2].first
        if GROUND in event.records:
            self._begin_at(*uints(event.records[GROUND], 2))
        elif TIP not in event.records and applied >= first and not self._parts.out.others:
            self._begin_anew(applied - first + 1)
        self._parts.recovery.number = now
        self._beginning.start(event.records)

    def _begin_anew(self, used: int) -> None:
        """Alone, and all that we knew is lost but what the chain has applied: go on after that, in rounds not used."""
        first = self._delivery.applied + 1
        self._begin_at(used + UNUSED, first)
        self._parts.out.persist({GROUND: encode([used + UNUSED, first])})

    def _begin_at(self, ground: int, first: int) -> None:
        config, params, setup = self._made_with
        asker = self._asker
        self._made_with = config, params, evolve(setup, first=first)
        self._ground = ground
        self._beginning = self._build(self._parts.out)
        self._asker.load(asker.dump())

    def _received(self, event: Received, now: int) -> bool:
        if not self._running or event.peer not in self._parts.out.others:
            return True
        try:
            return self._read(event.peer, messages.unpack(event.message), now)
        except DecodeError:
            self._parts.out.add(Note("refused", event.peer))
            return True

    def _verified(self, event: Verified, now: int) -> None:
        self._intake.checked(event.id, now, ok=event.ok)

    def _peer_up(self, event: PeerUp, _now: int) -> None:
        if event.peer in self._parts.out.others:
            self._asker.connected |= 1 << event.peer
            if self._running:
                self._asker.greet(event.peer)

    def _peer_down(self, event: PeerDown, _now: int) -> None:
        if event.peer in self._parts.out.others:
            self._asker.connected &= ~(1 << event.peer)

    def _payload_ready(self, _event: PayloadReady, _now: int) -> None:
        self._author.ready = True

    def _payload(self, event: Payload, now: int) -> None:
        self._author.pulled(event.items, event.system, now)

    def _signed(self, event: Signed, now: int) -> None:
        if self._ground and not event.signature and not self._parts.ordering.recent:  # it was not the first time
            self._begin_anew(self._ground)
            self._running = False
            self._beginning.start({})
        else:
            self._author.signed(event.slot, event.signature, now)

    def _durable(self, event: Durable, _now: int) -> bool:
        self._author.durable(event.barrier)
        return True

    def _loaded(self, event: Loaded, now: int) -> None:
        if self._running:
            self._library.loaded(event.id, event.records)
        elif event.id == 0:
            self._beginning.loaded(event.records)
            if self._beginning.done:
                self._resume(now)

    def _chain_applied(self, event: Applied, _now: int) -> None:
        self._apply_up_to(event.index)

    def _end(self, event: EndEpoch, _now: int) -> None:
        self._apply_up_to(event.last)  # and go on: others may not have what decided it, and blocks of ours show it

    def _apply_up_to(self, index: int) -> None:
        self._delivery.apply(index)
        self._parts.ordering.applied(self._delivery.reached)

    def _timer(self, event: Timer, now: int) -> None:
        self._asker.timers.pop(event.name, None)
        if event.name == RECOVER and self._running:
            self._asker.ask_for_ours(self._asker.connected)
            self._asker.recover(now)
        elif event.name == STILL and self._running:
            self._asker.ask_for_round(now)

    _HEAR: ClassVar[Mapping[type, Callable[["DagEngine", Any, int], bool | None]]] = {
        Start: _started,
        Received: _received,
        Verified: _verified,
        PeerUp: _peer_up,
        PeerDown: _peer_down,
        PayloadReady: _payload_ready,
        Payload: _payload,
        Signed: _signed,
        Durable: _durable,
        Loaded: _loaded,
        Applied: _chain_applied,
        EndEpoch: _end,
        Timer: _timer,
    }

    def _read(self, peer: int, message: messages.Message, now: int) -> bool:
        match message:
            case messages.Blocks(wires):
                return self._intake.receive(peer, wires, now)
            case messages.Want(refs):
                self._library.serve_blocks(peer, refs)
            case messages.Since(round_):
                self._library.serve_ours(peer, round_)
            case messages.AskLast(number):
                known = self._intake.latest.get(peer)
                self._parts.out.send(messages.Last(number, b"" if known is None else known.wire), peer)
                self._asker.ask_for_ours(1 << peer)  # it has just started, too: what we asked before may be lost
            case messages.Last(number, wire):
                self._asker.hear_of_ours(peer, number, wire)
                return False
            case messages.AskCommits(first):
                self._library.serve_commits(peer, first)
            case messages.Commits() as answer:
                self._intake.verify(self._parts.catch_up.read(answer, self._parts.ordering.index))
        return True

    # The start --------------------------------------------------------------------------------------------------------

    def _resume(self, now: int) -> None:
        """Go on from what was read."""
        base, applied = self._beginning.base, self._delivery.applied
        if applied < base and self._parts.committee.size == 1:
            raise CorruptionError(
                f"consensus-dag: the chain has applied commit {applied}, the consensus database begins after {base}",
                "the chain's database is older than the consensus database: restore the newer backup",
            )
        again = self._beginning.resume(max(applied, base), now)
        if applied < base:  # others have them: until the chain has got them there, nothing is delivered
            self._delivery.begin_after(self._parts.ordering.index)
            again = []
        draft = self._beginning.draft
        if draft is not None:
            self._author.time = draft.time
            if draft.ref not in self._parts.manager.blocks:
                self._author.resume(draft)
        self._library.recall(self._parts.manager.blocks.values(), self._parts.ordering.recent)
        self._running = True
        for commit in again:
            self._delivery.give(commit)
        for peer in members_of(self._asker.connected):
            self._asker.greet(peer)
        self._asker.recover(now)

    def _jump(self, jump: Jump, now: int) -> None:
        """Begin again after a commit that we never made, with what others proved."""
        former, author, asker = self._parts, self._author, self._asker
        beginning = self._build(former.out)
        parts = self._parts
        try:
            beginning.adopt(jump)
            beginning.resume(jump.index, now)
        except DecodeError as error:
            raise CorruptionError(
                f"consensus-dag: a quorum voted for what is no record: {error.what}", _BROKEN
            ) from error
        parts.recovery.load(former.recovery.dump())
        parts.votes.load(former.votes.dump())
        parts.proposer.load(former.proposer.dump())
        parts.proposer.floor = max(parts.proposer.floor, author.present)
        self._author.ready, self._author.time = author.ready, author.time
        self._asker.load(asker.dump())
        self._delivery.begin_after(jump.index)
        self._intake.unsaved = jump.blocks
        self._library.keep(parts.ordering.recent, jump.index)
        self._library.pass_over()
        for block in sorted(former.manager.blocks.values(), key=lambda block: block.ref):
            self._intake.know(block)
            self._intake.enter(parts.manager.offer(block), now)

    # A turn -----------------------------------------------------------------------------------------------------------

    def _turn(self, now: int) -> None:
        jump = self._parts.catch_up.jump
        if jump is not None and jump.is_complete:
            self._jump(jump, now)
        behind = self._asker.is_behind
        self._order(now)
        if self._parts.recovery.done and not behind and not self._delivery.waits and self._has_room:
            at = self._author.begin(now)
            if at:
                self._asker.wake(BLOCK, at)
        self._asker.fetch(now)
        self._asker.watch(now)
        if behind:
            self._asker.ask_for_commits(now)

    @property
    def _has_room(self) -> bool:
        return self._delivery.waits or self._parts.ordering.index - self._delivery.applied < AHEAD

    def _order(self, now: int) -> None:
        """Order what can be ordered, hand it on, and let the horizon follow."""
        parts = self._parts
        while self._has_news() and self._has_room:
            made = self._by_records() or parts.ordering.by_rule()
            if not made:
                return
            self._library.hand_on(made, self._delivery)
            parts.ordering.applied(self._delivery.reached)
            for one in made:
                parts.catch_up.ordered(one.record.index)
                self._intake.ordered(one.record.blocks)
            horizon = parts.linearizer.horizon
            gone = [vertex.ref for vertex in parts.dag.drop(horizon)]
            parts.manager.drop(gone)
            parts.fetcher.forget(horizon)
            self._intake.ordered(gone)
            self._intake.forget(horizon)
            self._intake.enter(parts.manager.settle(horizon), now)

    def _has_news(self) -> bool:
        """Whether anything has come since the last time that could decide something."""
        certified = self._parts.catch_up.certified
        news = (
            self._parts.dag.added,
            self._delivery.applied,
            len(certified),
            self._parts.ordering.index if certified else 0,
        )
        known, self._seen = self._seen, news
        return news != known

    def _by_records(self) -> list[Made]:
        certified = self._parts.catch_up.certified
        made = self._parts.ordering.by_record(certified[0]) if certified else None
        return [] if made is None else [made]
