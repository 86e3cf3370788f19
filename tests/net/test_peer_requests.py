"""Questions and answers between peers: under loss, cancellation, floods and lies."""

from collections.abc import Mapping
from typing import Any

import pytest
import trio
from net.peers_world import Stranger, connected, node, pair, peer_of, stranger
from trio.testing import MockClock, wait_all_tasks_blocked

from soma_core.api import PeerGone
from soma_core.errors import CorruptionError, DecodeError, RefusedError, UnreachableError
from soma_core.net import Network, Refusal, Reply
from soma_core.net._message import MAX_HEADER, MAX_PAYLOAD, Message
from soma_core.net._queues import UNREAD, UNREAD_SIZE
from soma_core.net._requests import ASKING, FLOOD, SERVE_LIMIT, SERVING
from soma_memory import Fabric

Body = Mapping[str, Any]
FAULT = {"code": "no", "text": "no", "remedy": "no"}


async def echo(_peer: bytes, body: Body, payload: bytes) -> Reply:
    return Reply({"got": body}, payload)


def echoing(network: Network) -> None:
    network.serve("test.echo", echo, channel="sync", max_payload=MAX_PAYLOAD)


class Gate:
    """A handler that waits until it is opened."""

    def __init__(self) -> None:
        self.open, self.begun, self.most, self._now = trio.Event(), 0, 0, 0

    async def handle(self, _peer: bytes, body: Body, _payload: bytes) -> Reply:
        self.begun += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await self.open.wait()
        finally:
            self._now -= 1
        return Reply(body)

    def serve(self, network: Network) -> None:
        network.serve("test.wait", self.handle, channel="sync")


async def test_answers_find_their_questions(autojump_clock: MockClock) -> None:
    fabric = Fabric(seed=2, delay_ms=(1, 30), reorder=0.3)
    async with pair(fabric, first=echoing, second=echoing) as (one, two):
        got: dict[tuple[int, int], Any] = {}

        async def ask(asker: Network, target: int, n: int) -> None:
            reply = await asker.request(peer_of(target), "sync", "test.echo", {"n": n}, b"%d" % n)
            got[target, n] = (reply.body["got"]["n"], reply.payload)

        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(ask, one, 2, n)
                nursery.start_soon(ask, two, 1, n)
        assert got == {(target, n): (n, b"%d" % n) for target in (1, 2) for n in range(100)}
        assert one.statistics.busy == two.statistics.busy == 0, "who asks no more than it may is never turned away"


async def test_largest_payload_passes_and_a_larger_one_is_refused_here(autojump_clock: MockClock) -> None:
    async with pair(Fabric(), first=echoing) as (_one, two):
        data = b"z" * MAX_PAYLOAD
        assert (await two.request(peer_of(1), "sync", "test.echo", {}, data)).payload == data
        with pytest.raises(RefusedError, match="send it in parts, or as a blob"):
            await two.request(peer_of(1), "sync", "test.echo", {}, data + b"z")
        with pytest.raises(RefusedError, match="put the data into the payload"):
            await two.request(peer_of(1), "sync", "test.echo", {"x": b"y" * MAX_HEADER})
        assert (await two.request(peer_of(1), "sync", "test.echo", {"still": True})).body == {"got": {"still": True}}


async def test_what_is_lost_ends_in_time_and_leaves_nothing(autojump_clock: MockClock) -> None:
    fabric = Fabric(seed=7)
    async with pair(fabric, first=echoing) as (_one, two):
        fabric.loss = 0.2
        answered = 0
        for _ in range(30):
            before = trio.current_time()
            try:
                await two.request(peer_of(1), "sync", "test.echo", {}, timeout=0.5)
                answered += 1
            except UnreachableError:
                assert trio.current_time() - before <= 0.51
        assert 5 < answered < 30
        assert two._links[peer_of(1)]._desk._waiting == {}


