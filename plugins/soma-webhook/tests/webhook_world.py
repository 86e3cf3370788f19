"""A server that speaks chapter 26 by itself, sharing nothing with the plugin, and may do wrong at any step."""

import hashlib
import logging
import socket
import socketserver
import sys
import threading
from pathlib import Path

import numpy as np

from soma_core.api import EncoderContext
from soma_core.api.encoding import encode, signing_digest, verify
from soma_core.crypto import ZERO_DIGEST, SecretKey
from soma_core.testing.encoder import SECRET
from soma_webhook import Config, open_encoder

SERVER = SecretKey(hashlib.sha256(b"server").digest())
OTHER = SecretKey(hashlib.sha256(b"other").digest())
CHAIN = bytes(range(32))
JOB = hashlib.sha256(b"job").digest()
LOOPBACK = ("127.0.0.0/8",)


def payload(body):
    return hashlib.blake2b(body, digest_size=32, person=b"soma/payload").digest()


def reply_signature(secret, chain, request, status, body):
    return secret.sign(signing_digest("soma/reply", chain, 0, encode([1, request, status, payload(body)])))


def vectors(items, dim):
    """Rows that depend on the item alone."""
    seeds = [int.from_bytes(hashlib.sha256(item).digest()[:8], "big") for item in items]
    return np.stack([np.random.default_rng(seed).standard_normal(dim) for seed in seeds]).astype("<f4")


def head(status, body, signature=None, more=()):
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"Soma-Signature: {signature.hex()}"] if signature is not None else []
    return "\r\n".join([*lines, *more, "", ""]).encode("latin-1") + body


class Server:
    """Listens on loopback while it is in a `with`. `behave(server, link, request)` writes what it answers."""

    def __init__(self, behave=None, *, chain=CHAIN, key=SECRET.public, port=0):
        self.behave, self.chain, self.key = behave or honest, chain, key
        self.heads, self.bodies, self.faults = [], [], []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                outer.handle(self)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

            def handle_error(self, *_):
                if not isinstance(error := sys.exception(), ConnectionError):  # whoever hangs up on us may
                    outer.faults.append(error)

        self.listener = Listener(("127.0.0.1", port), Handler)
        self.port = self.listener.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/embed?model=a"
        self.hang = threading.Event()
        """Set when the server ends: what waits in it goes on."""

    def __enter__(self):
        self.thread = threading.Thread(target=self.listener.serve_forever, args=(0.005,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.hang.set()
        self.listener.shutdown()
        self.thread.join()
        self.listener.server_close()
        assert self.faults == []

    def handle(self, stream):
        first = stream.rfile.readline().decode("latin-1").split()
        if first[-1:] != ["HTTP/1.1"]:  # it hung up, or speaks TLS
            return
        fields = {}
        while line := stream.rfile.readline().strip().decode():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        body = stream.rfile.read(int(fields["content-length"]))
        self.heads.append((first, fields))
        self.bodies.append(body)
        self.behave(self, stream.wfile, Asked(self, first, fields, body))


class Asked:
    """A request as the server reads it."""

    def __init__(self, server, first, fields, body):
        self.fields, self.body = fields, body
        self.dim, self.sizes = int(fields["soma-dim"]), [int(n) for n in fields["soma-sizes"].split(",")]
        self.items, rest = [], body
        for size in self.sizes:
            self.items.append(rest[:size])
            rest = rest[size:]
        assert rest == b""
        raw = {name: bytes.fromhex(fields[f"soma-{name}"]) for name in ("nonce", "job", "key", "chain", "signature")}
        self.job, self.nonce = raw["job"], raw["nonce"]
        self.canonical = encode(
            [
                *(1, first[0], first[1], SERVER.public, int(fields["soma-time"]), self.nonce),
                *(self.job, self.dim, self.sizes, payload(body)),
            ]
        )
        self.digest = signing_digest("soma/webhook", server.chain, 0, self.canonical)
        assert raw["chain"] == server.chain
        assert raw["key"] == server.key
        assert bytes.fromhex(fields["soma-payload"]) == payload(body)
        assert verify(server.key, self.digest, raw["signature"])
        self.chain = server.chain

    def signed(self, status, body, secret=SERVER):
        return reply_signature(secret, self.chain, self.digest, status, body)


def honest(_server, out, asked):
    body = vectors(asked.items, asked.dim).tobytes()
    out.write(head(200, body, asked.signed(200, body)))


def context(folder: Path, *, job=b"", chain=CHAIN, sign=None):
    return EncoderContext(
        "encoder-webhook",
        folder,
        logging.getLogger("soma.encoder-webhook"),
        sign or (lambda body: SECRET.sign(signing_digest("soma/webhook", chain, 0, body))),
        SECRET.public,
        chain,
        lambda: job,
    )


def opened(folder, server, /, *, job=b"", sign=None, **config):
    url = server if isinstance(server, str) else server.url
    settings = {"dim": 8, "timeout": 5.0, "allow": LOOPBACK, "server": SERVER.public.hex(), **config}
    return open_encoder(Config(url=url, **settings), context(folder, job=job, sign=sign))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


__all__ = [
    "CHAIN",
    "JOB",
    "LOOPBACK",
    "OTHER",
    "SERVER",
    "ZERO_DIGEST",
    "Server",
    "context",
    "head",
    "honest",
    "opened",
]
