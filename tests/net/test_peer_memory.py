"""The memory that peers together may take: its arithmetic, and that whatever holds bytes for a peer counts them."""

from collections import Counter
from contextlib import AsyncExitStack

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from net.peers_world import address, connected, node, pair, peer_of, stranger
from trio.testing import MockClock, wait_all_tasks_blocked

from soma_core.api import Budget, Share
from soma_core.budget import PEER_MEMORY
from soma_core.errors import UnreachableError
from soma_core.net import Network, Reply
from soma_core.net._queues import UNREAD_SIZE
from soma_memory import Fabric

MEMBERS = frozenset({b"a", b"b"})
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "grow", "shrink", "close", "name"]),
        st.sampled_from([None, b"a", b"b", b"c", b"d"]),
        st.integers(0, 1 << 16),
    ),
    max_size=80,
)


@given(st.integers(0, 200), STEPS)
def test_no_order_of_events_holds_more_than_the_budget(most: int, steps: list[tuple[str, bytes | None, int]]) -> None:
    budget = Budget(most, MEMBERS)
    living: list[Share] = []
    told: list[None] = []
    for step, owner, number in steps:
        before: Counter[object] = Counter()
        for share in living:
            before[share.owner] += share.held
        if step == "open":
            living.append(budget.open(lambda: told.append(None), owner))
            continue
        if not living:
            continue
        share = living[number % len(living)]
        if step == "name" and owner is not None:
            share.owner = owner
            continue
        if step == "close":
            share.close()
        else:
            change = number % 150 if step == "grow" else -(number % (share.held + 1))
            before[share.owner] += change
            assert share.add(change) == (not share.closed)
        closed = [share for share in living if share.closed]
        cut = {share.owner for share in closed} if step != "close" else set()
        assert len(told) == (len(closed) if cut else 0)
        told.clear()
        kept = {share.owner for share in living if not share.closed}
        living = [share for share in living if not share.closed]
        assert budget.held == sum(share.held for share in living) <= most
        assert not cut & kept, "an owner goes whole"
        excess = {owner: size - budget.guaranteed(owner) for owner, size in before.items()}
        for gone in cut:
            assert excess[gone] > 0, "nobody goes who holds no more than is guaranteed"
            assert all(excess[gone] >= excess[other] for other in kept if other in excess), "who held most went"
        assert not cut or sum(before.values()) > most, "and only where there was no room"


def test_who_is_cut_is_told_once_after_the_room_is_made() -> None:
    budget, told = Budget(100), []
    big = budget.open(lambda: told.append((budget.held, big.closed)), b"x")
    other = budget.open(lambda: told.append((budget.held, other.closed)), b"x")
    small = budget.open(lambda: told.append("small"), b"y")
    assert big.add(60)
    assert other.add(10)
    assert small.add(31)
    assert told == [(31, True), (31, True)]
    assert not big.add(1000), "what is cut counts no more"
    big.close()
    assert budget.held == 31


def test_a_member_outlasts_any_number_of_strangers() -> None:
    budget, told = Budget(1000, members=frozenset({b"m", b"n"})), []
    member = budget.open(lambda: told.append("member"), b"m")
    assert member.add(250)
    for number in range(200):
        stranger = budget.open(lambda: None, b"s%d" % number)
        stranger.add(249)
        assert budget.held <= 1000
    assert not told
    assert member.add(240)
    assert not told, "beyond its part a member takes turns with the others, by what it holds too much"
    assert not member.add(300)
    assert told == ["member"]


def test_one_who_alone_is_too_much_goes() -> None:
    budget = Budget(10)
    assert not budget.open(lambda: None, b"x").add(11)
    assert budget.held == 0


# Everything that holds bytes for a peer counts them. ------------------------------------------------------------------


async def test_idle_nodes_hold_nothing(autojump_clock: MockClock) -> None:
    budget = Budget()

    async def echo(_peer: bytes, body: object, payload: bytes) -> Reply:
        return Reply({}, payload)

    def prepare(network: Network) -> None:
        network.serve("test.echo", echo, channel="sync", max_payload=1000)

    async with pair(Fabric(), first=prepare, budget=budget) as (one, two):
        for _ in range(50):
            await two.request(peer_of(1), "sync", "test.echo", {"a": 1}, bytes(1000))
            two.consensus_send(peer_of(1), bytes(100))
            one.consensus_send(peer_of(2), bytes(100))
            await two.consensus_messages.receive()
        with pytest.raises(UnreachableError):
            await two.request(peer_of(1), "sync", "test.echo", {}, bytes(1000), timeout=0)
        await trio.sleep(10)
        assert budget.held == 0, "what was counted was counted off"


