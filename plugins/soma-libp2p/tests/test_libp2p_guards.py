"""The seven guards and what is beside them, each with real sockets: one peer misbehaves, the others are served."""

import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamReset
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.upgrader import TransportUpgrader
from libp2p_attacker import Attacker, attacker, is_cut, node, tcp, wire_on

from soma_core.api import CHANNELS, Budget, Connection, PeerGone, Transport
from soma_core.testing import KeyIdentity
from soma_libp2p import Libp2pConfig
from soma_libp2p._address import Address
from soma_libp2p._frames import frame
from soma_libp2p._hello import greet
from soma_libp2p._transport import Libp2pTransport
from soma_libp2p._upgrade import Upgrader
from soma_libp2p._yamux import BUFFERED, STREAMS, WINDOW, GuardedStream

VICTIM, HONEST, MALLORY = (KeyIdentity.number(n) for n in (1, 2, 3))
QUICK = Libp2pConfig(hello_timeout=0.5)


@pytest.fixture
async def victim(tmp_path: Path) -> AsyncIterator[Libp2pTransport]:
    async with node(tmp_path / "victim", VICTIM, QUICK) as transport:
        yield transport


@pytest.fixture
async def honest(tmp_path: Path) -> AsyncIterator[Transport]:
    async with node(tmp_path / "honest", HONEST) as transport:
        yield transport


async def talk(near: Transport, far: Transport, far_id: KeyIdentity = VICTIM) -> Connection:
    """An honest connection works, and quickly. Returns the far end."""
    with trio.fail_after(10):
        dialled = await near.dial(far.addresses[0], far_id.peer)
        accepted = await far.accept()
        assert accepted.peer == HONEST.peer
        await dialled.send("sync", [b"hello"])
        assert await accepted.receive("sync") == b"hello"
    return accepted


async def ends(attempt: Callable[[], Awaitable[object]], limit: float = 2.0) -> None:
    """`attempt` fails within `limit` seconds, one way or another."""
    with trio.fail_after(limit):
        try:
            await attempt()
        except Exception:  # noqa: BLE001  # py-libp2p has many
            return
    raise AssertionError("the attempt succeeded")


# Who is there ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["/plaintext/2.0.0", "/secio/1.0.0", "/tls/1.0.0", "/quic"])
async def test_identity_spoofing_nothing_but_noise_is_spoken(
    victim: Libp2pTransport, honest: Transport, protocol: str
) -> None:
    def line(text: str) -> bytes:
        return bytes([len(text) + 1]) + text.encode() + b"\n"

    stream = await tcp(victim.addresses[0])
    async with stream:
        await stream.send_all(line("/multistream/1.0.0") + line(protocol))
        answer = b""
        with trio.fail_after(10):
            while not answer.endswith(b"na\n"):
                answer += await stream.receive_some(100)
        assert answer == line("/multistream/1.0.0") + line("na")
        await talk(honest, victim)


async def test_identity_spoofing_by_a_plaintext_dialler_is_refused(victim: Libp2pTransport, honest: Transport) -> None:
    stolen = ID.from_string(Address.parse(honest.addresses[0]).peer_id)
    pair = create_new_key_pair()
    liar = TransportUpgrader({PLAINTEXT_PROTOCOL_ID: InsecureTransport(pair)}, {})
    stream = await tcp(victim.addresses[0])
    async with stream:
        await ends(lambda: liar.upgrade_security(wire_on(stream), is_initiator=True, peer_id=stolen))
    await talk(honest, victim)


async def test_identity_spoofing_of_a_listener_is_refused(victim: Libp2pTransport, honest: Transport) -> None:
    where = Address.parse(victim.addresses[0])
    elsewhere = Address.parse(honest.addresses[0]).peer_id
    with pytest.raises(PeerGone, match=r"does not correspond|[Mm]ismatch|handshake"):
        await honest.dial(str(Address(where.kind, where.host, where.port, elsewhere)), VICTIM.peer)
    with pytest.raises(PeerGone, match="names no peer id"):
        await honest.dial(str(Address(where.kind, where.host, where.port, None)), VICTIM.peer)


