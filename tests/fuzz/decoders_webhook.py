"""What an operator's server answers, from the first byte of the connection on."""

import io
import logging
from pathlib import Path
from typing import Any, Final

import coincurve
import numpy as np
from decoder import Decoder

from soma_core.api import EncoderContext
from soma_core.api.encoding import digest, encode, signing_digest
from soma_core.crypto import ZERO_DIGEST, SecretKey
from soma_core.errors import EncoderError
from soma_webhook import Config, _exchange, _place
from soma_webhook._encoder import WebhookEncoder

SERVER: Final = SecretKey(b"s" * 32)
REQUEST: Final = bytes(range(32))
COUNT, DIM = 2, 3
VECTORS: Final = np.arange(COUNT * DIM, dtype="<f4").tobytes()
REFUSED: Final = b"1 empty"
_CONFIG: Final = Config(url="http://a.example/", server=SERVER.public.hex(), dim=DIM)
_ENCODER: Final = WebhookEncoder(
    _CONFIG, EncoderContext("encoder-webhook", Path(), logging.getLogger("fuzz"), chain=ZERO_DIGEST)
)


class _Link:
    """A connection on which the server says `data` and ends."""

    def __init__(self, data: bytes) -> None:
        self._said = io.BytesIO(data)
        self.recv_into = self._said.readinto

    def settimeout(self, _seconds: float) -> None:
        pass

    def send(self, data: memoryview) -> int:
        return len(data)


def _replied(data: bytes) -> bytes:
    """The vectors, or the words about an item."""
    link: Any = _Link(data)
    place = _place.parse(_CONFIG.url)
    reply = _exchange.exchange(link, place, {}, b"", len(VECTORS), _exchange.Patience(60))
    try:
        return _ENCODER._read(reply, REQUEST, COUNT).tobytes()
    except ValueError as error:
        return str(error).encode("ascii")


def _was_signed(found: bytes, _data: bytes) -> None:
    assert found in (VECTORS, b"item 1: empty")


def _reply(status: int, body: bytes, *, chunked: bool = False) -> bytes:
    fields = encode([1, REQUEST, status, digest("soma/payload", body)])
    signed = signing_digest("soma/reply", ZERO_DIGEST, 0, fields)
    signature = coincurve.PrivateKey(SERVER.expose()).sign_schnorr(signed, bytes(32))  # the same whenever it is made
    head = f"HTTP/1.1 {status} Said\r\nSoma-Signature: {signature.hex()}\r\n".encode()
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _replies() -> list[bytes]:
    return [
        _reply(200, VECTORS),
        _reply(200, VECTORS, chunked=True),
        b"HTTP/1.1 100 Go on\r\nA: b\r\n\r\n" + _reply(200, VECTORS),
        _reply(422, REFUSED),
    ]


DECODERS = (Decoder("webhook-reply", _replied, (EncoderError, OSError), _was_signed, _replies, 8192),)
