"""Commits between peers: served as far as they are signed, asked for in order, from whoever is furthest.

What an entry proves is not this file's business: `apply` of the asker decides, and a peer whose entries prove nothing
is not asked again for a while. Rules N46 to N50 of ``specs/50-network.md``.
"""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final, Protocol, final

import trio
from attrs import define, frozen

from soma_core import records
from soma_core.api import PeerId
from soma_core.errors import DecodeError, SomaError, VerificationError

from ._message import MAX_PAYLOAD
from ._peers import Network
from ._requests import Refusal, Reply
from ._text import short, shown

ENTRIES: Final = "sync.entries"
LIMIT: Final = 256
"""Entries of one answer, at most."""
WAIT_MOST: Final = 20_000
"""Milliseconds a peer may be asked to wait for something new."""
WAIT: Final = 5_000
"""Milliseconds we ask for."""
BANISHED: Final = 30.0
"""Seconds a peer is not asked after its entries proved nothing."""
PAUSE: Final = 0.5
"""Seconds until the next try when nobody answered, with jitter of a half."""
SLACK: Final = 5.0
"""Seconds an answer may take beyond the wait it was asked for."""
FRAMING: Final = 16
"""Bytes of an answer's payload around its entries, at most."""

_log = logging.getLogger("soma.sync")


@frozen
class Entry:
    """A commit, its record, and signatures under the record ((signer, signature), …; none where a later one covers it).

    All opaque here.
    """

    index: int = records.uint()
    commit: bytes = records.octets()
    record: bytes = records.octets()
    signatures: tuple[tuple[bytes, bytes], ...] = ()


@frozen
class Entries:
    """The payload of an answer."""

    entries: tuple[Entry, ...] = ()


@frozen
class AskEntries:
    """Entries from `first` on; wait up to `wait_ms` for the first of them.

    `vouched`: those too that no quorum has signed yet, but members of whom one is honest.
    """

    first: int = records.uint()
    limit: int = records.uint(least=1, most=LIMIT)
    wait_ms: int = records.uint(most=WAIT_MOST)
    vouched: bool = False


@frozen
class Head:
    """The body of an answer: the last entry the peer has."""

    head: int = records.uint()


class CommitSource(Protocol):
    """What a node has to serve, to those whom a quorum must have signed it for, or to those who need less."""

    def head(self, *, vouched: bool) -> int:
        """The last entry."""
        ...

    async def entries(self, first: int, limit: int, max_bytes: int, *, vouched: bool) -> Sequence[Entry]:
        """Entries from `first` on: at least one, if there is one."""
        ...

    async def wait(self) -> None:
        """Return after the next change."""
        ...


class CommitFollower(Protocol):
    """Who takes commits."""

    def next(self) -> int:
        """The entry that is needed next."""
        ...

    def vouched(self) -> bool:
        """Whether no quorum need have signed it."""
        ...

    async def apply(self, entries: Sequence[Entry], /) -> None:
        """Take them. Raises `VerificationError` or `DecodeError` for entries that prove nothing."""
        ...