async def test_identity_spoofing_by_passing_on_a_hello_is_refused(victim: Libp2pTransport, tmp_path: Path) -> None:
    """Mallory has the honest node dial her and passes every word of the hello on to the victim and back."""
    relayed = trio.Event()

    async def relay(transport: Libp2pTransport) -> None:
        async with attacker(victim.addresses[0]) as us:
            onward = await us.open("sync")

            async def pump() -> None:
                while True:
                    await onward.write(await inward.read_some())

            from soma_libp2p._connection import Arrivals, Link

            listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
            port = listener.socket.getsockname()[1]
            mallory_id = transport._upgrader.peer_id
            async with trio.open_nursery() as nursery:

                async def lure() -> None:
                    address = f"/ip4/127.0.0.1/tcp/{port}/p2p/{mallory_id.to_base58()}"
                    with pytest.raises(PeerGone):
                        await honest_node.dial(address, VICTIM.peer)
                    relayed.set()

                nursery.start_soon(lure)
                stream = await listener.accept()
                link = Link(stream, Budget(), is_initiator=False)
                muxed = await transport._upgrader.upgrade(link.wire, None)
                nursery.start_soon(muxed.start)
                arrivals = Arrivals(link, muxed, transport._log, welcome=True)
                nursery.start_soon(link.until_over, lambda: arrivals.run(1.0))
                inward = await arrivals.get("sync")
                nursery.start_soon(link.until_over, pump)

                async def back() -> None:
                    while True:
                        await inward.write(await onward.read_some())

                nursery.start_soon(link.until_over, back)
                with trio.fail_after(3):
                    await relayed.wait()
                nursery.cancel_scope.cancel()
            await listener.aclose()

    async with (
        node(tmp_path / "mallory", MALLORY) as mallory,
        node(tmp_path / "lured", HONEST, QUICK) as honest_node,
    ):
        await relay(mallory)
        assert relayed.is_set()
        assert victim.admission.counts()[1] == 0, "the victim took mallory for the honest node"


async def is_cut_muxed(us: Attacker, limit: float = 2.0) -> bool:
    with trio.move_on_after(limit):
        await us.muxed.event_closed.wait()
        return True
    return False


