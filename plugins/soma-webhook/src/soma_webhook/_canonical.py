"""What is signed of a request and of its reply. Pure. Rules WH6 to WH11 of ``specs/26-webhook.md``."""

from typing import Final

from attrs import frozen

from soma_core.api.encoding import digest, encode, signing_digest

VERSION: Final = 1
"""The version of this form."""
NONCE_SIZE: Final = 16
"""Bytes by which no two requests are the same."""
WINDOW_MS: Final = 30_000
"""By how much a server's clock and the time of a request may differ, ms; for as long it remembers a nonce."""


@frozen(kw_only=True)
class Request:
    """A request to the server whose key is `server`.

    `target`: path and query. `time`: ms of UTC. `job`: 32 bytes, or empty. `dim`: numbers of a vector. `sizes`: the
    bytes of each item. `payload`: digest of the body, all items one after another.
    """

    server: bytes
    target: str
    time: int
    nonce: bytes
    job: bytes
    dim: int
    sizes: tuple[int, ...]
    payload: bytes

    def canonical(self) -> bytes:
        """The bytes whose signature it carries."""
        return encode(
            [
                *(VERSION, "POST", self.target, self.server, self.time, self.nonce),
                *(self.job, self.dim, list(self.sizes), self.payload),
            ]
        )

    def digest(self, chain: bytes) -> bytes:
        """What is signed, for the network `chain`; the reply names it."""
        return signing_digest("soma/webhook", chain, 0, self.canonical())


def payload_digest(body: bytes) -> bytes:
    """The digest of a body, of a request or a reply."""
    return digest("soma/payload", body)


def reply_digest(chain: bytes, request: bytes, status: int, body: bytes) -> bytes:
    """What the server signs of its reply to the request of that digest."""
    return signing_digest("soma/reply", chain, 0, encode([VERSION, request, status, payload_digest(body)]))
