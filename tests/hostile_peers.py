"""Peers that mean harm, over real sockets: `python hostile_peers.py '{"attacks": …}'` is a process of them.

Each attack is a function that does one thing again and again until its time is over, and counts how often. What it is
given: where the victim listens, which network that is, and `peers`, how many to be at a time. A victim may cut us off
at any moment: that is an end of one try, not of the attack.
"""

import json
import logging
import random
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import define

sys.path.append(str(Path(__file__).resolve().parents[1] / "plugins" / "soma-libp2p" / "tests"))

from libp2p.stream_muxer.yamux import yamux  # as below: found by the path above
from libp2p_attacker import Attacker, attacker, is_cut, tcp

from soma_core.api import CHANNELS, Channel, PeerId
from soma_core.crypto import SecretKey
from soma_core.net import Hello
from soma_core.net._message import Message, encode_message
from soma_core.records import to_value
from soma_core.testing import KeyIdentity
from soma_libp2p._frames import frame
from soma_libp2p._stream import Stream

FIRST: Final = 1_000
"""Keys of hostile peers are the numbers from here on, a thousand for each attack."""


@define
class Attack:
    """One attack: its target, and what came of it."""

    address: str
    peer: PeerId
    chain: bytes
    protocol: bytes
    peers: int
    blob: bytes
    spoofed: PeerId
    first: int = FIRST
    """Whose keys: the numbers from here on."""
    tried: int = 0
    cut: int = 0
    """Connections that the victim ended."""
    wrong: int = 0
    """Times that something worked which must not."""

    def identity(self, number: int) -> KeyIdentity:
        return KeyIdentity(SecretKey((self.first + number).to_bytes(32, "big")), chain=self.chain)

    @asynccontextmanager
    async def friend(self, number: int) -> AsyncIterator["Friend"]:
        """Who has done everything an honest peer does, up to the hello of the network."""
        async with attacker(self.address) as us:
            friend = Friend(us, await us.prove(self.identity(number), self.peer))
            hello = to_value(Hello(self.chain, self.protocol, "hostile"))
            await friend.say("sync", "hello", body=hello)
            yield friend

    async def everyone(self, one: Callable[[int], Awaitable[None]]) -> None:
        """`one` of each number, again and again; a try that the victim ends is followed by the next."""

        async def again(number: int) -> None:
            while True:
                self.tried += 1
                try:
                    await one(number)
                except Exception:  # noqa: BLE001  # cut off, in one of many ways
                    self.cut += 1
                await trio.sleep(0.02)

        async with trio.open_nursery() as nursery:
            for number in range(self.peers):
                nursery.start_soon(again, number)


@define
class Friend:
    """A proved peer about to misbehave."""

    muxed: Attacker
    streams: dict[Channel, Stream]

    async def say(self, channel: Channel, kind: Any, number: int = 0, op: str = "", **rest: Any) -> None:
        await self.write(channel, frame(encode_message(Message(kind, number, op, **rest))))

    async def write(self, channel: Channel, data: bytes) -> None:
        await self.streams[channel].write(data)

    async def until_cut(self) -> None:
        await self.muxed.muxed.event_closed.wait()
        raise ConnectionError


# Before anybody is known ----------------------------------------------------------------------------------------------


async def half_open_flood(attack: Attack) -> None:
    """At least 450 sockets, opened and left; who is closed comes again."""
    attack.peers = max(attack.peers, 450)

    async def one(_number: int) -> None:
        async with await tcp(attack.address) as stream:
            await is_cut(stream, 60)
            attack.cut += 1
        await trio.sleep(1)  # not so often that no other attack finds a place

    await attack.everyone(one)


async def garbage(attack: Attack) -> None:
    """Random bytes, half-true negotiations, Noise garbage."""
    openings = (b"", b"\x13/multistream/1.0.0\n", b"\x13/multistream/1.0.0\n\x07/noise\n", b"GET / HTTP/1.1\r\n")
    rng = random.Random(7)

    async def one(_number: int) -> None:
        async with await tcp(attack.address) as stream:
            await stream.send_all(rng.choice(openings) + rng.randbytes(rng.randrange(70_000)))
            await is_cut(stream, 15)
            attack.cut += 1

    await attack.everyone(one)


async def slow_hello(attack: Attack) -> None:
    """The first words of a negotiation, a byte a second; and of a proof inside Noise."""
    words = b"\x13/multistream/1.0.0\n\x07/noise\n"

    async def one(number: int) -> None:
        if number % 2:
            async with await tcp(attack.address) as stream:
                for byte in words * 10:
                    await stream.send_all(bytes([byte]))
                    await trio.sleep(1)
        async with attacker(attack.address) as us:
            sync = await us.open("sync")
            for byte in frame(b"\x01" + bytes(64)):
                await sync.write(bytes([byte]))
                await trio.sleep(1)

    await attack.everyone(one)


async def identity_spoofing(attack: Attack) -> None:
    """Claim the honest peer's key without having it."""

    async def one(number: int) -> None:
        async with attacker(attack.address) as us:
            liar = KeyIdentity(attack.identity(number).key, attack.spoofed, attack.chain)
            await us.prove(liar, attack.peer)
            attack.wrong += 1

    await attack.everyone(one)


# What a proved peer sends ---------------------------------------------------------------------------------------------


async def oversized_frames(attack: Attack) -> None:
    """Lengths above 1 MiB, and messages that are none."""
    rng = random.Random(8)

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            size = rng.choice([(1 << 20) + 1, 1 << 31, (1 << 32) - 1])
            bad = rng.choice([struct.pack(">I", size) + b"x" * 1000, frame(rng.randbytes(1000)), frame(b"")])
            await friend.write(rng.choice(CHANNELS), bad)
            await friend.until_cut()

    await attack.everyone(one)