@pytest.mark.parametrize(
    "words",
    [
        frame(b"\x02" + bytes(64)),
        frame(b"\x01" + bytes(63)),
        frame(b""),
        frame(b"\x01" + bytes(64)) + frame(bytes(64)),
        struct.pack(">I", 0xFFFFFFFF) + b"x" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
async def test_bad_hello_ends_the_connection(victim: Libp2pTransport, honest: Transport, words: bytes) -> None:
    async with attacker(victim.addresses[0]) as us:
        stream = await us.open("sync")
        await stream.write(words)
        assert await is_cut_muxed(us)
    assert victim.admission.counts() == (0, 0)
    await talk(honest, victim)


async def test_slow_loris_hello_has_a_time_limit(victim: Libp2pTransport, honest: Transport) -> None:
    async with attacker(victim.addresses[0]) as silent, attacker(victim.addresses[0]) as halfway:
        await silent.open("sync")
        stream = await halfway.open("sync")
        await greet(stream, MALLORY, VICTIM.peer, halfway.ours, halfway.theirs)  # proved, but opens no other channel
        await talk(honest, victim)
        assert await is_cut_muxed(silent)
        assert await is_cut_muxed(halfway)
    assert victim.admission.counts() == (0, 1)


async def test_dial_has_a_time_limit(tmp_path: Path) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    p2p = ID.from_pubkey(create_new_key_pair().public_key).to_base58()
    async with listener, node(tmp_path / "n", HONEST, Libp2pConfig(hello_timeout=0.2)) as transport:
        with trio.fail_after(10), pytest.raises(PeerGone, match=r"no proof of a key within 0\.2 s"):
            await transport.dial(f"/ip4/127.0.0.1/tcp/{port}/p2p/{p2p}", VICTIM.peer)


# What they send -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00",
        bytes(range(256)) * 16,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 10_000,
        b"\x80" * 9 + b"\x01" + b"x" * 100_000,
        b"\x13/multistream/1.0.0\n" + b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"y" * 100_000,
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff\xff" + b"z" * 65_535,
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\x00\x20" + b"z" * 32 + b"\x00\x00" * 50,
        b"\x13/multistream/1.0.0\n\x04\xff\xfe\xfd\n",
        b"\x13/multistream/1.0.0\n" + b"\x03ls\n" * 500,
    ],
)
async def test_garbage_is_cut_off_and_nobody_else_notices(
    victim: Libp2pTransport, honest: Transport, garbage: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = await tcp(victim.addresses[0])
    async with stream:
        await stream.send_all(garbage)
        await talk(honest, victim)
        assert await is_cut(stream, 2)
    assert victim.admission.counts() == (0, 1)
    assert capfd.readouterr() == ("", ""), "strangers write nothing on our terminal"


LONG_LINE = b"\x13/multistream/1.0.0\n" + b"\xff\xff\xff\xff\xff\x1f" + bytes(50_000)
"""Announces a negotiation line of a terabyte and begins to send it."""


async def test_long_line_is_cut_off_at_its_announcement(tmp_path: Path, honest: Transport) -> None:
    """In each of the three negotiations, long before the time for a hello is over."""
    async with node(tmp_path / "v", VICTIM, Libp2pConfig(hello_timeout=30)) as victim:
        stream = await tcp(victim.addresses[0])
        async with stream:  # which security
            await stream.send_all(LONG_LINE)
            assert await is_cut(stream, 1)
        stream = await tcp(victim.addresses[0])
        async with stream:  # which multiplexer
            wire = wire_on(stream)
            p2p = ID.from_string(Address.parse(victim.addresses[0]).peer_id)
            secured = await Upgrader(create_new_key_pair())._security.upgrade_security(wire, True, p2p)  # noqa: FBT003
            await secured.write(LONG_LINE)
            assert await is_cut(stream, 1)
        async with attacker(victim.addresses[0]) as us:  # which protocol on a stream
            raw = await us.muxed.open_stream()
            await raw.write(LONG_LINE)
            with trio.fail_after(10), pytest.raises((MuxedStreamEOF, MuxedStreamReset)):
                while True:
                    await raw.read(1000)
        await talk(honest, victim)


async def test_slow_loris_negotiation_is_cut_off(victim: Libp2pTransport, honest: Transport) -> None:
    """A byte now and then, each in good time: the limit is for the whole way to a proved key."""
    stream = await tcp(victim.addresses[0])
    async with stream, trio.open_nursery() as nursery:

        async def drip() -> None:
            with suppress(trio.BrokenResourceError):
                for byte in b"\x13/multistream/1.0.0\n\x07/noise\n" * 2:
                    await stream.send_all(bytes([byte]))
                    await trio.sleep(0.05)

        nursery.start_soon(drip)
        await talk(honest, victim)
        assert await is_cut(stream, 1)
        assert victim.admission.counts() == (0, 1)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("size", [(1 << 20) + 1, 1 << 31, (1 << 32) - 1])
async def test_oversized_frame_ends_the_connection(victim: Libp2pTransport, honest: Transport, size: int) -> None:
    async with attacker(victim.addresses[0]) as us:
        streams = await us.prove(MALLORY, VICTIM.peer)
        accepted = await victim.accept()
        await streams["blobs"].write(frame(b"fine") + struct.pack(">I", size) + b"x" * 1000)
        with trio.fail_after(10):
            assert await accepted.receive("blobs") == b"fine"
            with pytest.raises(PeerGone):
                await accepted.receive("blobs")
        assert await is_cut_muxed(us)
    await talk(honest, victim)


async def test_flow_control_abuse_is_cut_off(
    victim: Libp2pTransport, honest: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    async with attacker(victim.addresses[0]) as us:
        streams = await us.prove(MALLORY, VICTIM.peer)
        accepted = await victim.accept()
        stream_id = streams["blobs"]._raw.stream_id
        body = frame(bytes(60_000))
        header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, stream_id, len(body))
        sent = 0

        async def overrun() -> None:
            nonlocal sent
            while True:
                await us.muxed._write_frame(header + body)
                sent += len(body)

        await ends(overrun, 5)
        kernel = 16 << 20  # what the sockets' own buffers may hold on loopback
        assert sent < BUFFERED + QUICK.inbox_kb * 1024 + (2 << 20) + kernel
        got = 0
        with pytest.raises(PeerGone):
            while True:
                got += len(await accepted.receive("blobs"))
        assert got <= QUICK.inbox_kb * 1024, "what the victim held of it"
    assert caplog.records == [], "what a peer does is no news for the operator's terminal"
    await talk(honest, victim)


async def test_flow_control_abuse_by_a_stranger_is_cut_off_sooner(tmp_path: Path, honest: Transport) -> None:
    """Before the proof there is no window worth its name, and 128 strangers take 8 MiB."""
    async with node(tmp_path / "v", VICTIM, Libp2pConfig(hello_timeout=30)) as victim:
        async with attacker(victim.addresses[0]) as us:
            stream = await us.open("blobs")  # nobody reads it before the hello

            async def fill() -> None:
                await stream.write(bytes(200_000))  # within the 256 kB that yamux gives from the start
                await us.muxed.event_closed.wait()
                raise ConnectionError

            await ends(fill, 1)
        await talk(honest, victim)


async def test_slow_reader_bounds_what_an_honest_peer_may_send(victim: Libp2pTransport, honest: Transport) -> None:
    await talk(honest, victim)
    dialled = await honest.dial(victim.addresses[0], VICTIM.peer)
    accepted = await victim.accept()
    sent = 0
    with trio.move_on_after(0.5):
        while True:
            await dialled.send("blobs", [bytes(10_000)])
            sent += 10_000
    outbox = Libp2pConfig().outbox_kb * 1024
    # inbox, one frame being read, the window (which py-libp2p may exceed by one read), the writer's batch, the outbox
    assert sent < QUICK.inbox_kb * 1024 + (1 << 20) + 2 * WINDOW + 2 * outbox
    assert victim._budget.held > QUICK.inbox * 10_000 + 0.9 * WINDOW, "what waits in the window counts too"
    for _ in range(sent // 10_000):
        assert await accepted.receive("blobs") == bytes(10_000)


async def test_thousands_of_streams_are_cut_off(victim: Libp2pTransport, honest: Transport) -> None:
    async with attacker(victim.addresses[0]) as us:
        await us.prove(MALLORY, VICTIM.peer)
        await victim.accept()

        async def flood() -> None:
            for n in range(101, 6001, 2):
                syn = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, yamux.FLAG_SYN, n, 0)
                await us.muxed._write_frame(syn)
                await trio.lowlevel.checkpoint()
            await trio.sleep(2)
            raise AssertionError("3000 streams are open")

        await ends(flood, 3)
        assert await is_cut_muxed(us)
    await talk(honest, victim)


async def test_foreign_protocols_are_refused_and_the_connection_lives(victim: Libp2pTransport) -> None:
    """What js-libp2p and go-libp2p ask first: identify, ping."""
    from libp2p.protocol_muxer.multiselect_client import MultiselectClient
    from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator

    from soma_libp2p._stream import Stream

    async with attacker(victim.addresses[0]) as us:
        streams = await us.prove(MALLORY, VICTIM.peer)
        accepted = await victim.accept()
        for _ in range(2 * STREAMS):
            raw = await us.muxed.open_stream()
            with pytest.raises(Exception, match="not supported"):
                await MultiselectClient().select_one_of(
                    ["/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"], MultiselectCommunicator(Stream(raw))
                )
            await raw.reset()
        await streams["sync"].write(frame(b"still here"))
        with trio.fail_after(10):
            assert await accepted.receive("sync") == b"still here"


async def test_second_stream_of_a_channel_ends_the_connection(victim: Libp2pTransport, honest: Transport) -> None:
    async with attacker(victim.addresses[0]) as us:
        await us.prove(MALLORY, VICTIM.peer)
        await victim.accept()
        await ends(lambda: us.open("blobs"))
        assert await is_cut_muxed(us)
    await talk(honest, victim)


# How much they make us hold -------------------------------------------------------------------------------------------


async def test_memory_for_peers_is_bounded_over_all_connections(tmp_path: Path, honest: Transport) -> None:
    """Twelve peers that fill what is not read, each with less than it alone may have; the honest one is served."""
    budget = Budget(6 << 20)
    most = 0
    async with node(tmp_path / "v", VICTIM, budget=budget) as victim, AsyncExitStack() as stack:
        accepted = await talk(honest, victim)
        attackers = [await stack.enter_async_context(attacker(victim.addresses[0])) for _ in range(12)]
        greedy = []
        for number, us in enumerate(attackers, 10):
            streams = await us.prove(KeyIdentity.number(number), VICTIM.peer)
            greedy.append(await victim.accept())
            before = budget.held
            with trio.move_on_after(0.05):
                await streams["blobs"].write(frame(bytes(900_000)) + frame(bytes(900_000)))
            with trio.move_on_after(0.5):  # on a busy machine it comes later
                while budget.held <= before < 5 << 20:  # noqa: ASYNC110  # nobody tells
                    await trio.sleep(0.001)
            most = max(most, budget.held)
            assert budget.held <= budget.most
        assert most > 5 << 20, "the attack took what it could"
        assert sum([await is_cut_muxed(us, 0.3) for us in attackers]) >= 6
        await accepted.send("sync", [b"still here"])
        for connection in greedy:
            await connection.aclose()
        await accepted.aclose()
        assert budget.held == 0


async def test_what_is_read_and_sent_is_not_counted_any_more(tmp_path: Path, honest: Transport) -> None:
    budget = Budget()
    async with node(tmp_path / "v", VICTIM, budget=budget) as victim:
        dialled = await honest.dial(victim.addresses[0], VICTIM.peer)
        accepted = await victim.accept()
        for size in (0, 1, 100, 70_000, 1 << 20):
            for channel in CHANNELS:
                await dialled.send(channel, [bytes(size)] * 3)
                assert [await accepted.receive(channel) for _ in range(3)] == [bytes(size)] * 3
                await accepted.send(channel, [bytes(size)] * 3)
                assert [await dialled.receive(channel) for _ in range(3)] == [bytes(size)] * 3
        with trio.fail_after(10):
            while budget.held:  # noqa: ASYNC110  # the last window update is on its way
                await trio.sleep(0.001)
        await dialled.send("blobs", [bytes(50_000)] * 10)
        await dialled.send("sync", [b"last"])
        assert await accepted.receive("sync") == b"last"
        with trio.fail_after(10):
            while budget.held != 500_000:  # noqa: ASYNC110  # nobody tells; they stay, for nobody reads them
                await trio.sleep(0.001)


# How many come --------------------------------------------------------------------------------------------------------


async def test_half_open_flood_of_450_does_not_lock_peers_out(tmp_path: Path, honest: Transport) -> None:
    """More than the 260 that lock py-libp2p's host up, from the address of the honest peer; the limits as they are."""
    config = Libp2pConfig(hello_timeout=1.0)
    async with node(tmp_path / "v", VICTIM, config) as victim, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(await tcp(victim.addresses[0])) for _ in range(450)]
        await trio.sleep(0.05)
        assert victim.admission.counts()[0] == config.max_half_open
        for _ in range(5):
            await talk(honest, victim)
        half_open, proved = victim.admission.counts()
        assert (half_open <= config.max_half_open, proved) == (True, 5)
        with trio.fail_after(10):
            for stream in sockets:
                assert await is_cut(stream, 2)
        assert victim.admission.counts() == (0, 5)


