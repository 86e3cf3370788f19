"""The engine: events in, actions out. What it knows lies in its parts; here is who tells whom.

A turn ends every step: whatever is certified or decided is ordered and delivered, then our next block is begun if it is
time. A block of ours takes four steps: payload is pulled, the header is signed, block and ancestors are written, and only
behind that barrier is it sent. Rules D48 to D60 of ``specs/70-consensus-dag.md``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, final

from attrs import define, evolve, field, frozen

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
    PeerDown,
    PeerUp,
    Pull,
    Received,
    SetTimer,
    Setup,
    Sign,
    Signed,
    Start,
    Timer,
    Verified,
    Verify,
)
from soma_core.api.encoding import decode, encode
from soma_core.errors import CorruptionError, DecodeError

from . import _messages as messages
from ._block import MAX_VOTES, Block, Format, InvalidBlockError, Vote, assemble
from ._catchup import AGAIN_MS as CATCH_UP_MS
from ._catchup import BATCH, BEHIND, CatchUp, Proven
from ._clock import Clock
from ._committee import Committee, members_of
from ._committer import Committer, Rule
from ._dag import Dag, Ref, to_ref
from ._fetcher import Fetcher
from ._keys import BLOCKS_END, OWN, TIP, block_key, from_round, proof_key, record_key
from ._linearizer import Linearizer, Record, unpack_record
from ._manager import Manager
from ._ordering import Made, Ordering
from ._outbox import Outbox
from ._proposer import Proposer
from ._recovery import AGAIN_MS as RECOVERY_MS
from ._recovery import Recovery
from ._schedule import Schedule
from ._votes import Votes

if TYPE_CHECKING:
    from . import Config, Params

AHEAD: Final = 16
"""Commits that the chain may be behind; then nothing is ordered and no block is made until it has come up."""
PENDING_MOST: Final = 1024
"""Messages whose signatures are being verified; what comes beyond is lost."""
LOADS_MOST: Final = 64
"""Questions of others that wait for the disk; what comes beyond is lost."""
PAGE: Final = 256
"""Records that are loaded at a time."""
BLOCK_PAGE: Final = 64
"""Blocks that are loaded at a time."""

_MEND: Final = "restore a backup of it, or delete the consensus database: this node then asks its peers what it said"
_BLOCK, _FETCH, _CATCH_UP, _RECOVER = "block", "fetch", "catch-up", "recover"


@frozen
class _Checking:
    """Blocks of a message of `peer` whose signatures are being verified; `last`: it answers our question for our own."""

    peer: int
    blocks: tuple[Block, ...]
    last: bool = False


@frozen
class _Signing:
    """Our next block, but for its signature."""

    round: int
    header: bytes
    ancestors: tuple[Ref, ...]
    items: tuple[bytes, ...]


@frozen
class _Serving:
    """A question of `peer` that waits for the disk: for blocks (`first` 0), else for commits from `first` on.

    `proof`: the votes that were found for the last of them.
    """

    peer: int
    first: int = 0
    proof: bytes = b""


@define(eq=False)
class _Loading:
    """What is read at the start: records `first` to `index`, then the blocks of the rounds from `low` on."""

    index: int
    first: int
    low: int
    schedule: Any
    records: list[Record] = field(factory=list)
    blocks: list[Block] = field(factory=list)

    @property
    def wants_records(self) -> bool:
        """Whether there are records that have not been read."""
        return bool(self.first) and (not self.records or self.records[-1].index < self.index)


@final
class DagEngine:
    """An engine of one epoch. Silent if we are not in the committee."""

    def __init__(self, config: "Config", params: "Params", setup: Setup) -> None:
        self._config, self._params, self._setup = config, params, setup
        self._me = -1 if setup.me is None else setup.me
        members = setup.committee
        self._keys = tuple(member.key for member in members)
        committee = self._committee = Committee([member.power for member in members])
        self._format = Format(setup.chain, setup.epoch, committee)
        self._out = Outbox([place for place in range(committee.size) if place != self._me])
        self._dag = Dag()
        self._dag.drop(0)  # genesis blocks need no place in it
        self._manager = Manager(self._dag)
        self._clock = Clock(committee, 1)
        self._schedule = Schedule(
            committee,
            setup.chain + setup.epoch.to_bytes(8, "big"),
            count=params.leaders_per_round,
            interval=params.schedule_commits,
            bad_percent=params.schedule_bad_percent,
        )
        committer = Committer(self._dag, committee, Rule(wave=params.wave_length), self._schedule.leaders)
        linearizer = Linearizer(self._dag, committee, params.gc_depth)
        self._committer, self._linearizer = committer, linearizer
        self._ordering = Ordering(setup.first, self._dag, self._manager, committer, linearizer, self._schedule)
        self._proposer = Proposer(
            self._me, config, committee, self._dag, self._clock, self._schedule, params.gc_depth // 2
        )
        self._fetcher = Fetcher(self._me, committee.size)
        self._votes = Votes(committee)
        self._catch_up = CatchUp(committee, self._format)
        self._recovery = Recovery(max(self._me, 0), committee)
        self._connected = 0
        self._latest: dict[int, Block] = {}  # the block of the highest round of each member, accepted or not
        self._open: dict[Ref, None] = {}  # accepted blocks with payload that are in no sub-DAG
        self._accused: set[tuple[int, int]] = set()
        self._unsaved: list[Block] = []
        self._proofs: dict[int, tuple[bytes, ...]] = {}
        self._unvoted: list[Vote] = []
        self._checking: dict[int, _Checking | Proven] = {}
        self._in_check: dict[Ref, None] = {}
        self._serving: dict[int, _Serving] = {}
        self._loading: _Loading | None = None
        self._number = 0  # of the last question to the driver
        self._pulling = 0  # the round we wait for payload for
        self._signing: _Signing | None = None
        self._ready = False  # payload waits
        self._applied = setup.first - 1
        self._time = 0  # of our latest block
        self._own: Ref = self._format.genesis[max(self._me, 0)]  # our latest block that we remember
        self._running = False
        self._ended = False
        self._timers: dict[str, int] = {}

    def step(self, event: Event, now: int, /) -> Sequence[Action]:
        """React. Raises `CorruptionError` if what is on disk, or what a quorum says, cannot be."""
        if self._me < 0:
            return ()
        self._hear(event, now)
        if self._running:
            self._turn(now)
        return self._out.take()

    def snapshot(self) -> bytes:
        raise NotImplementedError

    def restore(self, snapshot: bytes, /) -> None:
        raise NotImplementedError

    # What happens -----------------------------------------------------------------------------------------------------

    def _hear(self, event: Event, now: int) -> None:  # noqa: C901, PLR0912  # a line an event
        match event:
            case Start(records, applied):
                self._start(records, applied, now)
            case Received(peer, message) if self._running and peer != self._me and 0 <= peer < self._committee.size:
                try:
                    self._read(peer, messages.unpack(message), now)
                except DecodeError:
                    self._out.add(Note("refused", peer))
            case Verified(number, ok):
                self._checked(number, now, ok=ok)
            case PeerUp(peer) if 0 <= peer < self._committee.size and peer != self._me:
                self._connected |= 1 << peer
                if self._running:
                    self._greet(peer)
            case PeerDown(peer) if 0 <= peer < self._committee.size:
                self._connected &= ~(1 << peer)
            case PayloadReady():
                self._ready = True
            case Payload(items, system) if self._pulling:
                self._sign(items, system, now)
            case Signed(slot, signature) if self._signing is not None and slot == _slot(self._signing.round):
                self._publish(signature, now)
            case Loaded(number, records):
                self._loaded(number, records, now)
            case Applied(index):
                self._applied = max(self._applied, index)
                self._ordering.applied(self._applied)
            case EndEpoch():
                self._ended = True
            case Timer(name):
                self._timers.pop(name, None)
                if name == _RECOVER and self._running and not self._recovery.done:
                    self._ask_for_ours(self._committee.everybody & ~self._recovery.answered)
            case Durable():
                pass  # the driver holds back what must wait

    def _read(self, peer: int, message: messages.Message, now: int) -> None:
        match message:
            case messages.Blocks(wires):
                self._receive(peer, wires, now)
            case messages.Want(refs):
                self._serve_blocks(peer, refs)
            case messages.Since(round_):
                self._serve_ours(peer, round_)
            case messages.AskLast(number):
                known = self._latest.get(peer)
                self._out.send(messages.Last(number, b"" if known is None else known.wire), peer)
            case messages.Last(number, wire):
                self._hear_of_ours(peer, number, wire)
            case messages.AskCommits(first):
                self._load(_Serving(peer, first), proof_key(first), proof_key(first + BATCH), BATCH)
            case messages.Commits() as answer:
                proven = self._catch_up.read(answer, self._ordering.index, self._ordering.digest)
                self._verify(proven, proven.stubs, payload=False)

    # Blocks of others -------------------------------------------------------------------------------------------------

    def _receive(self, peer: int, wires: Sequence[bytes], now: int) -> None:
        unchecked = []
        for wire in wires:
            try:
                block = self._format.parse(wire)
            except InvalidBlockError:
                self._out.add(Note("invalid", peer))
                continue
            ref = block.ref
            if ref in self._manager or ref in self._in_check or block.round <= self._dag.horizon:
                continue
            if ref in self._catch_up.trusted:
                self._take(block, peer, now)
            elif block.author == peer or ref in self._fetcher:
                unchecked.append(block)
        if unchecked:
            self._verify(_Checking(peer, tuple(unchecked)), unchecked)

    def _verify(self, what: "_Checking | Proven", blocks: Sequence[Block], *, payload: bool = True) -> None:
        if len(self._checking) >= PENDING_MOST:
            self._out.add(Note("unchecked", len(blocks)))
            return
        self._number += 1
        self._checking[self._number] = what
        if isinstance(what, _Checking):
            self._in_check.update(dict.fromkeys(block.ref for block in blocks))
        signed = tuple((self._keys[block.author], block.ref[2], block.signature) for block in blocks)
        items = tuple(item for block in blocks for item in block.items) if payload else ()
        self._out.add(Verify(self._number, signed, items))

    def _checked(self, number: int, now: int, *, ok: bool) -> None:
        what = self._checking.pop(number, None)
        match what:
            case Proven():
                if ok:
                    self._catch_up.prove(what, self._ordering.index, self._ordering.digest)
                return
            case None:
                return
        for block in what.blocks:
            self._in_check.pop(block.ref, None)
        if ok:
            for block in what.blocks:
                self._take(block, what.peer, now)
                if what.last:
                    self._recovery.answer(what.peer, block.round)
        elif len(what.blocks) > 1:  # which of them it is
            for block in what.blocks:
                self._verify(_Checking(what.peer, (block,), what.last), (block,))
        else:
            self._out.add(Note("forged", what.peer))

    def _take(self, block: Block, peer: int, now: int) -> None:
        """A valid block."""
        self._votes.hear(block)
        if block.author not in self._latest or self._latest[block.author].round < block.round:
            self._latest[block.author] = block
        if block.round > self._clock.round + self._params.gc_depth and block.ref not in self._catch_up.trusted:
            return  # it comes again when we have caught up
        self._entered(self._manager.offer(block), now)
        if block.ref not in self._manager.blocks and block.ref in self._manager:
            self._fetcher.miss((ref for ref in block.ancestors if self._manager.misses(ref)), peer, now)
        self._fetcher.got(block.ref)

    def _entered(self, blocks: Iterable[Block], now: int) -> None:
        """Blocks are in the graph."""
        for block in blocks:
            self._unsaved.append(block)
            if block.sizes:
                self._open[block.ref] = None
            if self._clock.note(block.round, block.author):
                self._proposer.entered_at = now
            self._proofs.update(self._votes.gather(block))
            twins = self._dag.slot(block.round, block.author)
            if len(twins) > 1 and (block.round, block.author) not in self._accused:
                self._accused.add((block.round, block.author))
                first, second = (self._manager.blocks[vertex.ref].stub for vertex in twins[:2])
                self._out.add(Accuse(block.author, first, second))
            if block.author == self._me and block.round > self._own[0]:  # said before we lost our memory
                self._proposer.floor = max(self._proposer.floor, block.round)
                self._own = block.ref

    # A turn -----------------------------------------------------------------------------------------------------------

    def _turn(self, now: int) -> None:
        if not self._ended:
            self._order(now)
            self._propose(now)
        self._fetch(now)
        self._ask_for_commits(now)

    def _order(self, now: int) -> None:
        """Order what can be ordered, hand it on, and let the horizon follow."""
        while self._ordering.index - self._applied < AHEAD:
            made: list[Made] = []
            while self._catch_up.certified and (one := self._ordering.by_record(self._catch_up.certified[0])):
                self._catch_up.ordered(one.record.index)
                made.append(one)
            if not made:
                made = self._ordering.by_rule()
            if not made:
                return
            self._hand_on(made)
            horizon = self._linearizer.horizon
            gone = [vertex.ref for vertex in self._dag.drop(horizon)]
            self._manager.drop(gone)
            self._fetcher.forget(horizon)
            for ref in gone:
                self._open.pop(ref, None)
            self._accused = {place for place in self._accused if place[0] > horizon}
            self._entered(self._manager.advance(horizon), now)

    def _hand_on(self, made: Sequence[Made]) -> None:
        batch: dict[bytes, bytes | None] = {}
        for one in made:
            record = one.record
            batch[record_key(record.index)] = record.pack()
            self._unvoted.append((record.index, record.digest))
            self._catch_up.ordered(record.index)
            for ref in record.blocks:
                self._open.pop(ref, None)
        batch[TIP] = encode(self._tip())
        barrier = self._save(batch)
        for one in made:
            self._out.add(Deliver(one.commit, after=barrier))

    def _tip(self) -> list[Any]:
        first, low = self._ordering.base(self._applied)
        return [self._ordering.index, first, low, self._schedule.dump()]

    def _save(self, batch: dict[bytes, bytes | None]) -> int:
        """Write `batch`, and the blocks and proofs that came since the last time."""
        for block in self._unsaved:
            batch[block_key(block.ref)] = block.wire
        for index, stubs in self._proofs.items():
            batch[proof_key(index)] = encode(list(stubs))
        self._unsaved, self._proofs = [], {}
        return self._out.persist(batch)

    # Blocks of ours ---------------------------------------------------------------------------------------------------

    @property
    def _is_behind(self) -> bool:
        return self._votes.agreed > self._ordering.index + BEHIND

    def _propose(self, now: int) -> None:
        if not self._recovery.done or self._pulling or self._signing is not None or self._is_behind:
            return
        if self._ordering.index - self._applied >= AHEAD:
            return
        busy = self._ready or bool(self._open) or bool(self._ordering.waiting)
        plan = self._proposer.plan(now, busy=busy)
        if plan.at:
            self._wake(_BLOCK, plan.at)
        if plan.round:
            self._pulling = plan.round
            no_room = plan.empty or bool(self._ordering.waiting)
            if not no_room:
                self._ready = False
            self._out.add(Pull(0 if no_room else self._format.payload_most, plan.round))

    def _sign(self, items: tuple[bytes, ...], system: bytes, now: int) -> None:
        round_, self._pulling = self._pulling, 0
        if self._ended:
            return
        others = self._format.genesis if round_ == 1 else self._proposer.ancestors(round_)
        ancestors = (self._own, *(ref for ref in others if ref[1] != self._me))
        votes, self._unvoted = self._unvoted[:MAX_VOTES], self._unvoted[MAX_VOTES:]
        self._time = max(self._time, now)
        header = self._format.header(round_, self._me, self._time, ancestors, votes, system, items)
        self._signing = _Signing(round_, header, ancestors, items)
        self._out.add(Sign(_slot(round_), header))

    def _publish(self, signature: bytes, now: int) -> None:
        assert self._signing is not None
        signing, self._signing = self._signing, None
        if not signature:  # the signer remembers a block of ours that we do not
            self._proposer.floor = max(self._proposer.floor, signing.round)
            self._out.add(Note("refused to sign", signing.round))
            return
        block = self._format.parse(assemble(signing.header, signature, signing.items))
        self._proposer.made(block.round, block.ancestors, now)
        self._latest[self._me] = block
        self._own = block.ref
        self._entered(self._manager.offer(block), now)
        barrier = self._save({OWN: encode([list(block.ref), block.time])})
        self._out.send(messages.Blocks((block.wire,)), after=barrier)

    # What others ask, and what we ask of them -------------------------------------------------------------------------

    def _greet(self, peer: int) -> None:
        """Ask a member that has come for what we missed of it."""
        known = self._latest.get(peer)
        self._out.send(messages.Since(0 if known is None else known.round), peer)
        if not self._recovery.done:
            self._ask_for_ours(1 << peer & ~self._recovery.answered)

    def _ask_for_ours(self, members: int) -> None:
        asked = [place for place in members_of(members) if place != self._me]
        if asked:
            self._out.send(messages.AskLast(self._recovery.number), *asked)

    def _hear_of_ours(self, peer: int, number: int, wire: bytes) -> None:
        if self._recovery.done or number != self._recovery.number:
            return
        if not wire:
            self._recovery.answer(peer, 0)
            return
        block = self._format.parse(wire)
        if block.author != self._me:
            return
        if block.ref in self._manager:
            self._recovery.answer(peer, block.round)
        else:
            self._verify(_Checking(peer, (block,), last=True), (block,))

    def _serve_blocks(self, peer: int, refs: Sequence[Ref]) -> None:
        here = [self._manager.blocks[ref].wire for ref in refs if ref in self._manager.blocks]
        for message in messages.in_messages(here):
            self._out.send(message, peer)
        for ref in refs:
            if ref not in self._manager.blocks and 0 < ref[0] <= self._dag.horizon:
                self._load(_Serving(peer), block_key(ref), block_key(ref) + b"\0", 1)

    def _serve_ours(self, peer: int, round_: int) -> None:
        """Our blocks after a round, as far as they are in memory: what is older is found by what refers to it."""
        ours = [block for block in self._manager.blocks.values() if block.author == self._me and block.round > round_]
        for message in messages.in_messages(block.wire for block in sorted(ours, key=lambda block: block.ref)):
            self._out.send(message, peer)

    def _load(self, serving: _Serving, start: bytes, stop: bytes, limit: int) -> None:
        if len(self._serving) < LOADS_MOST:
            self._number += 1
            self._serving[self._number] = serving
            self._out.add(Load(self._number, start, stop, limit))

    def _loaded(self, number: int, records: Sequence[tuple[bytes, bytes]], now: int) -> None:
        if self._loading is not None:
            self._load_more(self._loading, records, now)
            return
        serving = self._serving.pop(number, None)
        if serving is None or not records:
            return
        if not serving.first:
            self._out.send(messages.Blocks(tuple(wire for _, wire in records)), serving.peer)
        elif not serving.proof:
            key, proof = records[-1]
            following = record_key(int.from_bytes(key[1:], "big") + 1)
            self._load(evolve(serving, proof=proof), record_key(serving.first), following, BATCH)
        else:
            stubs: Any = decode(serving.proof, max_size=1 << 24)
            self._out.send(messages.Commits(tuple(record for _, record in records), tuple(stubs)), serving.peer)

    def _fetch(self, now: int) -> None:
        for record in self._catch_up.certified:
            here = self._manager
            needed = (ref for ref in record.blocks if ref not in here and ref[0] > self._dag.horizon)
            self._fetcher.miss(needed, record.leader[1], now, soon=True)
        for peer, refs in self._fetcher.due(now, self._connected).items():
            self._out.send(messages.Want(tuple(refs)), peer)
        due = self._fetcher.next_due()
        if due is not None and self._connected:
            self._wake(_FETCH, max(due, now + 1))
        else:
            self._sleep(_FETCH)

    def _ask_for_commits(self, now: int) -> None:
        catch_up = self._catch_up
        if not self._is_behind or self._ended or len(catch_up.certified) >= BATCH:
            return
        due = catch_up.asked_at + CATCH_UP_MS
        if now < due:
            self._wake(_CATCH_UP, due)
            return
        ahead = [
            place
            for place in members_of(self._connected)
            if self._votes.highest[place] >= catch_up.next_index(self._ordering.index)
        ]
        if ahead:
            catch_up.asked_at, catch_up.asked = now, catch_up.asked + 1
            peer = ahead[catch_up.asked % len(ahead)]
            self._out.send(messages.AskCommits(catch_up.next_index(self._ordering.index)), peer)
            self._wake(_CATCH_UP, now + CATCH_UP_MS)

    # The start --------------------------------------------------------------------------------------------------------

    def _start(self, records: Mapping[bytes, bytes], applied: int, now: int) -> None:
        self._applied = max(self._applied, applied)
        self._recovery.number = now
        if OWN in records:
            match decode(records[OWN]):
                case [[*ref], int(time)]:
                    self._own, self._time = to_ref(ref), time
                    self._proposer.last = self._own[0]
                case _:
                    raise CorruptionError("consensus-dag: the record of our own block is none", _MEND)
        tip: Any = decode(records[TIP]) if TIP in records else None
        if tip is None:
            self._loading = _Loading(0, 0, 0, None)
            self._load_blocks(from_round(0))
            return
        index, first, low, schedule = tip
        self._loading = _Loading(index, first, low, schedule)
        self._out.add(Load(0, record_key(first), record_key(index + 1), PAGE))

    def _load_blocks(self, start: bytes) -> None:
        self._out.add(Load(0, start, BLOCKS_END, BLOCK_PAGE))

    def _load_more(self, loading: _Loading, found: Sequence[tuple[bytes, bytes]], now: int) -> None:
        if loading.wants_records:
            loading.records += [unpack_record(data) for _, data in found]
            if loading.wants_records and found:
                following = record_key(loading.records[-1].index + 1)
                self._out.add(Load(0, following, record_key(loading.index + 1), PAGE))
                return
            if loading.wants_records:
                raise CorruptionError(f"consensus-dag: record {loading.index} is not in the database", _MEND)
            self._load_blocks(from_round(loading.low))
            return
        loading.blocks += [self._format.parse(wire) for _, wire in found]
        if len(found) == BLOCK_PAGE:
            self._load_blocks(found[-1][0] + b"\0")
            return
        self._loading = None
        self._resume(loading, now)

    def _resume(self, loading: _Loading, now: int) -> None:
        """Go on from what was loaded, and hand on again what the chain has not applied."""
        self._dag.drop(max(0, loading.low - 1))
        for block in loading.blocks:  # in order of rounds
            self._entered(self._manager.offer(block), now)
            if block.author not in self._latest or self._latest[block.author].round < block.round:
                self._latest[block.author] = block
            self._votes.hear(block)
        self._unsaved, self._proofs = [], {}  # they are on disk
        own = self._latest.get(self._me)
        if own is not None:
            self._proposer.made(self._proposer.last, own.ancestors, 0)
        if loading.schedule is not None:
            self._schedule.load(loading.schedule, self._dag)
        again = self._ordering.resume(loading.records, self._applied)
        for ref in [ref for ref in self._open if self._ordering.has(ref)]:
            del self._open[ref]
        self._running = True
        for commit in again:
            self._out.add(Deliver(commit))
        for peer in members_of(self._connected):
            self._greet(peer)
        if not self._recovery.done:
            self._wake(_RECOVER, now + RECOVERY_MS)

    def _wake(self, name: str, at: int) -> None:
        if self._timers.get(name) != at:
            self._timers[name] = at
            self._out.add(SetTimer(name, at))

    def _sleep(self, name: str) -> None:
        if self._timers.pop(name, None) is not None:
            self._out.add(CancelTimer(name))


def _slot(round_: int) -> bytes:
    """What the signer calls a round: it signs one block in it, ever."""
    return round_.to_bytes(8, "big")
