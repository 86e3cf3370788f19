"""Messages through `net`'s coalescing writer on ``transport-libp2p``, against raw trio TCP, two processes on loopback.

Ours is authenticated and encrypted (Noise, yamux), framed, counted against the memory for peers, and queued: at most
64 messages wait, and the writer joins what waits up to 256 KiB. Raw is a trio stream with 4-byte lengths: once a write
a message, and once with as many joined as ours may join. One turn is timed from the first message to the answer to the
last. What is sent is as fast as the sender can and in one direction.
"""

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Final

import trio
import trio.lowlevel
from benchmarks.harness import Row, spread
from net import sockets_world
from net.peers_world import peer_of

from soma_core.net import Address

SIZES: Final = ((1_000, 6_000), (64_000, 600))
"""(bytes of a message, messages of a turn)."""
JOINED: Final = (64, 256 << 10)
"""Messages and bytes that raw joins at most, as `net` does."""
PAUSE: Final = 0.0005
"""Seconds until the sender looks again whether the queue has room: shorter than one write of what waits takes."""
REPEATS: Final = 11
sockets_world.LIMIT = 300.0  # seconds that the node may be up: its tests are shorter
PEER: Final = Path(__file__).with_name("transport_peer.py")

Send = Callable[[bytes, int], Awaitable[None]]


@asynccontextmanager
async def receiver(protocol: str, messages: int, directory: Path) -> AsyncIterator[str]:
    """Where the other process listens."""
    command = [sys.executable, str(PEER), protocol, str(messages), str(directory)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            line = await process.stdout.receive_some()
        yield line.decode().strip()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


@asynccontextmanager
async def raw(directory: Path, messages: int, *, joined: int) -> AsyncIterator[Send]:
    async with receiver("raw", messages, directory) as where:
        stream = await trio.open_tcp_stream("127.0.0.1", int(where.rpartition(":")[2]))

        async def send(message: bytes, count: int) -> None:
            framed = len(message).to_bytes(4, "big") + message
            left = count
            while left:
                now = min(joined, left)
                await stream.send_all(b"".join([framed] * now))
                left -= now
            assert await stream.receive_some(1) == b"."

        async with stream:
            yield send


@asynccontextmanager
async def ours(directory: Path, messages: int) -> AsyncIterator[Send]:
    async with (
        receiver("net", messages, directory / "theirs") as where,
        sockets_world.node(1, directory / "ours", Address.parse(where)) as (network, _store, _where),
    ):
        peer = peer_of(2)
        while peer not in network.peers:
            await network.changed.wait()

        async def send(message: bytes, count: int) -> None:
            for _ in range(count):
                while not network.consensus_send(peer, message):
                    await trio.lowlevel.checkpoint()  # the queue is full: its writer is to go on
            assert (await network.consensus_messages.receive())[1] == b"."

        yield send


async def measured(size: int, messages: int, directory: Path) -> dict[str, list[float]]:
    """Messages per second of each candidate, turn by turn."""
    message = bytes(range(256)) * (size // 256 + 1)
    message = message[:size]
    most = max(1, min(JOINED[0], JOINED[1] // size))
    values: dict[str, list[float]] = {"ours": [], "joined": [], "single": []}
    async with AsyncExitStack() as stack:
        candidates = {
            "ours": await stack.enter_async_context(ours(directory, messages)),
            "joined": await stack.enter_async_context(raw(directory, messages, joined=most)),
            "single": await stack.enter_async_context(raw(directory, messages, joined=1)),
        }
        for turn in range(-1, REPEATS):
            for name in candidates if turn % 2 else reversed(candidates):
                start = time.perf_counter()
                with trio.fail_after(60):
                    await candidates[name](message, messages)
                if turn >= 0:
                    values[name].append(messages / (time.perf_counter() - start))
    return values


def rows(_seed: int) -> list[Row]:
    logging.disable(logging.CRITICAL)
    out = []
    for size, messages in SIZES:
        with tempfile.TemporaryDirectory() as directory:
            values = trio.run(measured, size, messages, Path(directory))
        for name, how in (("joined", "joined writes"), ("single", "a write a message")):
            ratio, low, high = spread([a / b for a, b in zip(values["ours"], values[name], strict=True)])
            out.append(
                Row(
                    what=f"transport: {size // 1000} kB messages, against {how}",
                    measured=f"net on libp2p, {rate(values['ours'], size)}",
                    against=f"raw trio TCP, {how}, {rate(values[name], size)}",
                    ratio=ratio,
                    low=low,
                    high=high,
                    repeats=REPEATS,
                )
            )
    logging.disable(logging.NOTSET)
    return out


def rate(values: list[float], size: int) -> str:
    return f"{median(values):,.0f} messages/s, {median(values) * size / 1e6:,.0f} MB/s"