async def test_proved_connections_are_bounded(tmp_path: Path, honest: Transport) -> None:
    async with node(tmp_path / "v", VICTIM, Libp2pConfig(max_connections=3)) as victim:
        ends_ = [await talk(honest, victim) for _ in range(3)]
        with pytest.raises(PeerGone):
            await honest.dial(victim.addresses[0], VICTIM.peer)
        await ends_[0].aclose()
        await talk(honest, victim)


async def test_connections_nobody_accepts_are_bounded(tmp_path: Path, honest: Transport) -> None:
    async with node(tmp_path / "v", VICTIM, Libp2pConfig(backlog=2)) as victim:
        kept = [await honest.dial(victim.addresses[0], VICTIM.peer) for _ in range(2)]

        async def one_more() -> None:
            await (await honest.dial(victim.addresses[0], VICTIM.peer)).receive("sync")

        with trio.fail_after(10), pytest.raises(PeerGone):
            await one_more()
        for dialled in kept:
            accepted = await victim.accept()
            await accepted.send("sync", [b"kept"])
            assert await dialled.receive("sync") == b"kept"
        await talk(honest, victim)


# Time, cancellation, death --------------------------------------------------------------------------------------------


async def test_cancelled_writes_do_not_hurt_the_connection(victim: Libp2pTransport, honest: Transport) -> None:
    dialled = await honest.dial(victim.addresses[0], VICTIM.peer)
    accepted = await victim.accept()
    got: list[bytes] = []

    async def drain() -> None:
        while (message := await accepted.receive("blobs")) != b"end":
            got.append(message)
            await trio.sleep(0.0005)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drain)
            for n in range(120):
                with trio.move_on_after(0.001):
                    await dialled.send("blobs", [bytes([n]) * 300_000] * 3)
            await dialled.send("blobs", [b"end"])
    assert got
    assert all(len(message) == 300_000 and len(set(message)) == 1 for message in got), "only whole messages arrive"


