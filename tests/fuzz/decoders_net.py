"""Decoders of what peers say: messages, hellos, requests on every channel, blobs, commits, and libp2p's streams."""

import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import trio
import trio.testing
from attrs import evolve
from decoder import Decoder, driven, no_law, same
from driver_world import DictLedger, InlineThread, quiet
from ledger_world import World, key

from soma_core import chain, codec, fixed, records
from soma_core.api import CHANNELS, Budget, PeerGone, PeerId
from soma_core.crypto import digest, signing_digest, verify
from soma_core.errors import DecodeError, UsageError, VerificationError
from soma_core.net import _address, _blobs, _fetch, _hello, _sync
from soma_core.net._counters import Counters
from soma_core.net._link import CONSENSUS_NOTE, Link
from soma_core.net._message import Message, decode_message, encode_message
from soma_core.net._queues import Inbox
from soma_core.net._requests import Reply, Service
from soma_core.net._text import shown
from soma_core.node.applying import Applying
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source, _commit
from soma_core.node.store import Store
from soma_libp2p import _address as libp2p_address
from soma_libp2p import _hello as libp2p_hello
from soma_libp2p._frames import FrameError, Frames, frame
from soma_libp2p._hostkey import _key as host_key
from soma_libp2p._stream import PROTOCOLS, Stream

PEER = PeerId(key(7).public)
HELLO = _hello.Hello(bytes(32), bytes(32), "0.1.0", _hello.NET_API, ("validator",), ("/ip4/127.0.0.1/tcp/4001",))

# Messages -------------------------------------------------------------------------------------------------------------


def _messages() -> list[bytes]:
    bodies: list[Message] = [
        Message("hello", body=records.to_value(HELLO)),
        Message("request", 1, _sync.ENTRIES, records.to_value(_sync.AskEntries(1, 5, 0))),
        Message("request", 2, _fetch.MANIFEST, records.to_value(_fetch.AskManifest(_blob()[1].digest))),
        Message("request", 3, _fetch.CHUNK, records.to_value(_fetch.AskChunk(_blob()[1].digest, 0))),
        Message("reply", 1, "", records.to_value(_sync.Head(3)), b"payload"),
        Message("error", 1, "", records.to_value(_hello.Fault("absent", "not here", "ask another peer"))),
        Message("error", 0, "", records.to_value(_hello.Fault("full", "no room", ""))),
        Message("note", 0, CONSENSUS_NOTE, {}, b"a block"),
        Message("ping", 1),
        Message("pong", 1),
    ]
    return [encode_message(body) for body in bodies]


def _message_again(message: Message, data: bytes) -> None:
    same(encode_message(message), data)


def _header(data: bytes) -> Message:
    """A header whose size and digest are made to fit, so that what is in it is reached."""
    payload = b"payload"
    value = codec.decode(data)
    if isinstance(value, dict) and value.get("size") == len(payload):  # type: ignore[call-overload]
        value = {**value, "digest": digest("soma/payload", payload)}  # type: ignore[dict-item]
    header = codec.encode(value)
    return decode_message(len(header).to_bytes(4, "big") + header + payload)


def _headers() -> list[bytes]:
    whole = [
        encode_message(Message("request", 1, "a.b", {"x": [1]}, b"payload")),
        encode_message(Message("reply", 1, "", {}, b"payload")),
        encode_message(Message("note", 0, "a.b", {}, b"payload")),
    ]
    return [message[4:-7] for message in whole]


BODIES: Sequence[type[Any]] = (
    *(_hello.Hello, _hello.Fault, _sync.AskEntries, _sync.Head, _sync.Entries, _fetch.AskManifest, _fetch.AskChunk),
    _blobs.Manifest,
)
"""Records of bodies and payloads. The first byte of an input says which one the rest should be."""


def _body(data: bytes) -> Any:
    return records.unpack(BODIES[data[0] % len(BODIES)] if data else _hello.Hello, data[1:])


