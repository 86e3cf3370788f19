"""Blobs between peers: from several at a time, resumed, never from who lies."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define
from net.peers_world import address, connected, node, peer_of
from trio.testing import MockClock

from soma_core.api import PeerId
from soma_core.errors import CorruptionError, RefusedError, UnreachableError
from soma_core.net import BlobStore, Network, Refusal, Reply, fetch, manifest_of, serve_blobs
from soma_core.net import _fetch as rules
from soma_core.net import _peers as peers_rules
from soma_core.net._blobs import CHUNK_SIZE
from soma_core.records import pack
from soma_memory import Fabric

DATA = b"".join(bytes([n]) * CHUNK_SIZE for n in range(20)) + b"end"
"""21 chunks."""
OTHER = b"another blob"


@define(eq=False)
class Source:
    """A peer that serves blobs, rightly or not. `served`: places of chunks asked of it."""

    data: bytes = DATA
    lie: Callable[[str, int, bytes], bytes | None] = lambda _op, _place, right: right
    """What is sent for (operation, place, right answer); None: nothing, ever."""
    delay: float = 0.0
    """Seconds before each answer."""
    served: list[int] | None = None

    def prepare(self, network: Network) -> None:
        self.served = []
        manifest = manifest_of(self.data)

        async def answer(op: str, place: int, right: bytes) -> Reply:
            await trio.sleep(self.delay)
            payload = self.lie(op, place, right)
            if payload is None:
                await trio.sleep_forever()
            assert payload is not None
            return Reply(payload=payload)

        async def manifests(_peer: PeerId, _body: Any, _payload: bytes) -> Reply:
            return await answer("manifest", -1, pack(manifest))

        async def chunks(_peer: PeerId, body: Any, _payload: bytes) -> Reply:
            place = body["place"]
            self.served.append(place)
            return await answer("chunk", place, self.data[place * CHUNK_SIZE : (place + 1) * CHUNK_SIZE])

        network.serve("blob.manifest", manifests, channel="blobs")
        network.serve("blob.chunk", chunks, channel="blobs")


@asynccontextmanager
async def world(
    tmp_path: Path, *sources: Source, fabric: Fabric | None = None, **limits: Any
) -> AsyncIterator[tuple[Network, BlobStore, tuple[PeerId, ...]]]:
    """Node 1 with an empty store, connected to a peer for each source, which are 2, 3, …"""
    fabric = fabric or Fabric(delay_ms=(1, 5))
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(node(fabric, 1))
        for number, source in enumerate(sources, 2):
            await stack.enter_async_context(node(fabric, number, [address(1, "/memory/1")], prepare=source.prepare))
        numbers = range(2, 2 + len(sources))
        await connected(one, *numbers)
        (tmp_path / "blobs").mkdir(exist_ok=True)
        yield one, BlobStore(tmp_path / "blobs", **limits), tuple(peer_of(n) for n in numbers)


NAME = manifest_of(DATA).digest


@pytest.fixture(autouse=True)
def in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual clock does not wait for threads: it would let time pass while they work."""

    async def run_sync(call: Callable[..., Any], *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return call(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


async def test_a_blob_comes_from_a_real_store(tmp_path: Path, autojump_clock: MockClock) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = BlobStore(tmp_path / "theirs")
    assert theirs.put(DATA) == NAME
    fabric = Fabric(seed=3, delay_ms=(1, 20))
    async with (
        node(fabric, 1) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=lambda n: serve_blobs(n, theirs)),
    ):
        await connected(one, 2)
        ours = BlobStore(tmp_path)
        await fetch(one, ours, NAME, one.peers)
        assert ours.get(NAME) == DATA
        await fetch(one, ours, NAME, ())
        with pytest.raises(UnreachableError, match="none of 1 peers gave all of blob"):
            await fetch(one, ours, bytes(32), one.peers)
        assert one.peers == (peer_of(2),), "not to have a blob is no lie"


async def test_a_store_whose_blob_rotted_says_that_it_has_none_and_lives(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = BlobStore(tmp_path / "theirs")
    theirs.put(DATA)
    rotten = bytearray(DATA)
    rotten[5 * CHUNK_SIZE] ^= 1
    (tmp_path / "theirs" / NAME.hex()).write_bytes(rotten)
    good = Source()
    fabric = Fabric()
    async with (
        node(fabric, 1) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=lambda n: serve_blobs(n, theirs)) as two,
        node(fabric, 3, [address(1, "/memory/1")], prepare=good.prepare),
    ):
        await connected(one, 2, 3)
        ours = BlobStore(tmp_path)
        with pytest.raises(UnreachableError):
            await fetch(one, ours, NAME, [peer_of(2)])
        assert not theirs.has(NAME)
        assert two.peers == (peer_of(1),), "both go on"
        await fetch(one, ours, NAME, [peer_of(2), peer_of(3)])
        assert ours.get(NAME) == DATA
        assert 5 in good.served
        assert len(good.served) < 21, "what the first gave rightly is not asked for again"


@pytest.mark.parametrize("place", [b"x", None])
async def test_asking_for_no_chunk_is_refused(tmp_path: Path, place: Any, autojump_clock: MockClock) -> None:
    theirs = BlobStore(tmp_path)
    name = theirs.put(OTHER)
    fabric = Fabric()
    async with (
        node(fabric, 1) as one,
        node(fabric, 2, [address(1, "/memory/1")], prepare=lambda n: serve_blobs(n, theirs)),
    ):
        await connected(one, 2)
        for body, code in (
            ({"blob": name, "place": place}, "malformed"),
            ({"blob": name}, "malformed"),
            ({"blob": name[1:], "place": 0}, "malformed"),
            ({"blob": name, "place": 1}, "refused"),
            ({"blob": bytes(32), "place": 0}, "absent"),
        ):
            with pytest.raises(Refusal) as caught:
                await one.request(peer_of(2), "blobs", "blob.chunk", body)
            assert caught.value.code == code


async def test_several_peers_share_the_work(tmp_path: Path, autojump_clock: MockClock) -> None:
    sources = [Source() for _ in range(3)]
    async with world(tmp_path, *sources) as (one, store, peers):
        await fetch(one, store, NAME, peers)
        assert store.get(NAME) == DATA
        served = [source.served for source in sources]
        assert sorted(place for places in served for place in places) == list(range(21)), "each chunk once"
        assert min(map(len, served)) >= 3


def wrong_manifest(op: str, _place: int, right: bytes) -> bytes:
    return pack(manifest_of(OTHER)) if op == "manifest" else right


def no_manifest(op: str, _place: int, right: bytes) -> bytes:
    return b"\xff" if op == "manifest" else right


def wrong_chunk(op: str, _place: int, right: bytes) -> bytes:
    return bytes(len(right)) if op == "chunk" else right


def short_chunk(op: str, _place: int, right: bytes) -> bytes:
    return right[:-1] if op == "chunk" else right


@pytest.mark.parametrize("lie", [wrong_manifest, no_manifest, wrong_chunk, short_chunk])
async def test_a_liar_is_dropped_and_the_rest_comes_from_others(
    tmp_path: Path, lie: Any, autojump_clock: MockClock
) -> None:
    data = b"".join(bytes([n + 1]) * CHUNK_SIZE for n in range(9))
    name = manifest_of(data).digest
    liar = Source(data, lie)
    async with world(tmp_path, liar, Source(data)) as (one, store, peers):
        with pytest.raises(UnreachableError):
            await fetch(one, store, name, peers[:1])
        await connected(one, 3)
        assert one.statistics.breaches == 1
        assert bool(liar.served) == (lie in {wrong_chunk, short_chunk}), "a false manifest is not worked from"
        await fetch(one, store, name, peers)
        assert store.get(name) == data
        await trio.sleep(peers_rules.SHUNNED / 2)
        assert one.peers == (peers[1],), "it does not come back soon"


async def test_silent_peers_do_not_stop_a_fetch(tmp_path: Path, autojump_clock: MockClock) -> None:
    def mute(_op: str, _place: int, _right: bytes) -> None:
        return None

    def stalls(op: str, _place: int, right: bytes) -> bytes | None:
        return right if op == "manifest" else None

    async with world(tmp_path, Source(lie=mute), Source(lie=stalls), Source()) as (one, store, peers):
        began = trio.current_time()
        await fetch(one, store, NAME, peers)
        assert store.get(NAME) == DATA
        assert trio.current_time() - began <= rules.CHUNK_LIMIT + 1
        assert one.statistics.breaches == 0
        assert set(one.peers) == set(peers), "to be slow is no lie"


async def test_a_source_that_fails_once_is_left_out_with_all_it_was_asked_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Its other chunk, which was on its way, is asked of others too."""

    def fails_first(op: str, place: int, right: bytes) -> bytes:
        if op == "chunk" and place == 0:
            raise Refusal("absent", "not here any more")
        return right

    fails = Source(lie=fails_first)
    good = Source(delay=0.2)
    async with world(tmp_path, fails, good) as (one, store, peers):
        await fetch(one, store, NAME, peers)
        assert store.get(NAME) == DATA
        assert 0 in fails.served
        assert len(fails.served) <= rules.WINDOW + 1, "it is asked for nothing more"
        assert 0 in good.served


async def test_all_silent_ends_with_what_to_do(tmp_path: Path, autojump_clock: MockClock) -> None:
    def mute(_op: str, _place: int, _right: bytes) -> None:
        return None

    async with world(tmp_path, *[Source(lie=mute)] * 2) as (one, store, peers):
        with pytest.raises(UnreachableError, match=r"none of 2 peers gave all of blob .*; ask again when more peers"):
            await fetch(one, store, NAME, peers)
        with pytest.raises(UnreachableError, match="none of 0 peers"):
            await fetch(one, store, NAME, ())


async def test_more_peers_than_sources_are_tried_in_turn(tmp_path: Path, autojump_clock: MockClock) -> None:
    def absent(_op: str, _place: int, _right: bytes) -> bytes:
        raise Refusal("absent", "not here")

    many = [Source(lie=absent) for _ in range(rules.SOURCES + 3)]
    async with world(tmp_path, *many, Source()) as (one, store, peers):
        await fetch(one, store, NAME, peers)
        assert store.has(NAME)


async def test_cut_off_in_between_a_fetch_goes_on_after_healing(tmp_path: Path, autojump_clock: MockClock) -> None:
    fabric = Fabric(delay_ms=(50, 50))
    source = Source()
    async with world(tmp_path, source, fabric=fabric) as (one, store, peers):
        with trio.move_on_after(0.45):
            await fetch(one, store, NAME, peers)
        came = set(source.served) - store.begin(manifest_of(DATA))
        assert 0 < len(came) < 21
        fabric.partition([peer_of(1)], [peers[0]])
        with pytest.raises(UnreachableError):
            await fetch(one, store, NAME, peers)
        fabric.heal()
        await connected(one, 2)
        source.served.clear()
        await fetch(one, store, NAME, peers)
        assert store.get(NAME) == DATA
        assert not came & set(source.served), "what came is not asked for again"


async def test_two_fetches_of_one_blob_do_not_harm_each_other(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with world(tmp_path, Source(), Source()) as (one, store, peers):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, one, store, NAME, peers[:1])
            nursery.start_soon(fetch, one, store, NAME, peers[1:])
        assert store.get(NAME) == DATA


async def test_a_blob_that_is_too_large_is_refused_and_nobody_blamed(tmp_path: Path, autojump_clock: MockClock) -> None:
    source = Source()
    async with world(tmp_path, source, max_blob=len(DATA) - 1) as (one, store, peers):
        with pytest.raises(RefusedError, match=f"has {len(DATA)} bytes; this network takes at most"):
            await fetch(one, store, NAME, peers)
        assert one.peers == peers
        assert source.served == []
        assert list((tmp_path / "blobs").iterdir()) == []


async def test_a_full_store_or_disk_ends_the_fetch_and_nobody_is_blamed(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, Source(), max_total=len(DATA) + 1000) as (one, store, peers):
        store.put(OTHER)
        with pytest.raises(RefusedError, match="the store of blobs is full"):
            await fetch(one, store, NAME, peers)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with world(tmp_path, Source()) as (one, store, peers):
        with monkeypatch.context() as patch, pytest.raises(RefusedError, match="No space left"):
            patch.setattr("os.pwrite", full)
            await fetch(one, store, NAME, peers)
        assert one.peers == peers
        await fetch(one, store, NAME, peers)
        assert store.has(NAME)


async def test_a_disk_that_keeps_something_else_is_found_before_the_blob_is_whole(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, Source()) as (one, store, peers):
        fill = BlobStore.fill
        with monkeypatch.context() as patch, pytest.raises(CorruptionError, match="get it again"):
            patch.setattr(BlobStore, "fill", lambda s, m, p, d: fill(s, m, p, bytes(len(d))))
            await fetch(one, store, NAME, peers)
        assert not store.has(NAME)
        await fetch(one, store, NAME, peers)
        assert store.get(NAME) == DATA


async def test_chunks_in_memory_are_bounded(tmp_path: Path, autojump_clock: MockClock) -> None:
    most = now = 0

    class Slow(Source):
        def prepare(self, network: Network) -> None:
            super().prepare(network)
            service = network._services["blob.chunk"]

            async def chunk(peer: PeerId, body: Any, payload: bytes) -> Reply:
                nonlocal most, now
                now += 1
                most = max(most, now)
                await trio.sleep(0.1)
                now -= 1
                return await service.handler(peer, body, payload)

            network._services["blob.chunk"] = type(service)(chunk, "blobs", 0)

    async with world(tmp_path, *[Slow() for _ in range(rules.SOURCES + 2)]) as (one, store, peers):
        await fetch(one, store, NAME, peers)
        assert most <= rules.SOURCES * rules.WINDOW
        assert most > rules.SOURCES