async def test_cancelled_reads_do_not_hurt_the_connection(victim: Libp2pTransport, honest: Transport) -> None:
    """12 MB while the reader is cancelled every 200 µs: in py-libp2p a read writes too; cut short, it is all over."""
    dialled = await honest.dial(victim.addresses[0], VICTIM.peer)
    accepted = await victim.accept()
    count, got, cancelled = 200, [], 0

    async def write() -> None:
        for n in range(count):
            await dialled.send("blobs", [bytes([n]) * 60_000])

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            while len(got) < count:
                with trio.move_on_after(0.0002) as scope:
                    got.append(await accepted.receive("blobs"))
                cancelled += scope.cancelled_caught
        assert got == [bytes([n]) * 60_000 for n in range(count)]
        assert cancelled > 20
        await accepted.send("blobs", [b"and back"])
        assert await dialled.receive("blobs") == b"and back"


async def test_failed_dial_leaves_no_blacklist(tmp_path: Path, honest: Transport) -> None:
    async with node(tmp_path / "v", VICTIM) as victim:
        address = victim.addresses[0]
    port = Address.parse(address).port
    for _ in range(3):
        with pytest.raises(PeerGone, match="nobody answers"):
            await honest.dial(address, VICTIM.peer)
    started = trio.current_time()
    async with node(tmp_path / "v", VICTIM, Libp2pConfig(listen=f"/ip4/127.0.0.1/tcp/{port}")) as victim:
        assert victim.addresses == (address,), "the address is stable"
        await talk(honest, victim)
    assert trio.current_time() - started < 1