def _body_again(body: Any, data: bytes) -> None:
    same(data[:1] + records.pack(body), data)
    if isinstance(body, _hello.Hello):
        assert shown(body.version).isprintable()
    if isinstance(body, _blobs.Manifest):
        assert body.count == -(-body.size // _blobs.CHUNK_SIZE)
        assert sum(map(body.length, range(body.count))) == body.size
        assert len(body.digest) == 32


def _bodies() -> list[bytes]:
    bodies: list[Any] = [
        *(HELLO, _hello.Fault("absent", "not here", ""), _sync.AskEntries(1, 256, 20_000), _sync.Head(9)),
        *(_sync.Entries((_sync.Entry(1, b"c", b"r", ((b"\0\0", bytes(64)),)),)), _fetch.AskManifest(bytes(32))),
        *(_fetch.AskChunk(bytes(32), 3), _blobs.manifest_of(bytes(300_000))),
    ]
    return [bytes([BODIES.index(type(body))]) + records.pack(body) for body in bodies]


# A link ---------------------------------------------------------------------------------------------------------------


@cache
def _blob() -> tuple[_blobs.BlobStore, _blobs.Manifest]:
    store = _blobs.BlobStore(Path(tempfile.mkdtemp(prefix="soma-fuzz-")))
    data = b"somebody's data"
    store.put(data)
    return store, _blobs.manifest_of(data)


class _Said:
    """A connection on which a peer said one thing and then left."""

    peer = PEER

    def __init__(self, data: bytes) -> None:
        self._data = [data]

    async def receive(self, _channel: str) -> bytes:
        await trio.lowlevel.checkpoint()
        if not self._data:
            raise PeerGone
        return self._data.pop()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


class _Services:
    """What a network serves, collected as `serve_blobs` and `serve_entries` give it."""

    def __init__(self) -> None:
        self.table: dict[str, Service] = {}

    def serve(self, op: str, handler: Callable[..., Awaitable[Reply]], *, channel: Any, max_payload: int = 0) -> None:
        self.table[op] = Service(handler, channel, max_payload)


@cache
def _services() -> dict[str, Service]:
    services: Any = _Services()
    _fetch.serve_blobs(services, _blob()[0])
    _sync.serve_entries(services, Source(_followed()[0], _inline(), Hub()))
    return dict(services.table)


def _inline() -> Any:
    return InlineThread()


def _said(data: bytes) -> Link:
    """The first byte names a channel, the rest is said on it; after the hello, to a node that serves everything."""
    channel = CHANNELS[data[0] % len(CHANNELS)] if data else CHANNELS[0]

    async def listen() -> Link:
        budget = Budget()
        connection: Any = _Said(data[1:])
        link = Link(connection, HELLO, _services(), Inbox(budget), Counters(), budget, dialled=False)
        async with trio.open_nursery() as nursery:
            await link._read(channel, nursery)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return link

    return trio.run(listen, clock=trio.testing.MockClock())


def _ended_for_a_reason(link: Link, data: bytes) -> None:
    assert link.reason
    assert link.reason.isprintable()
    if not link.breach:
        decode_message(data[1:])


def _things_said() -> list[bytes]:
    return [bytes([channel]) + message for channel in range(len(CHANNELS)) for message in _messages()]


# Commits --------------------------------------------------------------------------------------------------------------


@cache
def _followed() -> tuple[Store, Following]:
    """A node with three proved commits, and a follower of it that has none."""
    world = World()
    store = Store(world.genesis, world.rule, DictLedger("leader", []))
    for _ in range(3):
        tip = store.tip
        commit = evolve(_next(world), index=tip.index + 1, time=tip.time + 20)
        store.apply(commit)
        record = store.record(commit.index)
        assert record is not None
        signed = signing_digest("soma/checkpoint", world.genesis.chain, record.epoch, chain.record_digest(record))
        store.backing.keep(commit.index, ((0, key(100).sign(signed)),))
    follower = Store(world.genesis, world.rule, DictLedger("follower", []))
    return store, Following(Applying(follower, _inline(), quiet), lambda: False)


def _next(world: World) -> Any:
    from soma_core.api import Commit

    return Commit(1, bytes(32), 0, 1, 0, ((0, world.transaction(2, "transfer", {"to": bytes(32), "amount": 1})),), b"")


def _entries(data: bytes) -> None:
    _leader, following = _followed()
    store: Any = following._store
    committee = store.committee()
    for entry, record in following._proved(records.unpack(_sync.Entries, data).entries, committee):
        commit = _commit(entry, record, len(committee))
        applied = chain.apply(store.genesis, store._rule, store._ledger, store.tip, commit)
        if applied.record != record:
            raise VerificationError("it comes to another record")
        return  # the follower itself stays where it is, for the next input


def _served() -> list[bytes]:
    source = Source(_followed()[0], _inline(), Hub())
    return [records.pack(_sync.Entries(tuple(source._read(1, limit, 1 << 19, vouched=False)))) for limit in (1, 3)]


# libp2p ---------------------------------------------------------------------------------------------------------------


class _Given:
    """A stream from which a peer's bytes are read; what is written to it is forgotten."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, n: int | None = None) -> bytes:
        if not self._data:
            raise EOFError
        piece, self._data = self._data[:n], self._data[n:] if n is not None else b""
        return piece

    async def write(self, data: bytes) -> None:
        pass


def _stream(data: bytes) -> Stream:
    raw: Any = _Given(data)
    stream = Stream(raw)
    stream.write = raw.write  # type: ignore[method-assign]
    return stream


class _Identity:
    """Signs and checks with a fixed key, for one chain."""

    peer = PEER

    async def sign(self, challenge: bytes) -> bytes:
        return key(7).sign(signing_digest("soma/hello", bytes(32), 0, challenge))

    def verify(self, peer: PeerId, challenge: bytes, signature: bytes) -> bool:
        return verify(peer, signing_digest("soma/hello", bytes(32), 0, challenge), signature)


def _proof(data: bytes) -> tuple[bytes, bytes]:
    """The first byte says which side is played; our nonce is zeros, so that a proof can be given."""
    identity: Any = _Identity()
    with patch.object(libp2p_hello, "secrets", SimpleNamespace(token_bytes=bytes)):
        if data[:1] == b"\x01":
            driven(libp2p_hello.greet(_stream(data[1:]), identity, PEER, b"ours", b"theirs"))
            return PEER, data[38:70]
        return driven(libp2p_hello.welcome(_stream(data[1:]), identity, b"ours", b"theirs")), data[38:70]


def _holds_the_key(proved: tuple[bytes, bytes], _data: bytes) -> None:
    same(*proved)


def _proofs() -> list[bytes]:
    us, them = (libp2p_hello._Side(bytes(32), PEER, name) for name in (b"ours", b"theirs"))
    side = frame(b"\x01" + bytes(32) + PEER)
    words = (libp2p_hello._challenge(0, them, us), libp2p_hello._challenge(1, us, them))
    return [bytes([role]) + side + frame(driven(_Identity().sign(word))) for role, word in enumerate(words)]


def _negotiated(data: bytes) -> Any:
    return trio.run(_stream(data).answer)


def _is_a_channel(channel: Any, _data: bytes) -> None:
    assert channel in CHANNELS


def _negotiations() -> list[bytes]:
    def line(text: str) -> bytes:
        return bytes([len(text) + 1]) + text.encode() + b"\n"

    return [line("/multistream/1.0.0") + line(protocol) for protocol in PROTOCOLS.values()]


def _framed(data: bytes) -> list[bytes]:
    """The messages, cut the same wherever the bytes were cut on their way."""
    frames = Frames(most=1024)
    found = list(frames.feed(data))
    again = Frames(most=1024)
    middle = len(data) // 3
    assert [*again.feed(data[:middle]), *again.feed(data[middle:])] == found
    return found


def _frames_again(found: Sequence[bytes], data: bytes) -> None:
    whole = b"".join(map(frame, found))
    same(data[: len(whole)], whole)
    rest = data[len(whole) :]
    assert len(rest) < 4 + int.from_bytes(rest[:4].ljust(4, b"\0"), "big") or len(rest) < 4


def _streams() -> list[bytes]:
    return [frame(b"one") + frame(b"") + frame(b"x" * 1024), frame(b"begun")[:-1]]


def _place(data: bytes) -> tuple[str, str]:
    """The first byte says whose form of an address the rest has."""
    text = data[1:].decode("utf-8", "replace")
    match data[:1]:
        case b"l":
            return str(libp2p_address.Address.parse(text)), text
        case b"k":
            return host_key(Path("host.key"), data[1:]).private_key.to_bytes().hex(), data[1:].hex()
        case _:
            return str(_address.Address.parse(text)), text


def _place_again(place: tuple[str, str], _data: bytes) -> None:
    same(*(text.encode() for text in place))


def _places() -> list[bytes]:
    return [
        b"l/ip4/127.0.0.1/tcp/4001/p2p/16Uiu2HAm",
        b"l/dns/example.org/tcp/0",
        b"k" + bytes(31) + b"\x01",
        b"n" + PEER.hex().encode() + b"@/ip4/127.0.0.1/tcp/4001",
    ]


def _vector(data: bytes) -> Any:
    return fixed.vector_from_bytes(data, len(data) // 2)


def _vector_again(vector: Any, data: bytes) -> None:
    same(fixed.vector_bytes(vector), data)
    if fixed.is_vector(vector, len(vector)):
        twice = [2 * coordinate for coordinate in vector.tolist()]
        same(fixed.vector_bytes(fixed.quant(vector.tolist())), fixed.vector_bytes(fixed.quant(twice)))


def _vectors() -> list[bytes]:
    return [(4096).to_bytes(2, "little") * 8, b"", bytes(16), b"\0\x80" * 8]


DECODERS = (
    Decoder("message", decode_message, (DecodeError,), _message_again, _messages),
    Decoder("message-header", _header, (DecodeError,), no_law, _headers),
    Decoder("body", _body, (DecodeError,), _body_again, _bodies, 16_384),
    Decoder("link", _said, (), _ended_for_a_reason, _things_said),
    Decoder("entries", _entries, (DecodeError, VerificationError), no_law, _served, 8192),
    Decoder("libp2p-frames", _framed, (FrameError,), _frames_again, _streams),
    Decoder("libp2p-proof", _proof, (libp2p_hello.HelloError, EOFError), _holds_the_key, _proofs, 512),
    Decoder("multistream", _negotiated, (Exception,), _is_a_channel, _negotiations),
    Decoder("address", _place, (DecodeError, ValueError, UsageError, OSError), _place_again, _places, 400),
    Decoder("vector", _vector, (DecodeError,), _vector_again, _vectors),
)
