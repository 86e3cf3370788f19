"""What every transport must do. Inherit `TransportSuite` and name the plugin."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from soma_core.api import CHANNELS, MAX_MESSAGE, Budget, Channel, Connection, PeerGone, Transport, TransportContext

from .component import Component, component
from .identity import KeyIdentity
from .suite import Suite

LIMIT: Final = 20.0
"""Seconds for one check. None needs a tenth of it; what hangs fails."""
UNREAD: Final = 64
"""Messages of one channel that a connection holds for a receiver who does not come, without stopping other channels."""


class Network:
    """Opens transports of one component, each with an identity and a directory of its own."""

    def __init__(self, chosen: Component, root: Path) -> None:
        self.chosen, self._root, self._count = chosen, root, 0

    @asynccontextmanager
    async def open(
        self, identity: KeyIdentity | None = None, budget: Budget | None = None
    ) -> AsyncIterator[tuple[Transport, KeyIdentity]]:
        """An open transport and who it is."""
        self._count += 1
        identity = identity or KeyIdentity()
        directory = self._root / f"node-{self._count}"
        directory.mkdir(mode=0o700)
        log = logging.getLogger("soma.test")
        context = TransportContext(self.chosen.name, directory, log, identity, budget or Budget())
        async with self.chosen.spec.open(self.chosen.config, context) as transport:
            yield transport, identity

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Connection, Connection]]:
        """Both ends of one connection: who dialled, who accepted."""
        async with self.open() as (near, _), self.open() as (far, far_id):
            yield await connect(near, far, far_id)


async def connect(near: Transport, far: Transport, far_id: KeyIdentity) -> tuple[Connection, Connection]:
    """Both ends of a new connection from `near` to `far`."""
    ends: list[Connection] = []

    async def accept() -> None:
        ends.append(await far.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        dialled = await near.dial(far.addresses[0], far_id.peer)
    return dialled, ends[0]


async def gone(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat `call` until it raises `PeerGone`: what was under way may still pass."""
    while True:
        try:
            await call()
        except PeerGone:
            return
        await trio.sleep(0.001)


