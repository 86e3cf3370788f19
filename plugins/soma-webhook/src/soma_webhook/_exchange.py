"""One request and its reply over a connection of their own, within a limit of time and of bytes.

Rules WH12 and WH13 of ``specs/26-webhook.md``. No proxy, no redirect, no cookie, no second use of a connection.
"""

import io
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException, HTTPResponse, RemoteDisconnected
from typing import TYPE_CHECKING, Any, Final, final

from attrs import frozen

from soma_core.errors import EncoderError

from ._addresses import Network, look_up
from ._place import Place

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

HEAD_MAX: Final = 16_384
"""Bytes of a reply beside its body."""
PIECE: Final = 65_536
"""Bytes that are sent at a time, each within what is left of the time."""


@final
class Patience:
    """What is left of the time for one request."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds, more than 0. Raises `TimeoutError`."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("no reply in time")
        return left

    def lasts(self, seconds: float) -> bool:
        """Whether more than so many seconds are left."""
        return self._until - time.monotonic() > seconds


@frozen
class Reply:
    """A reply as it came. `signature`: the text of its header, or empty."""

    status: int
    signature: str
    body: bytes


def connect(
    place: Place, allowed: Sequence[Network], trust: ssl.SSLContext | None, patience: Patience
) -> socket.socket:
    """A connection to the first of the permitted addresses that takes one. Raises `OSError`, `EncoderError`."""
    last = OSError("it has no address")
    for family, address in look_up(place, allowed, patience.left()):
        link = socket.socket(family, socket.SOCK_STREAM)
        try:
            link.settimeout(patience.left())
            link.connect(address)
            if trust is None:
                return link
            link.settimeout(patience.left())
            return trust.wrap_socket(link, server_hostname=place.host)
        except OSError as error:
            link.close()
            last = error
    raise last


def exchange(
    link: socket.socket, place: Place, headers: Mapping[str, str], body: bytes, most: int, patience: Patience
) -> Reply:
    """Post `body` and read the reply, whose body has at most `most` bytes. Raises `OSError`, `EncoderError`."""
    fields = {
        "Host": place.authority,
        "Connection": "close",
        "Accept-Encoding": "identity",
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(body)),
        **headers,
    }
    lines = [f"POST {place.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    _send(link, "\r\n".join(lines).encode("ascii"), patience)
    _send(link, body, patience)
    try:
        response = HTTPResponse(_Source(link, HEAD_MAX + most, patience), method="POST")  # type: ignore[arg-type]
        response.begin()
        received = response.read(most + 1)
    except RemoteDisconnected as error:
        raise EncoderError(f"{place.url} hung up without a reply", "see the server's log") from error
    except HTTPException as error:
        raise EncoderError(f"{place.url} answered what is no HTTP: {error!r:.80}", "see the server's log") from error
    if len(received) > most:
        raise _too_long()
    return Reply(response.status, response.headers.get("Soma-Signature", ""), received)


def _send(link: socket.socket, data: bytes, patience: Patience) -> None:
    rest = memoryview(data)
    while rest:
        link.settimeout(patience.left())
        rest = rest[link.send(rest[:PIECE]) :]


def _too_long() -> EncoderError:
    return EncoderError("its reply is longer than that may be", "a reply has 4 bytes for each number of each vector")


class _Source(io.RawIOBase):
    """What comes over a connection, no longer than patience lasts, and no more than `most` bytes."""

    def __init__(self, link: socket.socket, most: int, patience: Patience) -> None:
        self._link, self._room, self._patience = link, most, patience

    def makefile(self, _mode: str) -> Any:
        """What `HTTPResponse` asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._link.settimeout(self._patience.left())
        count = self._link.recv_into(buffer)
        self._room -= count
        if self._room < 0:
            raise _too_long()
        return count