async def test_frozen_peer_cannot_delay_the_end(tmp_path: Path, victim: Libp2pTransport) -> None:
    async with attacker(victim.addresses[0], receive_buffer=4096) as us:
        await us.prove(MALLORY, VICTIM.peer)
        accepted = await victim.accept()
        us.freeze()
        ended = trio.Event()

        async def write() -> None:
            with pytest.raises(PeerGone):
                while True:
                    await accepted.send("blobs", [bytes(500_000)])
            ended.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            await trio.sleep(0.1)
            assert not ended.is_set(), "the writer waits for the frozen peer"
            started = trio.current_time()
            await accepted.aclose()
            with trio.fail_after(10):
                await ended.wait()
            assert trio.current_time() - started < 2


async def test_transport_closes_at_once_beside_a_frozen_peer(tmp_path: Path) -> None:
    async with node(tmp_path / "v", VICTIM) as victim, attacker(victim.addresses[0], receive_buffer=4096) as us:
        await us.prove(MALLORY, VICTIM.peer)
        accepted = await victim.accept()
        us.freeze()
        with trio.move_on_after(0.1):
            while True:
                await accepted.send("blobs", [bytes(500_000)])
        started = trio.current_time()
        victim._nursery.cancel_scope.cancel()
        with trio.fail_after(10), pytest.raises(PeerGone):
            await accepted.receive("sync")
    assert trio.current_time() - started < 2