class TransportSuite(Suite):
    """Inherit, and set `plugin` to the component's name and `config` to its settings.

    Two transports opened with this config must reach each other.
    """

    @pytest.fixture
    def network(self, tmp_path: Path) -> Iterator[Network]:
        """Opens transports of the component under test."""
        return Network(component(self.plugin, self.config), tmp_path)  # type: ignore[return-value]

    async def test_declares_that_it_needs_an_identity(self, network: Network) -> None:
        assert "identity" in network.chosen.spec.needs

    async def test_addresses_are_known_once_open(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (one, _), network.open() as (two, _):
                assert one.addresses
                assert two.addresses
                assert all(type(address) is str for address in one.addresses + two.addresses)
                assert not set(one.addresses) & set(two.addresses)

    async def test_both_ends_know_who_the_other_is(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, near_id), network.open() as (far, far_id):
                dialled, accepted = await connect(near, far, far_id)
                assert dialled.peer == far_id.peer
                assert accepted.peer == near_id.peer

    async def test_every_channel_carries_both_ways(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                for channel in CHANNELS:
                    await near.send(channel, [b"to far " + channel.encode()])
                    await far.send(channel, [b"to near " + channel.encode()])
                for channel in reversed(CHANNELS):
                    assert await far.receive(channel) == b"to far " + channel.encode()
                    assert await near.receive(channel) == b"to near " + channel.encode()

    async def test_another_peer_than_expected_is_refused(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, near_id), network.open() as (far, far_id):
                with pytest.raises(PeerGone):
                    await near.dial(far.addresses[0], KeyIdentity().peer)
                dialled, accepted = await connect(near, far, far_id)  # the right one is still welcome
                assert (dialled.peer, accepted.peer) == (far_id.peer, near_id.peer)

    async def test_dialler_who_claims_a_key_is_not_accepted(self, network: Network) -> None:
        victim = KeyIdentity()
        with trio.fail_after(LIMIT):
            async with (
                network.open(KeyIdentity(peer=victim.peer)) as (liar, _),
                network.open() as (near, near_id),
                network.open() as (far, far_id),
            ):

                async def lie() -> None:  # refused at once, or at the first word
                    await (await liar.dial(far.addresses[0], far_id.peer)).receive("sync")

                with pytest.raises(PeerGone):
                    await lie()
                _, accepted = await connect(near, far, far_id)
                assert accepted.peer == near_id.peer, "the first one accepted is the first one who proved his key"

    async def test_listener_who_claims_a_key_is_not_believed(self, network: Network) -> None:
        victim = KeyIdentity()
        with trio.fail_after(LIMIT):
            async with network.open() as (near, _), network.open(KeyIdentity(peer=victim.peer)) as (liar, _):
                with pytest.raises(PeerGone):
                    await near.dial(liar.addresses[0], victim.peer)

    async def test_dialling_who_is_not_there_is_peer_gone(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, _):
                async with network.open() as (far, far_id):
                    address = far.addresses[0]
                with pytest.raises(PeerGone):
                    await near.dial(address, far_id.peer)

    @pytest.mark.parametrize("address", ["", "nonsense", "/ip4/127.0.0.1/tcp/notaport", "\x00", "/" * 200])
    async def test_dialling_nonsense_is_peer_gone(self, network: Network, address: str) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, _):
                with pytest.raises(PeerGone):
                    await near.dial(address, KeyIdentity().peer)

    @pytest.mark.parametrize("size", [0, 1, 1000, 65_535, 65_536, 300_000, MAX_MESSAGE])
    async def test_messages_arrive_as_they_were_sent(self, network: Network, size: int) -> None:
        message = (bytes(range(251)) * (size // 251 + 1))[:size]
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far), trio.open_nursery() as nursery:
                nursery.start_soon(near.send, "blobs", [message, b"next"])
                received = await far.receive("blobs")
                assert type(received) is bytes
                assert received == message
                assert await far.receive("blobs") == b"next"

    async def test_longer_message_is_refused_before_anything_is_sent(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                with pytest.raises(ValueError, match="1048577"):
                    await near.send("sync", [b"not sent", bytes(MAX_MESSAGE + 1)])
                await near.send("sync", [b"first"])
                assert await far.receive("sync") == b"first"

    async def test_order_is_kept_on_each_channel(self, network: Network) -> None:
        count = 300

        async def send(channel: Channel) -> None:
            for n in range(0, count, 3):
                await near.send(channel, [b"%s %d" % (channel.encode(), n + k) for k in range(3)])

        async def receive(channel: Channel) -> None:
            got = [await far.receive(channel) for _ in range(count)]
            assert got == [b"%s %d" % (channel.encode(), n) for n in range(count)]

        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far), trio.open_nursery() as nursery:
                for channel in CHANNELS:
                    nursery.start_soon(send, channel)
                    nursery.start_soon(receive, channel)

    async def test_many_messages_in_one_call(self, network: Network) -> None:
        messages = [b"%d" % n * (n % 50) for n in range(2000)]
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far), trio.open_nursery() as nursery:
                nursery.start_soon(near.send, "consensus", messages)
                assert [await far.receive("consensus") for _ in messages] == messages
                await near.send("consensus", [])  # nothing is nothing
                await near.send("consensus", [b"after"])
                assert await far.receive("consensus") == b"after"

    async def test_unread_channel_leaves_the_others_alone(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                await near.send("blobs", [b"unread"] * UNREAD)
                for channel in ("sync", "consensus", "hints"):
                    for n in range(10):
                        await near.send(channel, [b"ask %d" % n])
                        assert await far.receive(channel) == b"ask %d" % n
                        await far.send(channel, [b"answer %d" % n])
                        assert await near.receive(channel) == b"answer %d" % n
                assert [await far.receive("blobs") for _ in range(UNREAD)] == [b"unread"] * UNREAD

    async def test_sender_waits_for_who_does_not_read_and_learns_of_the_end(self, network: Network) -> None:
        ended: list[str] = []

        async def flood() -> None:
            try:
                while True:
                    await near.send("blobs", [b"x" * 100_000] * 10)
            except PeerGone:
                ended.append("flood")

        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far), trio.open_nursery() as nursery:
                nursery.start_soon(flood)
                for n in range(30):
                    await near.send("consensus", [b"%d" % n])
                    assert await far.receive("consensus") == b"%d" % n
                assert not ended, "a sender is made to wait, not to fail"
                await far.aclose()
            assert ended == ["flood"]

    async def test_what_nobody_reads_is_counted_and_ends_with_the_budget(self, network: Network) -> None:
        async def held(least: int, most: int) -> None:
            while not least <= budget.held <= most:  # noqa: ASYNC110  # nobody tells
                await trio.sleep(0.001)

        async def flood(channel: Channel) -> None:
            await gone(lambda: near.send(channel, [bytes(MAX_MESSAGE)]))

        budget = Budget(3 * MAX_MESSAGE)
        with trio.fail_after(LIMIT):
            async with network.open() as (transport, _), network.open(budget=budget) as (other, other_id):
                near, far = await connect(transport, other, other_id)
                await near.send("blobs", [bytes(100_000)])
                await held(100_000, 110_000)
                await far.receive("blobs")
                await held(0, 10_000)
                async with trio.open_nursery() as nursery:
                    for channel in CHANNELS:
                        nursery.start_soon(flood, channel)
                with pytest.raises(PeerGone):
                    await far.receive("blobs")
                assert budget.held == 0

    async def test_cancelled_receive_loses_nothing(self, network: Network) -> None:
        count = 400
        got: list[bytes] = []

        async def send() -> None:
            for n in range(count):
                await near.send("sync", [b"%d" % n * (1 + n % 100)])
                if n % 20 == 0:
                    await trio.sleep(0.001)

        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                for channel in CHANNELS:
                    with trio.move_on_after(0.002) as waited:
                        await far.receive(channel)
                    assert waited.cancelled_caught
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send)
                    while len(got) < count:
                        with trio.move_on_after(0.0002):
                            got.append(await far.receive("sync"))
                assert got == [b"%d" % n * (1 + n % 100) for n in range(count)]
                await far.send("sync", [b"still here"])
                assert await near.receive("sync") == b"still here"

    async def test_end_is_known_at_both_ends(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                await near.aclose()
                for channel in CHANNELS:
                    with pytest.raises(PeerGone):
                        await near.receive(channel)
                    with pytest.raises(PeerGone):
                        await near.send(channel, [b"too late"])
                for channel in CHANNELS:
                    await gone(lambda channel=channel: far.receive(channel))  # type: ignore[misc]
                    await gone(lambda channel=channel: far.send(channel, [b"anyone?"]))  # type: ignore[misc]

    async def test_who_waits_learns_of_the_end(self, network: Network) -> None:
        async def wait(end: Connection, channel: Channel) -> None:
            with pytest.raises(PeerGone):
                await end.receive(channel)

        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far), trio.open_nursery() as nursery:
                for channel in CHANNELS:
                    nursery.start_soon(wait, near, channel)
                    nursery.start_soon(wait, far, channel)
                await trio.sleep(0.01)
                await near.aclose()

    async def test_aclose_never_raises_and_never_waits(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.pair() as (near, far):
                reached = False
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await near.aclose()
                    reached = True
                assert reached, "aclose is used while cancelled"
                with pytest.raises(PeerGone):
                    await near.receive("sync")
                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(near.aclose)
                        nursery.start_soon(far.aclose)
                await near.aclose()

    async def test_many_dial_at_once(self, network: Network) -> None:
        count = 6
        answers: list[bytes] = []

        async def serve() -> None:
            for _ in range(2 * count):
                nursery.start_soon(echo, await far.accept())

        async def echo(end: Connection) -> None:
            await end.send("sync", [bytes(end.peer) + await end.receive("sync")])

        async def dial(word: bytes) -> None:
            end = await near.dial(far.addresses[0], far_id.peer)
            await end.send("sync", [word])
            answers.append(await end.receive("sync"))

        with trio.fail_after(LIMIT):
            async with network.open() as (far, far_id), network.open() as (near, near_id):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(serve)
                    for n in range(count):
                        nursery.start_soon(dial, b"%d" % n)
                    for _ in range(count):
                        nursery.start_soon(self._dial_from_elsewhere, network, far, far_id)
                assert sorted(answers) == [bytes(near_id.peer) + b"%d" % n for n in range(count)]

    async def _dial_from_elsewhere(self, network: Network, far: Transport, far_id: KeyIdentity) -> None:
        async with network.open() as (own, own_id):
            end = await own.dial(far.addresses[0], far_id.peer)
            await end.send("sync", [b"elsewhere"])
            assert await end.receive("sync") == bytes(own_id.peer) + b"elsewhere"

    async def test_both_dial_each_other(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (one, one_id), network.open() as (two, two_id):
                first, first_far = await connect(one, two, two_id)
                second, second_far = await connect(two, one, one_id)
                await first.send("sync", [b"first"])
                await second.send("sync", [b"second"])
                assert await first_far.receive("sync") == b"first"
                assert await second_far.receive("sync") == b"second"
                await first.aclose()
                await second.send("sync", [b"not touched"])
                assert await second_far.receive("sync") == b"not touched"

    async def test_dialling_again_after_the_end(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, _), network.open() as (far, far_id):
                for n in range(4):
                    dialled, accepted = await connect(near, far, far_id)
                    await dialled.send("sync", [b"%d" % n])
                    assert await accepted.receive("sync") == b"%d" % n
                    await (dialled if n % 2 else accepted).aclose()

    async def test_closing_the_transport_ends_its_connections(self, network: Network) -> None:
        with trio.fail_after(LIMIT):
            async with network.open() as (near, _):
                async with network.open() as (far, far_id):
                    dialled, accepted = await connect(near, far, far_id)
                await gone(lambda: dialled.receive("sync"))
                with pytest.raises(PeerGone):
                    await accepted.receive("sync")
