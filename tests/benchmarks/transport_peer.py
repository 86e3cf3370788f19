"""The receiving side of ``transport.py``, a process of its own: ``PROTOCOL MESSAGES DIRECTORY``.

It prints where it listens. After every `MESSAGES` messages of a turn it answers with one.
"""

import logging
import sys
from pathlib import Path

import trio
from net import sockets_world

sockets_world.LIMIT = 300.0
HEAD = 4
READ = 1 << 18
"""Bytes that the raw side reads at once."""


async def raw(messages: int, _directory: Path) -> None:
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    print(f"127.0.0.1:{listener.socket.getsockname()[1]}", flush=True)
    stream = await listener.accept()
    await listener.aclose()
    waiting, left = bytearray(), messages
    while data := await stream.receive_some(READ):
        waiting += data
        place = 0
        while len(waiting) - place >= HEAD:
            end = place + HEAD + int.from_bytes(waiting[place : place + HEAD], "big")
            if end > len(waiting):
                break
            bytes(memoryview(waiting)[place + HEAD : end])  # the message, as its reader would have it
            place, left = end, left - 1
            if left == 0:
                await stream.send_all(b".")
                left = messages
        del waiting[:place]


async def net(messages: int, directory: Path) -> None:
    async with sockets_world.node(2, directory) as (network, _store, where):
        print(where, flush=True)
        left = messages
        async for peer, _message in network.consensus_messages:
            left -= 1
            if left == 0:
                network.consensus_send(peer, b".")
                left = messages


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run({"raw": raw, "net": net}[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3]))