async def test_late_answers_are_dropped_and_counted(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with pair(Fabric(), first=gate.serve) as (_one, two):
        with pytest.raises(UnreachableError, match=r"did not answer test\.wait within 2 s"):
            await two.request(peer_of(1), "sync", "test.wait", timeout=2)
        with trio.move_on_after(1):
            await two.request(peer_of(1), "sync", "test.wait")
        gate.open.set()
        assert (await two.request(peer_of(1), "sync", "test.wait", {"n": 3})).body == {"n": 3}
        assert two.statistics.late == 2
        assert two.statistics.breaches == 0


async def test_cancelled_while_waiting_for_a_turn_nothing_is_sent(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with pair(Fabric(), first=gate.serve) as (_one, two):
        async with trio.open_nursery() as nursery:
            for _ in range(ASKING):
                nursery.start_soon(two.request, peer_of(1), "sync", "test.wait")
            await wait_all_tasks_blocked()
            with pytest.raises(UnreachableError):
                await two.request(peer_of(1), "sync", "test.wait", timeout=1)
            assert gate.begun == gate.most == ASKING
            gate.open.set()
        assert gate.begun == ASKING


async def test_who_is_gone_or_unknown_is_said(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with pair(Fabric(), first=gate.serve) as (one, two):
        with pytest.raises(UnreachableError, match="is not connected; ask another peer"):
            await two.request(peer_of(9), "sync", "test.wait")

        async def end() -> None:
            await trio.sleep(0.1)
            one.drop(peer_of(2), "the test says so")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            with pytest.raises(UnreachableError, match=r"went away during test\.wait"):
                await two.request(peer_of(1), "sync", "test.wait")


async def test_unknown_operation_and_wrong_channel_are_refused(autojump_clock: MockClock) -> None:
    async with pair(Fabric(), first=echoing) as (_one, two):
        for channel, op in (("sync", "test.none"), ("blobs", "test.echo")):
            with pytest.raises(Refusal, match=f"this node does not serve {op} on channel {channel}") as caught:
                await two.request(peer_of(1), channel, op)
            assert caught.value.code == "unknown"


async def test_payload_above_what_a_service_takes_is_refused(autojump_clock: MockClock) -> None:
    def limited(network: Network) -> None:
        network.serve("test.echo", echo, channel="sync", max_payload=10)

    async with pair(Fabric(), first=limited) as (_one, two):
        assert (await two.request(peer_of(1), "sync", "test.echo", {}, b"x" * 10)).payload == b"x" * 10
        with pytest.raises(Refusal, match="takes at most 10 bytes, not 11") as caught:
            await two.request(peer_of(1), "sync", "test.echo", {}, b"x" * 11)
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (Refusal("absent", "not here", "go there"), "absent", "not here; go there"),
        (DecodeError("a word too many", "leave it out"), "malformed", "a word too many; leave it out"),
        (RefusedError("no", "x" * 600), "refused", "no; " + "x" * 512),
        (ValueError("a secret of ours"), "fault", "test.raise failed on this node; its operator finds"),
    ],
)
async def test_what_a_handler_raises_is_told(
    error: Exception, code: str, text: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(_peer: bytes, _body: Body, _payload: bytes) -> Reply:
        raise error

    def prepare(network: Network) -> None:
        network.serve("test.raise", handler, channel="blobs")

    async with pair(Fabric(), first=prepare) as (one, two):
        with pytest.raises(Refusal) as caught:
            await two.request(peer_of(1), "blobs", "test.raise")
        assert caught.value.code == code
        assert text in str(caught.value)
        assert "secret" not in str(caught.value)
        assert one.peers == (peer_of(2),)
    assert ("a secret of ours" in caplog.text) == (code == "fault")


async def test_corruption_found_by_a_handler_stops_the_node(autojump_clock: MockClock) -> None:
    async def handler(_peer: bytes, _body: Body, _payload: bytes) -> Reply:
        raise CorruptionError("the ledger contradicts itself")

    def prepare(network: Network) -> None:
        network.serve("test.raise", handler, channel="sync")

    with pytest.RaisesGroup(CorruptionError, allow_unwrapped=True, flatten_subgroups=True):
        async with pair(Fabric(), first=prepare) as (_one, two):
            with pytest.raises(UnreachableError):
                await two.request(peer_of(1), "sync", "test.raise")
            await trio.sleep_forever()


async def test_handler_that_takes_too_long_is_ended(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with pair(Fabric(), first=gate.serve) as (_one, two):
        with pytest.raises(Refusal) as caught:
            await two.request(peer_of(1), "sync", "test.wait", timeout=SERVE_LIMIT + 5)
        assert caught.value.code == "late"


async def test_two_services_of_one_name_are_a_mistake(autojump_clock: MockClock) -> None:
    async with node(Fabric(), 1, prepare=echoing) as one:
        with pytest.raises(ValueError, match="served already"):
            echoing(one)


async def flood(far: Stranger, count: int) -> None:
    for number in range(1, count + 1):
        await far.say("sync", "request", number, "test.wait")


async def test_more_than_its_share_is_answered_busy(autojump_clock: MockClock) -> None:
    gate, fabric = Gate(), Fabric()
    async with node(fabric, 1, prepare=gate.serve) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        await flood(far, SERVING + 5)
        for number in range(SERVING + 1, SERVING + 6):
            error = await far.hear_kind("sync", "error")
            assert (error.id, error.body["code"]) == (number, "busy")
        assert gate.most == SERVING
        gate.open.set()
        assert sorted([(await far.hear_kind("sync", "reply")).id for _ in range(SERVING)]) == list(
            range(1, SERVING + 1)
        )
        assert one.statistics.busy == 5


async def test_flood_of_requests_ends_the_connection_and_serves_others(autojump_clock: MockClock) -> None:
    gate, fabric = Gate(), Fabric()

    def prepare(network: Network) -> None:
        gate.serve(network)
        echoing(network)

    async with pair(fabric, first=prepare) as (one, two), stranger(fabric, 3, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2, 3)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(far.until_gone)
            with pytest.raises(PeerGone):
                await flood(far, SERVING + FLOOD + 200)
        await connected(one, 2)
        assert one.statistics.breaches == 1
        assert gate.most == SERVING
        assert one.statistics.busy <= FLOOD + 1
        assert (await two.request(peer_of(1), "sync", "test.echo", {"n": 1})).body == {"got": {"n": 1}}


async def test_who_asks_and_does_not_read_is_held_to_a_bound_and_then_ended(autojump_clock: MockClock) -> None:
    fabric = Fabric(queue=1)
    async with node(fabric, 1, prepare=echoing) as one, stranger(fabric, 2, 1, "/memory/1") as far:
        await far.greet()
        await connected(one, 2)
        link = one._links[peer_of(2)]
        waiting = []
        with pytest.raises(PeerGone):
            for number in range(1, 400):
                await far.say("sync", "request", number, "test.echo", payload=b"x" * 100_000)
                await wait_all_tasks_blocked()
                outbox = link._outboxes["sync"]._queue
                waiting.append((outbox._size, len(outbox), link._desk._serving))
        sizes, counts, served = zip(*waiting, strict=True)
        assert max(sizes) <= UNREAD_SIZE
        assert max(counts) <= UNREAD
        assert max(served) == SERVING
        assert one.statistics.busy < FLOOD, "not to read the refusals is enough"
        assert one.statistics.breaches == 1


@pytest.mark.parametrize("kind", ["reply", "error"])
async def test_answer_on_another_channel_than_its_question_is_a_breach(kind: str, autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        await connected(one, 2)

        async def ask() -> None:
            with pytest.raises(UnreachableError, match="went away"):
                await one.request(peer_of(2), "sync", "test.echo")

        nursery.start_soon(ask)
        asked = await far.hear_kind("sync", "request")
        await far.say("blobs", kind, asked.id, body=FAULT)
        await far.until_gone()
        assert one.statistics.breaches == 1


async def test_error_without_its_three_texts_is_a_breach(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        await connected(one, 2)

        async def ask() -> None:
            with pytest.raises(UnreachableError, match="went away"):
                await one.request(peer_of(2), "sync", "test.echo")

        nursery.start_soon(ask)
        asked = await far.hear_kind("sync", "request")
        await far.say("sync", "error", asked.id, body={"code": "no"})
        await far.until_gone()
        assert one.statistics.breaches == 1


async def test_second_answer_is_dropped(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        await connected(one, 2)
        got = []

        async def ask() -> None:
            got.append((await one.request(peer_of(2), "sync", "test.echo")).payload)

        nursery.start_soon(ask)
        asked = await far.hear_kind("sync", "request")
        await far.say("sync", "reply", asked.id, payload=b"first")
        await far.say("sync", "reply", asked.id, payload=b"second")
        await trio.sleep(0.1)
        assert got == [b"first"]
        assert (one.statistics.late, one.statistics.breaches) == (1, 0)


async def test_second_answer_before_the_asker_wakes_is_dropped(autojump_clock: MockClock) -> None:
    fabric = Fabric()
    async with node(fabric, 1) as one, stranger(fabric, 2, 1, "/memory/1") as far, trio.open_nursery() as nursery:
        await far.greet()
        await connected(one, 2)
        got = []

        async def ask() -> None:
            got.append((await one.request(peer_of(2), "sync", "test.echo")).payload)

        nursery.start_soon(ask)
        asked = await far.hear_kind("sync", "request")
        settle = one._links[peer_of(2)]._desk.settle
        settle("sync", Message("reply", asked.id, payload=b"first"), 5)
        settle("sync", Message("reply", asked.id, payload=b"second"), 6)
        await wait_all_tasks_blocked()
        assert got == [b"first"]
        assert one.statistics.late == 1