def serve_entries(network: Network, source: CommitSource) -> None:
    """Answer peers that ask for commits."""

    async def entries(_peer: PeerId, body: Mapping[str, Any], _payload: bytes) -> Reply:
        asked = records.structure(AskEntries, body)
        with trio.move_on_after(asked.wait_ms / 1000):
            while source.head(vouched=asked.vouched) < asked.first:
                await source.wait()
        # Before the entries are read: who says it has more than it gives is taken for a liar.
        head = source.head(vouched=asked.vouched)
        found = await source.entries(asked.first, asked.limit, MAX_PAYLOAD // 2, vouched=asked.vouched)
        fitting = tuple(_fitting(found))
        if found and not fitting:
            raise Refusal("refused", f"entry {asked.first} is larger than a message", "get a snapshot instead")
        return Reply(records.to_value(Head(head)), records.pack(Entries(fitting)))

    network.serve(ENTRIES, entries, channel="sync")


def _fitting(entries: Iterable[Entry]) -> Iterable[Entry]:
    """As many as one message carries."""
    room = MAX_PAYLOAD - FRAMING
    for entry in entries:
        room -= len(records.pack(entry))
        if room < 0:
            return
        yield entry


async def follow(network: Network, follower: CommitFollower, random: Random) -> None:
    """Ask for the commits that `follower` needs and hand them to it, for ever; one batch in memory at a time.

    What else than `VerificationError` and `DecodeError` its `apply` raises goes on.
    """
    guides = _Guides()
    while True:
        first = follower.next()
        changed = network.changed
        peer = guides.choose(network.peers, first)
        if peer is None:
            with trio.move_on_after(PAUSE):
                await changed.wait()
            continue
        asked = trio.current_time()
        try:
            asks = AskEntries(first, LIMIT, WAIT if guides.knows(peer) else 0, follower.vouched())
            head, entries = await _ask(network, peer, asks)
        except DecodeError as error:
            guides.banish(peer, error)
            continue
        except SomaError as error:
            _log.info("peer %s: no commits: %s", short(peer), error)
            guides.note(peer, 0)
            await trio.sleep(PAUSE * (0.5 + random.random()))
            continue
        guides.note(peer, head)
        if not entries and trio.current_time() - asked < PAUSE:
            await trio.sleep(PAUSE * (0.5 + random.random()))  # it did not wait for something new: we do
        if entries:
            try:
                await follower.apply(entries)
                if follower.next() <= first:
                    raise VerificationError("nothing of them could be applied")  # noqa: TRY301  # one handler
            except (VerificationError, DecodeError) as error:
                guides.banish(peer, error)


@define(eq=False)
class _Guide:
    """What is known of a peer: the last entry it said it has, and when it was asked (a count)."""

    head: float = math.inf
    asked: int = 0


@final
class _Guides:
    """Whom to ask: who has not been asked yet or has most of what is needed; where nobody has any, each in turn."""

    def __init__(self) -> None:
        self._known: dict[PeerId, _Guide] = {}
        self._banished: dict[PeerId, float] = {}
        self._asked = 0

    def choose(self, peers: Sequence[PeerId], first: int) -> PeerId | None:
        """Whom of `peers` to ask for entry `first`."""
        now = trio.current_time()
        self._banished = {peer: until for peer, until in self._banished.items() if until > now}
        self._known = {peer: self._known.get(peer) or _Guide() for peer in peers if peer not in self._banished}
        if not self._known:
            return None

        def order(peer: PeerId) -> tuple[float, int]:
            guide = self._known[peer]
            return (-guide.head if guide.head >= first else 0, guide.asked)

        return min(self._known, key=order)

    def knows(self, peer: PeerId) -> bool:
        """Whether the peer has been asked before."""
        return self._known[peer].asked > 0

    def note(self, peer: PeerId, head: int) -> None:
        """The peer was asked, and has entries up to `head`."""
        self._asked += 1
        self._known[peer].head, self._known[peer].asked = head, self._asked

    def banish(self, peer: PeerId, error: SomaError) -> None:
        """Do not ask this peer for a while."""
        _log.warning("peer %s: its commits prove nothing: %s", short(peer), shown(str(error)))
        self._banished[peer] = trio.current_time() + BANISHED


async def _ask(network: Network, peer: PeerId, asks: AskEntries) -> tuple[int, Sequence[Entry]]:
    """Head and entries of a peer. Raises `DecodeError` for entries that were not asked for, or are not there."""
    first, timeout = asks.first, asks.wait_ms / 1000 + SLACK
    reply = await network.request(peer, "sync", ENTRIES, records.to_value(asks), timeout=timeout)
    head = records.structure(Head, reply.body).head
    found = records.unpack(Entries, reply.payload).entries
    if len(found) > LIMIT or [entry.index for entry in found] != list(range(first, first + len(found))):
        raise DecodeError(f"entries from {first} on were asked for, others came")
    if bool(found) != (head >= first):
        raise DecodeError(f"{len(found)} entries from {first} on came from a peer that has {head}")
    return head, found