async def flow_control(attack: Attack) -> None:
    """Data far beyond the window, on a stream that the victim does not empty as fast."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            stream = friend.streams["consensus"]._raw.stream_id
            note = frame(encode_message(Message("note", 0, "consensus.message", {}, bytes(900_000))))
            while True:
                for at in range(0, len(note), 60_000):
                    body = note[at : at + 60_000]
                    header = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_DATA, 0, stream, len(body))
                    await friend.muxed.muxed._write_frame(header + body)

    await attack.everyone(one)


async def thousands_of_streams(attack: Attack) -> None:
    """Streams without end, each with a running negotiation; some reset at once."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            for place in range(101, 8001, 2):
                flags = yamux.FLAG_SYN | (yamux.FLAG_RST if place % 6 == 1 else 0)
                syn = struct.pack(yamux.YAMUX_HEADER_FORMAT, 0, yamux.TYPE_WINDOW_UPDATE, flags, place, 0)
                await friend.muxed.muxed._write_frame(syn)
            await friend.until_cut()

    await attack.everyone(one)


async def slow_frames(attack: Attack) -> None:
    """A byte a second: inside a message, inside a record of the cipher, and between messages."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            if number % 3 == 0:
                await friend.write("blobs", struct.pack(">I", 1 << 20))
                while True:
                    await friend.write("blobs", b"x")
                    await trio.sleep(1)
            elif number % 3 == 1:
                await friend.muxed.stream.send_all(b"\xff\xff")
                while True:
                    await friend.muxed.stream.send_all(b"x")
                    await trio.sleep(1)
            else:
                while True:
                    await friend.write("hints", frame(b"")[:1])
                    await trio.sleep(1)

    await attack.everyone(one)


async def frozen_peers(attack: Attack) -> None:
    """Ask for much, then neither read nor write any more, with the socket open."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            for place in range(1, 33):
                await friend.say("blobs", "request", place, "blob.chunk", body={"blob": attack.blob, "place": 0})
            friend.muxed.freeze()
            await is_cut(friend.muxed.stream, 60)
            attack.cut += 1

    await attack.everyone(one)


async def reborn_peers(attack: Attack) -> None:
    """One key, again and again, beside connections of the same key that are left open."""

    async def one(number: int) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(attack.friend(number))
            await trio.sleep(0.5)

    await attack.everyone(one)


async def memory_hogs(attack: Attack) -> None:
    """All that a peer can make the victim hold: answers nobody reads, messages without their last byte, notes."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend, trio.open_nursery() as nursery:
            nursery.start_soon(friend.until_cut)
            for place in range(1, 33):
                await friend.say("blobs", "request", place, "blob.chunk", body={"blob": attack.blob, "place": 0})
            for place in range(33, 65):
                body = {"first": 0, "limit": 256, "wait_ms": 20_000}
                await friend.say("sync", "request", place, "sync.entries", body=body)
            for channel in ("blobs", "hints"):
                nursery.start_soon(friend.write, channel, struct.pack(">I", 1 << 20) + bytes((1 << 20) - 1))
            note = frame(encode_message(Message("note", 0, "consensus.message", {}, bytes(980_000))))
            while True:
                await friend.write("consensus", note)

    await attack.everyone(one)


async def request_flood(attack: Attack) -> None:
    """Requests faster than they are answered: waiting ones, unknown ones, with bodies as costly as they can be."""
    costly = {f"{place:04}": [[]] * 14 for place in range(400)}

    async def one(number: int) -> None:
        async with attack.friend(number) as friend, trio.open_nursery() as nursery:
            nursery.start_soon(friend.until_cut)
            place = 0
            while True:
                place += 1
                body, op = (({"first": 1 << 60, "limit": 1, "wait_ms": 20_000}), "sync.entries")
                if place % 3:
                    body, op = costly, ("sync.entries", "tx.submit")[place % 2]
                await friend.say("sync", "request", place, op, body=body)

    await attack.everyone(one)


async def lies(attack: Attack) -> None:
    """Answers that nobody asked for, pongs to no ping, hellos in the middle."""

    async def one(number: int) -> None:
        async with attack.friend(number) as friend:
            match number % 3:
                case 0:
                    await friend.say("sync", "reply", 7, payload=bytes(900_000))
                case 1:
                    await friend.say("sync", "pong", 1 << 40)
                case _:
                    await friend.say("sync", "hello", body=to_value(Hello(attack.chain, attack.protocol)))
            await friend.until_cut()

    await attack.everyone(one)


ATTACKS: Final = {
    attack.__name__: attack
    for attack in (
        half_open_flood,
        garbage,
        slow_hello,
        identity_spoofing,
        oversized_frames,
        flow_control,
        thousands_of_streams,
        slow_frames,
        frozen_peers,
        reborn_peers,
        memory_hogs,
        request_flood,
        lies,
    )
}


async def main(names: list[str], seconds: float, attacks: dict[str, Attack]) -> None:
    """All of `names` at once, for so long."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(ATTACKS[name], attacks[name])


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    given = {key: bytes.fromhex(asked[key]) for key in ("peer", "chain", "protocol", "blob", "spoofed")}
    each = {
        name: Attack(address=asked["address"], peers=asked["peers"], first=FIRST * (1 + place), **given)
        for place, name in enumerate(asked["attacks"])
    }
    logging.disable(logging.CRITICAL)
    trio.run(main, asked["attacks"], asked["seconds"], each)
    json.dump({name: {"tried": a.tried, "cut": a.cut, "wrong": a.wrong} for name, a in each.items()}, sys.stdout)
