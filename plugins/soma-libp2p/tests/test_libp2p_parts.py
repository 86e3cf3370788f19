"""The parts, without sockets where that is enough."""

import logging
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p_attacker import node, share
from trio.testing import MockClock

from soma_core.api import MAX_MESSAGE, PeerGone
from soma_core.testing import KeyIdentity
from soma_libp2p import Libp2pConfig
from soma_libp2p._address import Address
from soma_libp2p._admission import Admission
from soma_libp2p._frames import FrameError, Frames, frame
from soma_libp2p._hostkey import load_host_key
from soma_libp2p._mailbox import Mailbox

US = KeyIdentity.number(1)


@given(st.lists(st.binary(max_size=40), max_size=20), st.data())
def test_frames_survive_any_cutting(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, messages))
    frames, got, at = Frames(), [], 0
    while at < len(stream):
        size = data.draw(st.integers(1, len(stream) - at))
        got += frames.feed(stream[at : at + size])
        at += size
    assert got == messages


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, 1 << 24, (1 << 32) - 1])
def test_long_frame_is_refused_at_its_header(size: int) -> None:
    frames = Frames()
    assert list(frames.feed(frame(b"ok") + size.to_bytes(4, "big")[:3])) == [b"ok"]
    with pytest.raises(FrameError, match=str(size)):
        list(frames.feed(size.to_bytes(4, "big")[3:]))


def test_longest_frame_is_accepted() -> None:
    assert list(Frames().feed(frame(bytes(MAX_MESSAGE)))) == [bytes(MAX_MESSAGE)]


async def test_mailbox_counts_and_weighs(autojump_clock: MockClock) -> None:
    box = Mailbox(3, 100, share())
    for _ in range(3):
        await box.put(b"x")
    with trio.move_on_after(1) as waited:
        await box.put(b"fourth")
    assert waited.cancelled_caught
    assert [await box.take() for _ in range(3)] == [b"x"] * 3
    await box.put(b"a" * 500)  # alone, however heavy
    with trio.move_on_after(1) as waited:
        await box.put(b"")
    assert waited.cancelled_caught
    assert await box.take() == b"a" * 500
    await box.put(b"1")
    await box.put(b"2")
    assert await box.take_all() == b"12"


async def test_mailbox_loses_nothing_when_either_end_is_cancelled(autojump_clock: MockClock) -> None:
    counted = share()
    box = Mailbox(2, 100, counted)
    got: list[bytes] = []

    async def put() -> None:
        for n in range(50):
            done = False
            while not done:
                with trio.move_on_after(0.003):
                    await box.put(b"%d" % n)
                    done = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(put)
        while len(got) < 50:
            with trio.move_on_after(0.002):
                await trio.sleep(0.001)
                got.append(await box.take())
    assert got == [b"%d" % n for n in range(50)]
    assert counted.held == 0


async def test_closed_mailbox_wakes_both_ends(autojump_clock: MockClock) -> None:
    counted = share()
    full, empty = Mailbox(1, 100, counted), Mailbox(1, 100, share())
    await full.put(b"kept")

    async def gone(work: "trio.lowlevel.Task | object") -> None:
        with pytest.raises(PeerGone):
            await work  # type: ignore[misc]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(gone, full.put(b"late"))
        nursery.start_soon(gone, empty.take())
        await trio.sleep(1)
        assert counted.held == 8, "what waits at the door is held too"
        full.close(forget=False)
        empty.close(forget=True)
    assert counted.held == 4
    assert await full.take() == b"kept"
    assert counted.held == 0
    with pytest.raises(PeerGone):
        await full.take()


@pytest.mark.parametrize(
    "text",
    ["/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/0", "/dns4/node.example/tcp/65535/p2p/16Uiu2HAmabc", "/dns/a-b.c/tcp/1"],
)
def test_addresses_read_as_they_are_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/4001", "/ip4//tcp/1", "/ip4/1.2.3.4/tcp/65536", "/ip4/1.2.3.4/tcp/1/p2p/",  # noqa: E501
     "/ip4/1.2.3.4/tcp/1/ws", " /ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/1\n", "/ip4/1.2.3.4/tcp/-1", "127.0.0.1:4001"],
)  # fmt: skip
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address like"):
        Address.parse(text)


def test_host_key_is_kept_and_private(tmp_path: Path) -> None:
    first = load_host_key(tmp_path)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_host_key(tmp_path).private_key.to_bytes() == first.private_key.to_bytes()


