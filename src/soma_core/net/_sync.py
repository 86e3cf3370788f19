"""Commits between peers: served up to the last checkpoint, asked for in order, from whoever is furthest.

What an entry proves is not this file's business: `apply` of the asker decides, and a peer whose entries prove nothing
is not asked again for a while.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any, Final, Protocol

import trio
from attrs import frozen

from soma_core import records
from soma_core.api import PeerId
from soma_core.errors import DecodeError, SomaError, VerificationError

from ._message import MAX_PAYLOAD
from ._peers import Network
from ._requests import Reply
from ._text import short

ENTRIES: Final = "sync.entries"
LIMIT: Final = 256
"""Entries of one answer, at most."""
WAIT_MOST: Final = 20_000
"""Milliseconds a peer may be asked to wait for something new."""
WAIT: Final = 5_000
BANISHED: Final = 30.0
"""Seconds a peer is not asked after its entries proved nothing."""
PAUSE: Final = 0.5
"""Seconds until the next try when nobody answered, with jitter of a half."""
SLACK: Final = 5.0
"""Seconds an answer may take beyond the wait it was asked for."""

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
    """Entries from `first` on; wait up to `wait_ms` for the first of them."""

    first: int = records.uint()
    limit: int = records.uint(least=1, most=LIMIT)
    wait_ms: int = records.uint(most=WAIT_MOST)


class CommitSource(Protocol):
    """What a node has to serve."""

    def head(self) -> int:
        """The last entry."""
        ...

    async def entries(self, first: int, limit: int, max_bytes: int) -> Sequence[Entry]:
        """Entries from `first` on."""
        ...

    async def wait(self) -> None:
        """Return after the next change."""
        ...


def serve_entries(network: Network, source: CommitSource) -> None:
    """Answer peers that ask for commits."""

    async def entries(_peer: PeerId, body: Mapping[str, Any], _payload: bytes) -> Reply:
        asked = records.structure(AskEntries, body)
        with trio.move_on_after(asked.wait_ms / 1000):
            while source.head() < asked.first:
                await source.wait()
        found = await source.entries(asked.first, asked.limit, MAX_PAYLOAD // 2)
        return Reply({"head": source.head()}, records.pack(Entries(tuple(found))))

    network.serve(ENTRIES, entries, channel="sync")


async def follow(
    network: Network,
    following: Callable[[], int],
    apply: Callable[[Sequence[Entry]], Awaitable[None]],
    random: Random,
) -> None:
    """Ask for commits from ``following()`` on and hand them to `apply`, for ever; one batch in memory at a time."""
    banished: dict[PeerId, float] = {}
    turn = 0
    while True:
        now = trio.current_time()
        peers = [peer for peer in network.peers if banished.get(peer, now) <= now]
        if not peers:
            changed = network.changed
            with trio.move_on_after(PAUSE):
                await changed.wait()
            continue
        peer = peers[turn % len(peers)]
        try:
            entries = await _ask(network, peer, following())
            await apply(entries)
        except (VerificationError, DecodeError) as error:
            _log.warning("peer %s: its commits prove nothing: %s", short(peer), error)
            banished[peer] = trio.current_time() + BANISHED
            turn += 1
        except SomaError as error:
            _log.info("peer %s: no commits: %s", short(peer), error)
            turn += 1
            await trio.sleep(PAUSE * (0.5 + random.random()))
        else:
            turn += not entries  # who had nothing new need not be the furthest
        banished = {peer: until for peer, until in banished.items() if until > trio.current_time()}


async def _ask(network: Network, peer: PeerId, first: int) -> Sequence[Entry]:
    body = records.to_value(AskEntries(first, LIMIT, WAIT))
    reply = await network.request(peer, "sync", ENTRIES, body, timeout=WAIT / 1000 + SLACK)
    found = records.unpack(Entries, reply.payload).entries
    if [entry.index for entry in found] != list(range(first, first + len(found))):
        raise DecodeError(f"entries from {first} on were asked for, others came")
    return found