async def test_consensus_messages_that_wait_are_counted_and_forgotten_with_their_peer(
    autojump_clock: MockClock,
) -> None:
    budget, fabric = Budget(), Fabric()
    async with node(fabric, 1, budget=budget) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        for _ in range(6):
            await far.say("consensus", "note", 0, "consensus.message", payload=bytes(900_000))
        await wait_all_tasks_blocked()
        assert budget.held == 5 * 900_000, "those in the queue, and the one at its door"
        assert budget.held > UNREAD_SIZE
        await far.connection.aclose()
        await connected(one)
        assert budget.held == 0


async def test_requests_being_served_and_answers_nobody_reads_are_counted(autojump_clock: MockClock) -> None:
    budget, fabric, go = Budget(), Fabric(queue=1), trio.Event()

    async def slow(_peer: bytes, _body: object, payload: bytes) -> Reply:
        await go.wait()
        return Reply({}, payload + payload)

    def prepare(network: Network) -> None:
        network.serve("test.slow", slow, channel="blobs", max_payload=1 << 20)

    async with (
        node(fabric, 1, prepare=prepare, budget=budget) as one,
        stranger(fabric, 2, 1, "/memory/1") as far,
    ):
        await far.greet()
        await connected(one, 2)
        for number in range(1, 31):
            await far.say("blobs", "request", number, "test.slow", payload=bytes(300_000))
        await wait_all_tasks_blocked()
        assert 30 * 300_000 < budget.held < 30 * 301_000
        go.set()
        await wait_all_tasks_blocked()
        # one answer has left; those in the outbox and at its door are held, and the questions of those at the door
        assert 29 * 600_000 < budget.held < 30 * 900_000
        await far.connection.aclose()
        await connected(one)
        assert budget.held == 0


async def test_answers_count_until_they_are_taken(autojump_clock: MockClock) -> None:
    budget, fabric = Budget(), Fabric()
    async with (
        node(fabric, 1, budget=budget) as one,
        stranger(fabric, 2, 1, "/memory/1") as far,
        trio.open_nursery() as nursery,
    ):
        await far.greet()
        await connected(one, 2)
        most = 0

        async def ask() -> None:
            await one.request(peer_of(2), "blobs", "test.any")

        nursery.start_soon(ask)
        asked = await far.hear_kind("blobs", "request")
        settle = one._links[peer_of(2)]._desk.settle

        def settled(*arguments: object) -> None:
            nonlocal most
            settle(*arguments)
            most = max(most, budget.held)

        one._links[peer_of(2)]._desk.settle = settled  # type: ignore[method-assign]
        await far.say("blobs", "reply", asked.id, payload=bytes(700_000))
        await wait_all_tasks_blocked()
        assert (most > 700_000, budget.held) == (True, 0)


async def test_full_memory_ends_who_holds_most_and_nobody_else(autojump_clock: MockClock) -> None:
    """Strangers fill their parts of the inbox, which nobody reads; a small peer is answered all the while."""
    budget, fabric = Budget(8 << 20, members=frozenset({peer_of(3)})), Fabric()

    async def echo(_peer: bytes, _body: object, payload: bytes) -> Reply:
        return Reply({}, payload)

    def prepare(network: Network) -> None:
        network.serve("test.echo", echo, channel="sync", max_payload=1000)

    async with (
        node(fabric, 1, prepare=prepare, budget=budget) as one,
        node(fabric, 2, [address(1, "/memory/1")]) as two,
        AsyncExitStack() as stack,
    ):
        await connected(two, 1)
        for number in range(3, 9):
            far = await stack.enter_async_context(stranger(fabric, number, 1, "/memory/1"))
            await far.greet()
            while peer_of(number) not in one.peers:
                await wait_all_tasks_blocked()
            for _ in range(4):
                await far.say("consensus", "note", 0, "consensus.message", payload=bytes(900_000))
                await wait_all_tasks_blocked()
                assert budget.held <= 8 << 20
            reply = await two.request(peer_of(1), "sync", "test.echo", {}, bytes(1000))
            assert reply.payload == bytes(1000)
        assert {peer_of(2), peer_of(3)} <= set(one.peers), "who holds little, and the member who holds its part"
        assert one.statistics.crowded >= 3
        assert one.statistics.breaches == 0


def test_the_default_is_written_down() -> None:
    assert Budget().most == PEER_MEMORY
