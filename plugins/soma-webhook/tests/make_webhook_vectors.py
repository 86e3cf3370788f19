"""Writes ``specs/vectors/webhook.json``: ``python plugins/soma-webhook/tests/make_webhook_vectors.py``.

From the chapter alone: nothing of the plugin is imported. Signatures have 32 zero bytes of auxiliary randomness.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import coincurve

FILE: Final = Path(__file__).resolve().parents[3] / "specs" / "vectors" / "webhook.json"

ENCODER: Final = coincurve.PrivateKey(hashlib.sha256(b"encoder").digest())
SERVER: Final = coincurve.PrivateKey(hashlib.sha256(b"server").digest())
CHAIN: Final = hashlib.sha256(b"chain").digest()


def public(secret: coincurve.PrivateKey) -> bytes:
    return bytes(coincurve.PublicKeyXOnly.from_secret(secret.secret).format())


def sign(secret: coincurve.PrivateKey, digest: bytes) -> str:
    return secret.sign_schnorr(digest, bytes(32)).hex()


def cbor(value: Any) -> bytes:
    """The strict encoding of arrays, text, byte strings and whole numbers."""

    def head(major: int, number: int) -> bytes:
        if number < 24:
            return bytes([major << 5 | number])
        size = next(size for size in (1, 2, 4, 8) if number < 1 << 8 * size)
        return bytes([major << 5 | 24 + size.bit_length() - 1]) + number.to_bytes(size, "big")

    match value:
        case int():
            return head(0, value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def h(tag: str, *parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=32, person=tag.encode()).digest()


def request_of(name: str, items: list[bytes], **given: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "target": "/embed",
        "time": 1_795_000_000_000,
        "nonce": h("soma/payload", name.encode())[:16],
        "job": h("soma/job", name.encode()),
        "dim": 128,
        **given,
    }
    payload = h("soma/payload", b"".join(items))
    sizes = [len(item) for item in items]
    order = [fields[key] for key in ("time", "nonce", "job", "dim")]
    canonical = cbor([1, "POST", fields["target"], public(SERVER), *order, sizes, payload])
    digest = h("soma/webhook", CHAIN, bytes(8), canonical)
    shown = {key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()}
    return {
        "name": name,
        **shown,
        "items": [item.hex() for item in items],
        "payload": payload.hex(),
        "canonical": canonical.hex(),
        "digest": digest.hex(),
        "signature": sign(ENCODER, digest),
    }


def reply_of(name: str, request: dict[str, Any], status: int, body: bytes, /, **other: Any) -> dict[str, Any]:
    signed = {"status": status, "body": body, "request": bytes.fromhex(request["digest"]), "chain": CHAIN, **other}
    fields = cbor([1, signed["request"], signed["status"], h("soma/payload", signed["body"])])
    digest = h("soma/reply", signed["chain"], bytes(8), fields)
    return {
        "name": name,
        "request": request["name"],
        "status": status,
        "body": body.hex(),
        "signature": sign(other.get("secret", SERVER), digest),
    }


def content() -> dict[str, Any]:
    requests = [
        request_of("one item", [b"two cats"]),
        request_of("three items, one of them empty", [b"a", b"", b"bc"], target="/v1/embed?model=a&b=%20", dim=1),
        request_of("for no job", [b"\x00" * 300], job=b"", time=0, target="/"),
        request_of("64 items", [bytes([n]) * n for n in range(64)], dim=8192, time=(1 << 53) - 1),
    ]
    one, three = requests[0], requests[1]
    rows = b"".join(float_bytes for float_bytes in [bytes.fromhex("0000803f"), bytes.fromhex("000000bf"), b"\0\0\0@"])
    replies = [
        {**reply_of("vectors", three, 200, rows), "vectors": [[1.0], [-0.5], [2.0]]},
        {**reply_of("an item is refused", three, 422, b"1 empty"), "place": 1, "reason": "empty"},
        {**reply_of("the last item is refused", three, 422, b"2 " + b"~" * 198), "place": 2, "reason": "~" * 198},
        {**reply_of("to another request", three, 200, rows, request=bytes.fromhex(one["digest"])), "rule": "WH11"},
        {**reply_of("for another network", three, 200, rows, chain=bytes(32)), "rule": "WH11"},
        {**reply_of("by another key", three, 200, rows, secret=ENCODER), "rule": "WH11"},
        {**reply_of("another body was signed", three, 200, rows, body=rows[::-1]), "rule": "WH11"},
        {**reply_of("another status was signed", three, 422, b"1 empty", status=200), "rule": "WH11"},
        {**reply_of("no signature", three, 200, rows), "signature": "", "rule": "WH11"},
        {**reply_of("half a signature", three, 200, rows), "signature": "ab" * 32, "rule": "WH11"},
        {**reply_of("a number too few", three, 200, rows[:-4]), "rule": "WH12"},
        {**reply_of("a number too many", three, 200, rows + b"\0\0\0\0"), "rule": "WH12"},
        {**reply_of("an item that was not sent", three, 422, b"3 empty"), "rule": "WH12"},
        {**reply_of("a refusal of no item", three, 422, b"empty"), "rule": "WH12"},
        {**reply_of("a refusal without a reason", three, 422, b"1 "), "rule": "WH12"},
        {**reply_of("a reason with a line end", three, 422, b"1 a\nb"), "rule": "WH12"},
        {**reply_of("a status that nothing has", three, 201, rows), "rule": "WH12"},
        {**reply_of("a redirect", three, 307, b""), "rule": "WH12"},
        {**reply_of("an error of the server", three, 500, rows), "rule": "WH12"},
    ]
    called = ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "168.63.129.17", "2606:4700::1", "2a00::1"]
    refused = [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "168.63.129.16"),
        *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1"),
        *("ff02::1", "2001::1", "2001:2::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1"),
    ]
    allowed = [
        {"allow": ["127.0.0.0/8"], "address": "127.0.0.1", "called": True},
        {"allow": ["127.0.0.0/8"], "address": "::ffff:127.0.0.1", "called": True},
        {"allow": ["127.0.0.0/8"], "address": "::1", "called": False},
        {"allow": ["::1/128"], "address": "::1", "called": True},
        {"allow": ["10.1.0.0/16"], "address": "10.2.0.1", "called": False},
        {"allow": ["10.1.0.0/16", "192.168.0.0/16"], "address": "192.168.7.7", "called": True},
        {"allow": ["fd00::/8"], "address": "fd00:ec2::254", "called": True},
    ]
    return {
        "chain": CHAIN.hex(),
        "key": public(ENCODER).hex(),
        "server": public(SERVER).hex(),
        "requests": requests,
        "replies": replies,
        "addresses": [
            *({"allow": [], "address": address, "called": True} for address in called),
            *({"allow": [], "address": address, "called": False} for address in refused),
            *allowed,
        ],
        "urls": [
            {"url": "https://a.example", "host": "a.example", "port": 443, "target": "/"},
            {"url": "http://a.example:8400/x/y?z=1&w", "host": "a.example", "port": 8400, "target": "/x/y?z=1&w"},
            {"url": "https://[2a00::1]:444/x", "host": "2a00::1", "port": 444, "target": "/x"},
            *(
                {"url": url, "rule": "WH2"}
                for url in (
                    *(
                        "",
                        "a.example",
                        "ftp://a.example",
                        "file:///etc/passwd",
                        "https://",
                        "https:///x",
                        "//a.example",
                    ),
                    *("https://user@a.example/", "https://user:secret@a.example/", "https://a.example/x#part"),
                    *("https://a.example:0/", "https://a.example:65536/", "https://a.example:x/", "https://[::1/"),
                    *(
                        "https://a.example/a b",
                        "https://a.example/\r\nX: y",
                        "https://a.example/\u00e9",
                        "https://a\\@b/",
                    ),
                    "https://a.example/" + "x" * 2031,
                )
            ),
        ],
    }


def text() -> str:
    return json.dumps(content(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