async def test_reborn_peer_with_the_same_identity_is_served_beside_its_frozen_self(
    victim: Libp2pTransport, tmp_path: Path
) -> None:
    """The old process hangs and its socket stays open; the new one has the same keys, both of them."""
    async with attacker(victim.addresses[0]) as old:
        await old.prove(HONEST, VICTIM.peer)
        stale = await victim.accept()
        old.freeze()
        async with node(tmp_path / "reborn", HONEST) as reborn:
            fresh = await talk(reborn, victim)
            assert fresh.peer == stale.peer
            await stale.aclose()  # newest wins: the network layer's decision
            await fresh.send("hints", [b"x"])
            with pytest.raises(PeerGone):
                await stale.receive("sync")


@pytest.mark.slow
async def test_frozen_peer_stopped_by_a_signal_cannot_delay_the_end(tmp_path: Path, honest: Transport) -> None:
    """A real one, by SIGSTOP: its system goes on acknowledging, it never reads."""
    program = (
        "import sys, trio; from pathlib import Path; from libp2p_attacker import node, KeyIdentity\n"
        "async def main():\n"
        "    async with node(Path(sys.argv[1]), KeyIdentity.number(1)) as t:\n"
        "        print(t.addresses[0], flush=True); c = await t.accept(); await c.send('sync', [b'up'])\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)"
    )
    process = await trio.lowlevel.open_process(
        [sys.executable, "-c", program, str(tmp_path / "stopped")], stdout=subprocess.PIPE, cwd=Path(__file__).parent
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(20):
            address = (await process.stdout.receive_some()).decode().strip()
            dialled = await honest.dial(address, VICTIM.peer)
            assert await dialled.receive("sync") == b"up"
            process.send_signal(signal.SIGSTOP)
            with trio.move_on_after(0.5):
                while True:
                    await dialled.send("blobs", [bytes(500_000)])
            started = trio.current_time()
            await dialled.aclose()
            with pytest.raises(PeerGone):
                await dialled.receive("sync")
            assert trio.current_time() - started < 2
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


@pytest.mark.slow
async def test_writer_waits_longer_than_five_seconds(victim: Libp2pTransport, honest: Transport) -> None:
    dialled = await honest.dial(victim.addresses[0], VICTIM.peer)
    accepted = await victim.accept()
    count = 60

    async def write() -> None:
        for n in range(count):
            await dialled.send("blobs", [bytes([n]) * 200_000])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        await trio.sleep(6)
        for n in range(count):
            assert await accepted.receive("blobs") == bytes([n]) * 200_000


async def test_py_libp2p_builds_what_we_guard(victim: Libp2pTransport, honest: Transport) -> None:
    """Fails when a new release of py-libp2p no longer uses the names that `install` replaces."""
    async with attacker(victim.addresses[0]) as us:
        streams = await us.prove(MALLORY, VICTIM.peer)
        await victim.accept()
        assert {type(stream._raw) for stream in streams.values()} == {GuardedStream}
        assert streams["sync"]._raw.target_recv_window == WINDOW == yamux.MAX_WINDOW_SIZE
    await talk(honest, victim)
