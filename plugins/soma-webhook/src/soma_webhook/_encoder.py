"""The encoder behind ``encoder-webhook``: it computes nothing, it asks, and believes only what is signed."""

import re
import secrets
import ssl
import time
from collections.abc import Sequence
from contextlib import closing
from socket import socket
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from soma_core.api import EncoderContext, EncoderInfo
from soma_core.api.encoding import KEY_SIZE, SIGNATURE_SIZE, verify
from soma_core.errors import EncoderError, SettingsError

from . import Config
from ._addresses import networks
from ._canonical import NONCE_SIZE, VERSION, Request, payload_digest, reply_digest
from ._exchange import Patience, Reply, connect, exchange
from ._place import parse

REASON_MAX: Final = 200
"""Bytes of a server's words about a bad item."""
RETRY_FIRST: Final = 0.1
"""Seconds between two attempts to connect at first; each time twice as long."""

OK: Final = 200
BAD_ITEM: Final = 422
"""The two answers that a server signs."""

_HEX_KEY: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_SIZE}}}")
_HEX_SIGNATURE: Final = re.compile(rf"[0-9a-fA-F]{{{2 * SIGNATURE_SIZE}}}")
_BAD_ITEM: Final = re.compile(rb"(\d{1,4}) ([ -~]+)")


class WebhookEncoder:
    """An opaque encoder: nobody can compute its answers again. `encode` waits for the server."""

    def __init__(self, config: Config, context: EncoderContext) -> None:
        self._place = parse(config.url)
        self._allowed = networks(config.allow)
        if not _HEX_KEY.fullmatch(config.server):
            raise SettingsError(
                f"encoder.webhook.server: {config.server:.80} is no public key", "give the 64 hex digits it prints"
            )
        self._server = bytes.fromhex(config.server)
        self._trust = _trust(config.ca) if self._place.secure else None
        self._timeout = config.timeout
        self._context = context
        self.info = EncoderInfo(dim=config.dim, numeric="other", max_batch=config.max_batch)
        if context.key:  # what the server is told to trust
            context.log.info("calls %s as key %s, chain %s", config.url, context.key.hex(), context.chain.hex())

    def encode(self, batch: Sequence[bytes]) -> NDArray[np.float32]:
        """The server's vectors, float32 [B, dim]. Raises `EncoderError`, and `ValueError` for an item it refuses."""
        if not batch:
            return np.empty((0, self.info.dim), np.float32)
        body = b"".join(batch)
        try:
            reply, request = self._ask(body, tuple(map(len, batch)), 4 * len(batch) * self.info.dim)
        except OSError as error:  # of the connection, the name, the certificate, the time
            raise EncoderError(
                f"{self._place.url}: {error.strerror or error}", "see whether the server runs; `soma doctor` tries it"
            ) from error
        return self._read(reply, request, len(batch))

    def _ask(self, body: bytes, sizes: tuple[int, ...], most: int) -> tuple[Reply, bytes]:
        """The reply, and the digest of the request. Signed when there is a connection: it is fresh when it is read."""
        sign = self._context.sign
        if sign is None:
            raise EncoderError("no identity was given, so nothing can be signed", "run it in a node")
        patience = Patience(self._timeout)
        with closing(self._connect(patience)) as link:
            request = Request(
                server=self._server,
                target=self._place.target,
                time=time.time_ns() // 1_000_000,
                nonce=secrets.token_bytes(NONCE_SIZE),
                job=self._context.job(),
                dim=self.info.dim,
                sizes=sizes,
                payload=payload_digest(body),
            )
            headers = {
                "Soma-Version": str(VERSION),
                "Soma-Chain": self._context.chain.hex(),
                "Soma-Key": self._context.key.hex(),
                "Soma-Time": str(request.time),
                "Soma-Nonce": request.nonce.hex(),
                "Soma-Job": request.job.hex(),
                "Soma-Dim": str(request.dim),
                "Soma-Sizes": ",".join(map(str, sizes)),
                "Soma-Payload": request.payload.hex(),
                "Soma-Signature": sign(request.canonical()).hex(),
            }
            reply = exchange(link, self._place, headers, body, max(most, REASON_MAX), patience)
            return reply, request.digest(self._context.chain)

    def _connect(self, patience: Patience) -> socket:
        """A connection; a server that is being started again is waited for. Raises `OSError`, `EncoderError`."""
        pause = RETRY_FIRST
        while True:
            try:
                return connect(self._place, self._allowed, self._trust, patience)
            except ssl.SSLError:  # it is there, and will not be another
                raise
            except OSError:
                if not patience.lasts(pause):
                    raise
                time.sleep(pause)
                pause *= 2

    def _read(self, reply: Reply, request: bytes, count: int) -> NDArray[np.float32]:
        """The vectors of `count` items in the reply to the request of that digest."""
        self._check(reply, request)
        if reply.status == BAD_ITEM:
            self._refuse_item(reply.body, count)
        if len(reply.body) != 4 * count * self.info.dim:
            self._fail(f"{len(reply.body)} bytes for {count} vectors of {self.info.dim} numbers")
        return np.frombuffer(reply.body, "<f4").reshape(count, self.info.dim).astype(np.float32)

    def _check(self, reply: Reply, request: bytes) -> None:
        """Whether the server said this, to this request. Raises `EncoderError`."""
        if 300 <= reply.status < 400:
            self._fail(f"status {reply.status}: redirects are not followed", "name the last place itself")
        if reply.status not in (OK, BAD_ITEM):
            self._fail(f"status {reply.status}", "see the server's log")
        signature = bytes.fromhex(reply.signature) if _HEX_SIGNATURE.fullmatch(reply.signature) else b""
        if not verify(self._server, reply_digest(self._context.chain, request, reply.status, reply.body), signature):
            self._fail("a reply that its key did not sign for this request", "compare encoder.webhook.server")

    def _refuse_item(self, body: bytes, count: int) -> NoReturn:
        found = _BAD_ITEM.fullmatch(body[:REASON_MAX])
        if found is None or int(found[1]) >= count:
            self._fail("a refusal that names none of the items", "see specs/26-webhook.md")
        raise ValueError(f"item {int(found[1])}: {found[2].decode('ascii')}")

    def _fail(self, what: str, remedy: str = "see specs/26-webhook.md") -> NoReturn:
        raise EncoderError(f"{self._place.url} answered with {what}", remedy)


def _trust(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise SettingsError(
            f"encoder.webhook.ca: {ca}: {error.strerror or error}", "name a file of certificates in PEM"
        ) from error
