"""A server for ``encoder-webhook``: python server.py --node KEY --chain ID. Put your model into `embed`."""

import argparse
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from soma_core.api.encoding import digest, encode, signing_digest, verify
from soma_core.crypto import SecretKey
from soma_core.errors import SomaError

WINDOW_MS, BODY_MAX, DIM_MAX, RAW = 30_000, 1 << 26, 1024, ("nonce", "job", "payload", "signature")
TABLES = np.random.default_rng(0).standard_normal((2, 256, DIM_MAX)).astype(np.float32)


def embed(data: bytes, dim: int) -> np.ndarray:
    """The model: one float32 vector of one item. ValueError says what is wrong with an item."""
    if not data:
        raise ValueError("empty")
    codes = np.frombuffer(data, np.uint8)
    follows = (codes[1:] * np.uint8(31)) ^ codes[:-1]
    shares = [np.bincount(part, minlength=256) / max(len(part), 1) for part in (codes, follows)]
    return sum(share.astype(np.float32) @ table[:, :dim] for share, table in zip(shares, TABLES, strict=True))


class Handler(BaseHTTPRequestHandler):
    timeout = 10  # seconds that a caller may be silent
    node, chain, secret = b"", b"", SecretKey.generate()  # whom we answer, in which network, and as whom
    lock, seen = threading.Lock(), dict[bytes, int]()  # nonces of late with their times

    def do_POST(self) -> None:
        try:
            request, items, dim = self.checked()
        except (KeyError, ValueError, SomaError) as error:
            return self.answer(400, f"refused: {error}".encode())
        rows = np.empty((len(items), dim), "<f4")
        for place, item in enumerate(items):
            try:
                rows[place] = embed(item, dim)
            except ValueError as error:
                return self.answer(422, f"{place} {error}".encode(), request)
        return self.answer(200, rows.tobytes(), request)

    def checked(self) -> tuple[bytes, list[bytes], int]:
        """The digest of a request of our node, its items, and how many numbers each vector has."""
        said = {name.lower(): value for name, value in self.headers.items()}
        at, dim, sizes = int(said["soma-time"]), int(said["soma-dim"]), [*map(int, said["soma-sizes"].split(","))]
        nonce, job, payload, signature = (bytes.fromhex(said[f"soma-{name}"]) for name in RAW)
        fields = [1, "POST", self.path, self.secret.public, at, nonce, job, dim, sizes, payload]
        request = signing_digest("soma/webhook", self.chain, 0, encode(fields))
        if said["soma-version"] != "1" or not verify(self.node, request, signature):
            raise ValueError("not signed")  # before anything of a stranger's is kept or read
        now = time.time_ns() // 1_000_000
        with self.lock:
            for old in [nonce for nonce, then in self.seen.items() if abs(now - then) > WINDOW_MS]:
                del self.seen[old]
            if abs(now - at) > WINDOW_MS or nonce in self.seen:
                raise ValueError("too old, too new, or here before")
            self.seen[nonce] = at
        if not 1 <= dim <= DIM_MAX or min(sizes) < 0 or sum(sizes) > BODY_MAX:
            raise ValueError("bounds")
        items = [self.rfile.read(size) for size in sizes]
        if digest("soma/payload", b"".join(items)) != payload:
            raise ValueError("another body")
        return request, items, dim

    def answer(self, status: int, body: bytes, request: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if request:  # what is no request of our node gets no signature
            reply = encode([1, request, status, digest("soma/payload", body)])
            signature = self.secret.sign(signing_digest("soma/reply", self.chain, 0, reply))
            self.send_header("Soma-Signature", signature.hex())
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", required=True, type=bytes.fromhex, help="the key of encoder-webhook")
    parser.add_argument("--chain", required=True, type=bytes.fromhex, help="the network's chain id")
    parser.add_argument("--key", default="server.key", type=Path, help="this server's secret; made if missing")
    parser.add_argument("--port", default=8400, type=int)
    given = parser.parse_args()
    if not given.key.exists():
        given.key.touch(mode=0o600)
        given.key.write_text(SecretKey.generate().expose().hex())
    Handler.node, Handler.chain = given.node, given.chain
    Handler.secret = SecretKey(bytes.fromhex(given.key.read_text()))
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    print(f'url = "http://127.0.0.1:{server.server_port}/embed"\nserver = "{Handler.secret.public.hex()}"', flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
