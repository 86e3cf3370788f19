"""Following commits: in order, from whoever is furthest, never long from who lies or stalls."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
import trio
from attrs import define, field
from net.peers_world import address, connected, node, peer_of
from trio.testing import MockClock

from soma_core.errors import CorruptionError, VerificationError
from soma_core.net import Entry, Network, Refusal, follow, serve_entries
from soma_core.net._message import MAX_PAYLOAD
from soma_core.net._sync import BANISHED, LIMIT, WAIT
from soma_memory import Fabric


def entry(index: int, size: int = 3) -> Entry:
    return Entry(index, b"c%d" % index + b"." * size, b"r%d" % index, ((b"\0\0", b"s" * 64),))


@define(eq=False)
class Chain:
    """What a peer has to serve. `asked`: (first, limit) of each request."""

    top: int = 0
    claims: int = 0
    """How many entries more it says it has."""
    unproved: int = 0
    """How many entries more it gives to who needs no quorum."""
    made: object = entry
    asked: list[tuple[int, int]] = field(factory=list)
    changed: trio.Event = field(factory=trio.Event)

    def head(self, *, vouched: bool) -> int:
        return self.top + self.claims + vouched * self.unproved

    async def entries(self, first: int, limit: int, _max_bytes: int, *, vouched: bool) -> Sequence[Entry]:
        self.asked.append((first, limit))
        return [self.made(index) for index in range(first, min(first + limit, self.top + vouched * self.unproved + 1))]

    async def wait(self) -> None:
        await self.changed.wait()

    def grow(self, top: int) -> None:
        self.top = top
        self.changed.set()
        self.changed = trio.Event()


@define(eq=False)
class Follower:
    """Applies entries that are right: `entry(index)`."""

    got: list[int] = field(factory=list)
    batches: list[int] = field(factory=list)
    seated: bool = False
    came: trio.Event = field(factory=trio.Event)

    def next(self) -> int:
        return len(self.got) + 1

    def vouched(self) -> bool:
        return self.seated

    async def apply(self, entries: Sequence[Entry]) -> None:
        for one in entries:
            if one.index != self.next() or one.record != b"r%d" % one.index:
                raise VerificationError(f"entry {one.index} proves nothing")
            self.got.append(one.index)
        self.batches.append(len(entries))
        self.came.set()
        self.came = trio.Event()

    async def reach(self, index: int) -> None:
        while len(self.got) < index:
            await self.came.wait()
        assert self.got == list(range(1, len(self.got) + 1))


@asynccontextmanager
async def following(*chains: Chain, fabric: Fabric | None = None) -> AsyncIterator[tuple[Network, Follower]]:
    """Node 1 follows the peers 2, 3, …, each with a chain."""
    fabric = fabric or Fabric(delay_ms=(1, 5))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(node(fabric, 1))
        for number, chain in enumerate(chains, 2):
            await stack.enter_async_context(
                node(fabric, number, [address(1, "/memory/1")], prepare=lambda n, c=chain: serve_entries(n, c))
            )
        await connected(one, *range(2, 2 + len(chains)))
        follower = Follower()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow, one, follower, Random(1))
            yield one, follower
            nursery.cancel_scope.cancel()


async def test_everything_comes_in_order_and_in_bounded_batches(autojump_clock: MockClock) -> None:
    chain = Chain(3 * LIMIT + 7)
    async with following(chain) as (_one, follower):
        await follower.reach(3 * LIMIT + 7)
        assert follower.batches == [LIMIT, LIMIT, LIMIT, 7]
        assert chain.asked[0] == (1, LIMIT)


async def test_who_needs_no_quorum_says_so_and_gets_more(autojump_clock: MockClock) -> None:
    async with following(Chain(5, unproved=3)) as (_one, follower):
        await follower.reach(5)
        await trio.sleep(2 * WAIT / 1000)
        assert len(follower.got) == 5
        follower.seated = True
        await follower.reach(8)
        await trio.sleep(2 * WAIT / 1000)
        assert len(follower.got) == 8


async def test_something_new_wakes_who_waits(autojump_clock: MockClock) -> None:
    chain = Chain(5)
    async with following(chain) as (_one, follower):
        await follower.reach(5)
        await trio.sleep(WAIT / 1000 * 3.5)
        polls = len(chain.asked)
        assert polls <= 6, "waiting is done at the other end"
        began = trio.current_time()
        chain.grow(6)
        await follower.reach(6)
        assert trio.current_time() - began < 0.05


async def test_the_furthest_is_asked(autojump_clock: MockClock) -> None:
    short, far, middle = Chain(10), Chain(1000), Chain(400)
    async with following(short, far, middle) as (_one, follower):
        await follower.reach(1000)
        assert len(short.asked) <= 2
        assert len(middle.asked) <= 2
        assert len(far.asked) >= 3


async def test_a_peer_that_stops_growing_does_not_hold_up_a_follower(autojump_clock: MockClock) -> None:
    stuck, growing = Chain(50), Chain(40)
    async with following(stuck, growing) as (_one, follower):
        await follower.reach(50)
        await trio.sleep(20)
        growing.grow(60)
        began = trio.current_time()
        await follower.reach(60)
        assert trio.current_time() - began <= WAIT / 1000 + 1


def other(index: int) -> Entry:
    return Entry(index, b"x", b"another record", ())


def shifted(index: int) -> Entry:
    return entry(index + 1)


def repeated(index: int) -> Entry:
    return entry(index - index % 2)


@pytest.mark.parametrize("made", [other, shifted, repeated])
async def test_who_lies_is_banished_and_others_are_asked(made: object, autojump_clock: MockClock) -> None:
    liar, honest = Chain(900, made=made), Chain(300)
    async with following(liar, honest) as (one, follower):
        await follower.reach(300)
        asked = len(liar.asked)
        assert asked == 1
        await trio.sleep(BANISHED / 2)
        assert len(liar.asked) == asked
        assert set(one.peers) == {peer_of(2), peer_of(3)}
        await trio.sleep(BANISHED)
        assert len(liar.asked) > asked, "it may have been mended"


async def test_who_claims_more_than_it_gives_is_banished(autojump_clock: MockClock) -> None:
    boaster, honest = Chain(3, claims=1 << 60), Chain(300)
    async with following(boaster, honest) as (_one, follower):
        began = trio.current_time()
        await follower.reach(300)
        assert trio.current_time() - began < 1
        assert len(boaster.asked) <= 2


async def test_entries_that_apply_to_nothing_are_not_asked_for_in_a_hot_loop(autojump_clock: MockClock) -> None:
    chain, fabric = Chain(100), Fabric()

    class Stuck(Follower):
        async def apply(self, _entries: Sequence[Entry]) -> None:
            return

    async with (
        node(fabric, 1) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=lambda n: serve_entries(n, chain)),
    ):
        await connected(one, 2)
        with trio.move_on_after(BANISHED - 1):
            await follow(one, Stuck(), Random(1))
        assert len(chain.asked) == 1


async def test_what_stops_the_node_is_not_swallowed(autojump_clock: MockClock) -> None:
    chain, fabric = Chain(100), Fabric()

    class Stuck(Follower):
        async def apply(self, _entries: Sequence[Entry]) -> None:
            raise CorruptionError("the stored state is not that of commit 4")

    async with (
        node(fabric, 1) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=lambda n: serve_entries(n, chain)),
    ):
        await connected(one, 2)
        with pytest.raises(CorruptionError):
            await follow(one, Stuck(), Random(1))


async def test_large_entries_come_in_messages_that_fit(autojump_clock: MockClock) -> None:
    def large(index: int) -> Entry:
        return entry(index, 300_000)

    chain = Chain(20, made=large)
    async with following(chain) as (one, follower):
        await follower.reach(20)
        assert max(follower.batches) * 300_000 <= MAX_PAYLOAD
        assert one.statistics.breaches == 0


async def test_loss_partition_and_healing(autojump_clock: MockClock) -> None:
    fabric = Fabric(seed=5, delay_ms=(1, 30))
    chains = [Chain(2000), Chain(2000)]
    async with following(*chains, fabric=fabric) as (one, follower):
        fabric.loss = 0.1
        await follower.reach(1000)
        fabric.loss = 0.0
        fabric.partition([peer_of(1)], [peer_of(2), peer_of(3)])
        await trio.sleep(60)
        reached = len(follower.got)
        for chain in chains:
            chain.grow(2500)
        fabric.heal()
        await connected(one, 2, 3)
        await follower.reach(2500)
        assert reached < 2500


@pytest.mark.parametrize(
    "change", [{"limit": 0}, {"limit": LIMIT + 1}, {"wait_ms": 20_001}, {"first": -1}, {"more": 1}, {"first": "1"}]
)
async def test_requests_out_of_bounds_are_refused(change: dict[str, object], autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with (
        node(fabric, 1, prepare=lambda n: serve_entries(n, Chain(5))) as one,
        node(fabric, 2, [address(1, "/memory/1")]) as two,
    ):
        await connected(one, 2)
        await connected(two, 1)
        with pytest.raises(Refusal) as caught:
            await two.request(peer_of(1), "sync", "sync.entries", {"first": 1, "limit": 1, "wait_ms": 0, **change})
        assert caught.value.code == "malformed"