@pytest.mark.parametrize("damage", [b"", b"short", bytes(32), b"\xff" * 32, b"x" * 33])
def test_damaged_host_key_is_named_and_kept(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "host.key").write_bytes(damage)
    with pytest.raises(OSError, match=r"host\.key is not a host key .*; remove it"):
        load_host_key(tmp_path)
    assert (tmp_path / "host.key").read_bytes() == damage


def test_interrupted_first_start_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "host.new").write_bytes(b"half")
    load_host_key(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["host.key"]


class FakeLink:
    def __init__(self) -> None:
        self.over = False
        self.at_end: list[object] = []

    def drop(self) -> None:
        self.over = True
        for call in self.at_end:
            call()  # type: ignore[operator]


def test_flood_from_one_host_costs_that_host() -> None:
    admission = Admission(4, 10)
    links = [FakeLink() for _ in range(9)]
    hosts = ["honest", *["flood"] * 7, "other"]
    for link, host in zip(links, hosts, strict=True):
        admission.arrive(link, host)  # type: ignore[arg-type]
    assert [link.over for link in links] == [False, *[True] * 5, *[False] * 3]
    assert admission.counts() == (4, 0)
    admission.prove(links[0])  # type: ignore[arg-type]
    assert admission.counts() == (3, 1)
    links[0].drop()
    assert admission.counts() == (3, 0)


async def test_address_is_stable_over_restarts(tmp_path: Path) -> None:
    async with node(tmp_path / "n", US) as first:
        before = first.addresses
    listen = Libp2pConfig(listen=f"/ip4/127.0.0.1/tcp/{Address.parse(before[0]).port}")
    async with node(tmp_path / "n", US, listen) as again:
        assert again.addresses == before


async def test_announced_address_is_what_peers_are_told(tmp_path: Path) -> None:
    config = Libp2pConfig(announce="/dns4/node.example/tcp/4001")
    async with node(tmp_path / "n", US, config) as transport:
        assert transport.addresses[0].startswith("/dns4/node.example/tcp/4001/p2p/16Uiu2")
    async with node(tmp_path / "n", US, Libp2pConfig(announce="/ip4/203.0.113.7/tcp/0")) as transport:
        assert Address.parse(transport.addresses[0]).port != 0, "the port that was free"


async def test_listening_everywhere_without_announcing_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "soma.test"):
        async with node(tmp_path / "n", US, Libp2pConfig(listen="/ip4/0.0.0.0/tcp/0")):
            pass
    assert "transport.libp2p.announce" in caplog.text


@pytest.mark.parametrize("listen", ["nonsense", "/ip4/203.0.113.255/tcp/1", "/ip4/127.0.0.1/udp/1"])
async def test_where_it_cannot_listen_is_said(tmp_path: Path, listen: str) -> None:
    with pytest.raises(OSError, match=r"transport\.libp2p\.listen: cannot listen at") as caught:
        async with node(tmp_path / "n", US, Libp2pConfig(listen=listen)):
            raise AssertionError("it listens")
    assert listen in str(caught.value)


async def test_taken_port_is_said(tmp_path: Path) -> None:
    async with node(tmp_path / "one", US) as one:
        taken = f"/ip4/127.0.0.1/tcp/{Address.parse(one.addresses[0]).port}"
        with pytest.raises(OSError, match="choose another address"):
            async with node(tmp_path / "two", US, Libp2pConfig(listen=taken)):
                raise AssertionError("both listen")


async def test_errors_inside_come_out_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with node(tmp_path / "n", US):
            raise KeyError("mine")


async def test_dialling_from_a_closed_transport_is_peer_gone(tmp_path: Path) -> None:
    async with node(tmp_path / "n", US) as transport:
        address = transport.addresses[0]
    with pytest.raises(PeerGone, match="closed"):
        await transport.dial(address, US.peer)


def test_importing_the_plugin_imports_neither_trio_nor_libp2p() -> None:
    code = "import sys, soma_libp2p; print({'trio', 'libp2p'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


async def test_mailbox_serves_several_who_wait(autojump_clock: MockClock) -> None:
    box = Mailbox(1, 100, share())
    await box.put(b"first")
    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(box.put, b"%d" % n)
        await trio.sleep(1)
        with trio.fail_after(5):
            got = [await box.take() for _ in range(6)]
    assert sorted(got) == [b"0", b"1", b"2", b"3", b"4", b"first"]
