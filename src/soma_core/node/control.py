"""The control socket: the operations of `soma_core.api.control`, served to programs of the same user.

A Unix socket of mode 0600 in the data directory. A connection asks one thing after the other; there are at most
`CONNECTIONS` of them, and a request is refused before its bytes are read where it is too long.
"""

import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from soma_core.api.control import FRAME, OPERATIONS, Answer, Request, lengths, pack_message
from soma_core.errors import DecodeError, SomaError
from soma_core.records import structure, to_value, unpack

CONNECTIONS: Final = 64
"""Connections served at a time; more wait in the system's queue."""
SOCKET: Final = "control.sock"

_log = logging.getLogger("soma.control")


@frozen
class Replied:
    """The record of a reply, and the bytes that come with it."""

    record: object
    payload: bytes = b""


Answerer = Callable[[Any, bytes], Awaitable[Replied]]
"""``await answer(request record, payload)``. `SomaError` is told to the asker."""


def socket_path(data_dir: Path) -> Path:
    """Where a node with this data directory listens."""
    return data_dir / SOCKET


@asynccontextmanager
async def serve_control(data_dir: Path, connect: Callable[[], Mapping[str, Answerer]]) -> AsyncIterator[None]:
    """Serve operations while the block runs. `connect` gives the answerers of one connection."""
    path = socket_path(data_dir)
    path.unlink(missing_ok=True)  # the data directory's lock says that no other node listens here
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        before = os.umask(0o177)
        try:
            # Through the descriptor the address is short, however long the directory's path is.
            await listener.bind(f"/proc/self/fd/{directory}/{SOCKET}")
        finally:
            os.umask(before)
        listener.listen(16)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept, listener, connect)
            yield
            nursery.cancel_scope.cancel()
    finally:
        listener.close()
        os.close(directory)
        path.unlink(missing_ok=True)


async def _accept(listener: trio.socket.SocketType, connect: Callable[[], Mapping[str, Answerer]]) -> None:
    room = trio.CapacityLimiter(CONNECTIONS)
    async with trio.open_nursery() as nursery:
        while True:
            await room.acquire_on_behalf_of(token := object())
            peer, _ = await listener.accept()
            nursery.start_soon(_converse, trio.SocketStream(peer), connect(), room, token)


async def _converse(
    stream: trio.SocketStream, answerers: Mapping[str, Answerer], room: trio.CapacityLimiter, token: object
) -> None:
    try:
        async with stream:
            while (asked := await _receive(stream)) is not None:
                await stream.send_all(await _answer(answerers, *asked))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # the asker has gone
    except DecodeError as error:
        _log.warning("a program at the control socket does not speak its language: %s", error)
    finally:
        room.release_on_behalf_of(token)


async def _answer(answerers: Mapping[str, Answerer], header: bytes, payload: bytes) -> bytes:
    try:
        request = unpack(Request, header)
        operation = OPERATIONS.get(request.op)
        answerer = answerers.get(request.op)
        if operation is None or answerer is None:
            raise DecodeError(f"there is no operation {request.op!r}", "use the same release of soma as the node")
        replied = await answerer(structure(operation.request, request.body), payload)
        return pack_message(Answer(body=to_value(replied.record)), replied.payload)
    except SomaError as error:
        return pack_message(
            Answer(body=None, error=error.what[:4096], remedy=error.remedy[:4096], exit_code=error.exit_code)
        )


async def _receive(stream: trio.SocketStream) -> tuple[bytes, bytes] | None:
    """Header and payload of the next request, or None at the end."""
    prefix = await _exactly(stream, FRAME.size)
    if prefix is None:
        return None
    header, payload = lengths(prefix)
    body = await _exactly(stream, header + payload)
    return None if body is None else (body[:header], body[header:])


async def _exactly(stream: trio.SocketStream, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = await stream.receive_some(min(size - len(parts), 1 << 16))
        if not part:
            return None
        parts += part
    return bytes(parts)
