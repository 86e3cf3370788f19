"""Handshake, heartbeats, one connection a peer, reconnecting."""

import re
from contextlib import AsyncExitStack
from random import Random

import pytest
import trio
from attrs import evolve
from net.peers_world import HELLO, Stranger, address, connected, node, pair, peer_of, stranger, who
from trio.testing import MockClock, wait_all_tasks_blocked

from soma_core import codec
from soma_core.api import Connection, PeerGone, PeerId
from soma_core.net import Address, Network
from soma_core.net import _hello as hello_rules
from soma_core.net import _peers as peers_rules
from soma_core.net._link import BEAT, MISSES, STALL
from soma_core.net._message import MAX_PAYLOAD, Message, encode_message
from soma_core.records import to_value
from soma_memory import Fabric, transport_on


async def test_two_nodes_meet_and_know_who_they_are(autojump_clock: MockClock) -> None:
    async with pair(Fabric(delay_ms=(5, 40)), hello=evolve(HELLO, roles=("encoder",), addresses=("/memory/2",))) as (
        one,
        two,
    ):
        assert one.peers == (peer_of(2),)
        assert one.hello_of(peer_of(2)) == evolve(HELLO, roles=("encoder",), addresses=("/memory/2",))
        assert one.hello_of(peer_of(3)) is None
        assert two.statistics.dials == 1
        assert two.statistics.failed_dials == 0


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        ({"chain": b"x" * 32}, "is on chain 7878"),
        ({"protocol": b"x" * 32}, "runs protocol 7878"),
        ({"api": 2, "version": "9\x1b[2J"}, r"\(version 9\?\[2J\) speaks network API 2"),
    ],
)
async def test_who_belongs_to_another_network_is_refused_by_name_of_the_difference(
    theirs: dict[str, object], text: str, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    fabric = Fabric(delay_ms=(10, 10))
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        assert (await far.greet(**theirs)).body["chain"] == HELLO.chain, "the other side learns why"
        await far.until_gone()
        assert one.peers == ()
        assert one.statistics.refused == 1
    assert len(caplog.records) == 1
    assert re.search(text, caplog.text)


async def test_no_hello_in_time_is_refused(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        started = trio.current_time()
        await far.until_gone()
        waited = trio.current_time() - started
        assert hello_rules.HELLO_LIMIT <= waited <= hello_rules.HELLO_LIMIT + hello_rules.FAREWELL_LIMIT
        assert one.statistics.refused == 1


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64])
async def test_garbage_for_a_hello_is_refused(first: bytes, autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.say_bytes("sync", first)
        await far.until_gone()
        assert (one.peers, one.statistics.refused) == ((), 1)


async def test_another_message_before_the_hello_is_refused(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.say("sync", "ping", 1)
        await far.until_gone()
        assert (one.peers, one.statistics.refused) == ((), 1)


async def test_what_a_peer_wrote_wrong_is_logged_without_what_a_terminal_acts_on(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.say("sync", "hello", body={**to_value(HELLO), "\x1b[2J": 0})
        await far.until_gone()
        async with stranger(fabric, 3, 1, "/memory/1") as other:
            await other.greet()
            await connected(one, 3)
            header = codec.decode(encode_message(Message("ping", 1))[4:])
            wrong = codec.encode({**header, "\x1b[2J\n" * 1000: 0})
            await other.say_bytes("sync", len(wrong).to_bytes(4, "big") + wrong)
            await other.until_gone()
    assert caplog.text.count("is not a field") == 2
    assert "\x1b" not in caplog.text
    assert max(map(len, caplog.messages)) < 1000


@pytest.mark.parametrize("change", [{"roles": ("r" * 17,)}, {"addresses": ("a",) * 9}, {"version": "v" * 65}])
async def test_hello_with_fields_out_of_bounds_is_refused(change: dict[str, object], autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        body = {**to_value(HELLO), **change}
        await far.say("sync", "hello", body=body)
        await far.until_gone()
        assert (one.peers, one.statistics.refused) == ((), 1)


async def test_who_is_not_allowed_is_told_so(caplog: pytest.LogCaptureFixture, autojump_clock: MockClock) -> None:
    fabric = Fabric(delay_ms=(10, 10))
    async with (
        node(fabric, 1, allowed=frozenset({peer_of(3)})) as one,
        node(fabric, 2, [address(1, "/memory/1")]),
        node(fabric, 3, [address(1, "/memory/1")]),
    ):
        await connected(one, 3)
        await trio.sleep(1)
        assert one.peers == (peer_of(3),)
    assert "the peer refused us: this node takes other peers; ask its operator" in caplog.text


async def test_a_farewell_is_shown_without_what_a_terminal_acts_on(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    fabric = Fabric()
    async with transport_on(fabric, who(1)) as evil, node(fabric, 2, [address(1, "/memory/1")]):
        far = Stranger(await evil.accept())
        await far.say("sync", "error", body={"code": "busy", "text": "\x1b]0;pwned\x07", "remedy": "\r\n"})
        await far.until_gone()
    assert "the peer refused us: ?]0;pwned?" in caplog.text
    assert "\x1b" not in caplog.text


async def test_own_key_is_not_let_in(caplog: pytest.LogCaptureFixture, autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 1, 1, "/memory/1") as far:
        assert (await far.greet()).body["text"].startswith("this is your own node")
        await far.connection.aclose()
        assert one.peers == ()


async def test_own_address_in_the_book_is_passed_over(autojump_clock: MockClock) -> None:
    async with node(Fabric(), 1, [address(1, "/memory/1")]) as one:
        await trio.sleep(10)
        assert one.statistics.dials == 0


async def test_strangers_are_bounded_and_the_book_has_room(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(peers_rules, "MOST_PEERS", 2)
    fabric = Fabric()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(node(fabric, 1, [address(5, "/memory/5")]))
        for number in (2, 3):
            await stack.enter_async_context(node(fabric, number, [address(1, "/memory/1")]))
        await connected(one, 2, 3)
        far = await stack.enter_async_context(stranger(fabric, 4, 1, "/memory/1"))
        assert (await far.greet()).body["code"] == "busy"
        await far.connection.aclose()
        await stack.enter_async_context(node(fabric, 5))
        await connected(one, 2, 3, 5)


async def test_a_flood_of_the_silent_does_not_keep_honest_peers_out(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, transport_on(fabric, who(9)) as flooder:
        for _ in range(3 * peers_rules.MOST_GREETED):
            await flooder.dial("/memory/1", peer_of(1))
            await wait_all_tasks_blocked()
        assert len(one._greeting) <= peers_rules.MOST_GREETED
        started = trio.current_time()
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
            assert trio.current_time() - started < 1


async def test_frozen_peer_is_found_by_its_silence(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        started = trio.current_time()
        await connected(one)
        assert trio.current_time() - started == pytest.approx(BEAT * MISSES, abs=BEAT)
        assert one.statistics.frozen == 1


async def test_peer_cut_off_is_found_and_comes_back_after_healing(autojump_clock: MockClock) -> None:
    fabric = Fabric(delay_ms=(5, 5))
    async with pair(fabric) as (one, two):
        fabric.partition([peer_of(1)], [peer_of(2)])
        await connected(one)
        await connected(two)
        await trio.sleep(40)
        assert two.statistics.failed_dials >= 4
        fabric.heal()
        await connected(one, 2)
        await connected(two, 1)


async def test_peer_that_speaks_but_takes_nothing_is_ended(autojump_clock: MockClock) -> None:
    fabric = Fabric(queue=4)
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        nursery.start_soon(far.live)
        await connected(one, 2)
        started = trio.current_time()
        while one.consensus_send(peer_of(2), b"x" * 1000):
            await wait_all_tasks_blocked()
        assert one.statistics.lost == 1
        await connected(one)
        assert STALL <= trio.current_time() - started <= STALL + 2 * BEAT
        assert one.statistics.frozen == 1
        nursery.cancel_scope.cancel()


async def test_newest_connection_wins_after_proof(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as old, trio.open_nursery() as nursery:
        await old.greet()
        await connected(one, 2)
        nursery.start_soon(old.live)
        async with stranger(fabric, 2, 1, "/memory/1") as silent:
            await silent.greet()
            await trio.sleep(1)
            assert one.statistics.replaced == 0, "not yet: it has proved nothing"
            await silent.until_gone()
            assert (one.peers, one.statistics.replaced) == ((peer_of(2),), 0)
        async with stranger(fabric, 2, 1, "/memory/1") as new:
            await new.greet()
            nursery.start_soon(new.live)
            await old.until_gone("consensus")
            assert (one.peers, one.statistics.replaced) == ((peer_of(2),), 1)


async def test_reborn_peer_takes_over_from_its_frozen_self(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as frozen:
        await frozen.greet()
        await connected(one, 2)
        since = one._links[peer_of(2)].since
        await trio.sleep(1)
        async with node(fabric, 2, [address(1, "/memory/1")]) as reborn:
            await connected(reborn, 1)
            await trio.sleep(0.5)
            assert one.peers == (peer_of(2),)
            assert one._links[peer_of(2)].since > since
            assert one.statistics.replaced == 1


async def test_unproved_connections_of_one_peer_do_not_pile_up(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as old, trio.open_nursery() as nursery:
        await old.greet()
        nursery.start_soon(old.live)
        await connected(one, 2)
        async with AsyncExitStack() as stack:
            many = []
            for _ in range(5):
                many.append(await stack.enter_async_context(stranger(fabric, 2, 1, "/memory/1")))
                await many[-1].greet()
            for far in many[:-1]:
                await far.until_gone()
            assert len(one._candidates) == 1
            await many[-1].until_gone()
            assert one._candidates == {}
        assert one.statistics.replaced == 0
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(12))
async def test_crossed_dials_settle_on_one_connection(seed: int, autojump_clock: MockClock) -> None:
    fabric = Fabric(seed=seed, delay_ms=(1, 60))
    async with (
        node(fabric, 1, [address(2, "/memory/2")]) as one,
        node(fabric, 2, [address(1, "/memory/1")]) as two,
    ):
        await connected(one, 2)
        await connected(two, 1)
        await trio.sleep(3)
        before = one.statistics.dials + two.statistics.dials
        assert before == 2, "one of the two connections stayed from the start"
        links = one._links[peer_of(2)], two._links[peer_of(1)]
        await trio.sleep(60)
        assert (one._links[peer_of(2)], two._links[peer_of(1)]) == links, "nothing flaps"
        assert one.statistics.dials + two.statistics.dials == before
        assert links[0].dialled != links[1].dialled, "both hold the same connection"
        assert await links[0].prove()
        assert await links[1].prove()


async def test_a_frozen_connection_does_not_hold_a_place_by_its_direction(autojump_clock: MockClock) -> None:
    """The tie between crossed dials is broken only between connections that both work."""
    for numbers in ((1, 2), (2, 1)):
        me, other = numbers
        fabric = Fabric()
        async with (
            transport_on(fabric, who(other)) as old,  # dialled by the node, then frozen
            node(fabric, me, [address(other, "/memory/1")]) as network,
        ):
            frozen = Stranger(await old.accept())
            await frozen.greet()
            await connected(network, other)
            await frozen.say("sync", "pong", (await frozen.hear_kind("sync", "ping")).id)
            await trio.sleep(0.1)  # what it answered once proves nothing later
            async with stranger(fabric, other, me, "/memory/2") as reborn, trio.open_nursery() as nursery:
                await reborn.greet()
                nursery.start_soon(reborn.live)
                await frozen.until_gone()
                assert network.statistics.replaced == 1
                assert network.peers == (peer_of(other),)
                nursery.cancel_scope.cancel()


async def test_dialling_backs_off_and_starts_anew_after_a_while_of_work(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 2, [address(1, "/memory/2")]) as two:
        await trio.sleep(60)
        assert 6 <= two.statistics.failed_dials <= 14
        async with node(fabric, 1) as one:
            await connected(one, 2)
            await trio.sleep(60)
        gone = trio.current_time()
        await connected(two)
        fails = two.statistics.failed_dials
        await trio.sleep_until(gone + 2)
        assert two.statistics.failed_dials >= fails + 2, "the first dials come quickly again"


async def test_reconnecting_is_spread_by_chance(autojump_clock: MockClock) -> None:
    """Ten nodes lose one peer at the same moment; they do not come back in step."""
    tries: list[float] = []

    class Nobody:
        """Whom nobody answers."""

        addresses = ()

        async def dial(self, address: str, peer: PeerId) -> Connection:
            tries.append(trio.current_time())
            raise PeerGone

        async def accept(self) -> Connection:
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for number in range(2, 12):
            book = [address(1, "/memory/none")]
            network = Network(Nobody(), peer_of(number), HELLO, book, random=Random(number))
            await nursery.start(network.run)
        await trio.sleep(20)
        nursery.cancel_scope.cancel()
    second = sorted(tries)[10:20]
    assert max(second) - min(second) > peers_rules.RETRY_FIRST / 2
    assert len({round(at, 3) for at in tries[10:]}) > 0.7 * len(tries[10:])


async def test_a_peer_with_two_addresses_is_dialled_at_one_at_a_time(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, node(fabric, 2, [address(1, "/memory/9"), address(1, "/memory/1")]) as two:
        await connected(one, 2)
        await trio.sleep(30)
        assert two.statistics.dials == 2
        assert one.statistics.replaced == 0


async def test_dropped_peer_is_shunned_for_a_while(autojump_clock: MockClock) -> None:
    async with pair(Fabric(delay_ms=(1, 1))) as (one, two):
        one.drop(peer_of(2), "it lied")
        await connected(one)
        dropped = trio.current_time()
        await connected(two)
        await connected(one, 2)
        assert trio.current_time() - dropped >= peers_rules.SHUNNED - 1
        assert one.statistics.breaches == 1


async def test_shunned_peers_are_bounded(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    monkeypatch.setattr(peers_rules, "MOST_SHUNNED", 3)
    async with node(Fabric(), 1) as one:
        for number in range(2, 9):
            one.drop(peer_of(number), "it lied")
        assert list(one._shunned) == [peer_of(n) for n in (6, 7, 8)]


async def test_end_of_a_node_closes_its_connections(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one:
        async with node(fabric, 2, [address(1, "/memory/1")]):
            await connected(one, 2)
        await connected(one)
        assert trio.current_time() < 1
        assert one.statistics.frozen == 0


@pytest.mark.parametrize("broken", [b"", b"\0\0\0\1\xf6", b"x" * 5000])
@pytest.mark.parametrize("channel", ["consensus", "sync", "blobs", "hints"])
async def test_breach_ends_the_connection_and_no_other(channel: str, broken: bytes, autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with pair(fabric) as (one, _two), stranger(fabric, 3, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2, 3)
        await far.say_bytes(channel, broken)
        await far.until_gone()
        await connected(one, 2)
        assert one.statistics.breaches == 1


@pytest.mark.parametrize(
    ("channel", "kind", "number", "op"),
    [
        ("sync", "hello", 0, ""),
        ("consensus", "request", 1, "a.b"),
        ("consensus", "note", 0, "other.note"),
        ("consensus", "ping", 1, ""),
        ("hints", "request", 1, "a.b"),
        ("blobs", "ping", 1, ""),
        ("sync", "note", 0, "a.b"),
        ("sync", "pong", 99, ""),
        ("sync", "reply", 1, ""),
        ("sync", "error", 0, ""),
        ("blobs", "reply", 5, ""),
    ],
)
async def test_message_out_of_place_is_a_breach(
    channel: str, kind: str, number: int, op: str, autojump_clock: MockClock
) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        body = {"code": "a", "text": "b", "remedy": "c"} if kind == "error" else {}
        await far.say(channel, kind, number, op, body=body)
        await far.until_gone()
        assert one.statistics.breaches == 1


async def test_hints_are_counted_and_ignored(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        await far.say("hints", "note", 0, "mempool.hint", payload=b"x")
        await trio.sleep(0.1)
        assert (one.statistics.ignored, one.statistics.breaches) == (1, 0)


# The consensus channel. -----------------------------------------------------------------------------------------------


async def test_consensus_messages_come_in_order_with_their_sender(autojump_clock: MockClock) -> None:
    async with pair(Fabric(delay_ms=(1, 20))) as (one, two):
        for n in range(50):
            assert two.consensus_send(peer_of(1), b"%d" % n)
        got = [await one.consensus_messages.receive() for _ in range(50)]
        assert got == [(peer_of(2), b"%d" % n) for n in range(50)]
        assert two.consensus_send(peer_of(1), b"m" * MAX_PAYLOAD)
        assert (await one.consensus_messages.receive())[1] == b"m" * MAX_PAYLOAD
        assert not two.consensus_send(peer_of(1), b"m" * (MAX_PAYLOAD + 1))
        assert not two.consensus_send(peer_of(7), b"nobody")
        assert two.statistics.lost == 2


async def test_no_peer_drowns_another_on_the_consensus_channel(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(node(fabric, 1))
        loud = await stack.enter_async_context(node(fabric, 2, [address(1, "/memory/1")]))
        quiet = await stack.enter_async_context(node(fabric, 3, [address(1, "/memory/1")]))
        await connected(one, 2, 3)
        for n in range(60):
            loud.consensus_send(peer_of(1), b"%d" % n)
        await wait_all_tasks_blocked()
        quiet.consensus_send(peer_of(1), b"hear me")
        await wait_all_tasks_blocked()
        first = [await one.consensus_messages.receive() for _ in range(3)]
        assert (peer_of(3), b"hear me") in first


async def test_a_flood_that_nobody_reads_is_bounded_and_ends_the_connection(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        nursery.start_soon(far.live)
        await connected(one, 2)
        with pytest.raises(PeerGone):
            while True:
                await far.say("consensus", "note", 0, "consensus.message", payload=b"x" * 200_000)
        assert sum(q._size for q in one.consensus_messages._queues.values()) <= 4 << 20
        await connected(one)
        assert one.statistics.breaches == 1
        assert len(one.consensus_messages._queues) == 0


async def test_who_does_not_hear_consensus_ignores_it(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with (
        node(fabric, 1, hears_consensus=False) as one,
        node(fabric, 2, [address(1, "/memory/1")]) as two,
    ):
        await connected(two, 1)
        for _ in range(100):
            two.consensus_send(peer_of(1), b"x")
            await wait_all_tasks_blocked()
        await trio.sleep(10)
        assert one.statistics.ignored == 100
        assert one.peers == (peer_of(2),)


def test_addresses_are_read_and_written() -> None:
    text = f"{peer_of(1).hex()}@/ip4/127.0.0.1/tcp/4001"
    assert str(Address.parse(text)) == text
    for wrong in ("", "@", text.upper(), text[1:], text + "\n", text + "é", f"{peer_of(1).hex()}@" + "x" * 257):
        with pytest.raises(Exception, match="is no peer address; write the peer's key"):
            Address.parse(wrong)
