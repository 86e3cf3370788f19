"""Writes the network's files of ``specs/vectors``: ``python tests/make_net_vectors.py``. Equal code gives equal bytes.

`FILES` names what is written; `tests/net/test_network_chapter.py` checks that the files are those this code makes.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from committee_world import Signer
from make_vectors import notation
from vectors import DIRECTORY

from soma_core import codec
from soma_core.crypto import digest, signing_digest
from soma_core.net import Hello, manifest_of
from soma_core.net._blobs import CHUNK_SIZE, MAX_BLOB
from soma_core.net._fetch import AskChunk
from soma_core.net._hello import Fault
from soma_core.net._message import Message, encode_message
from soma_core.records import pack, to_value

Case = dict[str, Any]

ZERO, CHAIN = bytes(32), bytes(range(32))
HELLO = to_value(Hello(CHAIN, ZERO, "0.1.0", roles=("validator",), addresses=("/ip4/127.0.0.1/tcp/4001",)))
BUSY = to_value(Fault("busy", "32 of your requests are being served", "wait for answers before asking more"))
NOTHING = digest("soma/payload", b"")


def messages() -> list[Case]:
    chunk = to_value(AskChunk(ZERO, 0))
    valid = {
        "a hello": Message("hello", body=HELLO),
        "a request without a payload": Message("request", 1, "blob.chunk", chunk),
        "a request with one": Message("request", 7, "tx.submit", payload=bytes((1, 2, 3))),
        "a reply": Message("reply", 7, body={"head": 12}, payload=b"entries"),
        "an empty reply": Message("reply", (1 << 63) - 1),
        "an error that answers": Message("error", 7, body=BUSY),
        "a farewell": Message("error", body=BUSY),
        "a consensus message": Message("note", op="consensus.message", payload=b"\xa0"),
        "a heartbeat": Message("ping", 1),
        "its answer": Message("pong", 1),
    }
    return [
        {
            "name": name,
            "kind": message.kind,
            "id": message.id,
            "op": message.op,
            "body": notation(message.body),
            "payload": message.payload.hex(),
            "bytes": encode_message(message).hex(),
        }
        for name, message in valid.items()
    ]


def wire(header: bytes, payload: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "big") + header + payload


def request(payload: bytes = b"", **changes: Any) -> bytes:
    """A request whose header names `payload`, but for `changes`; a field that is changed to ... is left out."""
    fields = {"kind": "request", "id": 1, "op": "blob.chunk", "body": {}, "size": len(payload)}
    fields |= {"digest": digest("soma/payload", payload), **changes}
    return wire(codec.encode({name: value for name, value in fields.items() if value is not ...}), payload)


def invalid_messages() -> list[Case]:
    abc, whole = b"abc", request()
    named = request(abc)[: -len(abc)]
    invalid = {
        "nothing": ("N1", b""),
        "four bytes": ("N1", b"\0\0\0\1"),
        "a header of no bytes": ("N1", b"\0\0\0\0x"),
        "a header longer than the message": ("N1", (len(whole) - 3).to_bytes(4, "big") + whole[4:]),
        "a header longer than a header may be": ("N1", (65537).to_bytes(4, "big") + b"\xa0" * 16),
        "a length with the high bit": ("N1", b"\xff" * 4 + whole[4:]),
        "a header that is no map": ("N2", wire(b"\x81\x01")),
        "a header that is not CBOR": ("N2", wire(b"\xff")),
        "an indefinite map": ("N2", wire(b"\xbf\xff")),
        "keys in another order": ("N2", wire(b"\xa2\x62op\x60\x62id\x01")),
        "a field missing": ("N2", request(size=...)),
        "a field too many": ("N2", request(extra=1)),
        "an id in a longer head": ("N2", wire(whole[4:8] + b"\x18\x01" + whole[9:])),
        "an id as text": ("N2", request(id="1")),
        "a negative id": ("N2", request(id=-1)),
        "an id beyond 63 bits": ("N2", request(id=1 << 63)),
        "a body that is no map": ("N2", request(body=[])),
        "a body with numbers for keys": ("N2", request(body={1: 2})),
        "a digest of 31 bytes": ("N2", request(digest=bytes(31))),
        "an unknown kind": ("N3", request(kind="gossip")),
        "a kind in capitals": ("N3", request(kind="PING", op="")),
        "a request numbered 0": ("N4", request(id=0)),
        "a hello with a number": ("N4", request(kind="hello", op="")),
        "a note with a number": ("N4", request(kind="note")),
        "a ping numbered 0": ("N4", request(kind="ping", id=0, op="")),
        "a request without an operation": ("N5", request(op="")),
        "a reply with an operation": ("N5", request(kind="reply")),
        "an operation of one word": ("N5", request(op="chunk")),
        "an operation in capitals": ("N5", request(op="Blob.chunk")),
        "an operation with a line's end": ("N5", request(op="blob.chunk\n")),
        "an operation too long": ("N2", request(op="a." + "b" * 31)),
        "a ping with a body": ("N6", request(kind="ping", op="", body={"a": 1})),
        "a size that is not the payload's": ("N7", request(size=2, digest=NOTHING) + abc),
        "a payload that is not announced": ("N7", whole + b"x"),
        "a payload announced that does not come": ("N7", named + abc[:2]),
        "a ping with a payload": ("N7", request(abc, kind="ping", op="")),
        "an error with a payload": ("N7", request(abc, kind="error", op="", body=BUSY)),
        "a payload that is another": ("N8", named + b"abd"),
        "a digest under another tag": ("N8", request(abc, digest=digest("soma/chunk", abc))),
    }
    return [{"name": name, "rule": rule, "bytes": data.hex()} for name, (rule, data) in invalid.items()]


def invalid_hellos() -> list[Case]:
    invalid: Mapping[str, Mapping[str, Any]] = {
        "a chain of 31 bytes": {**HELLO, "chain": bytes(31)},
        "nine roles": {**HELLO, "roles": ["r"] * 9},
        "a role of 17 characters": {**HELLO, "roles": ["r" * 17]},
        "nine addresses": {**HELLO, "addresses": ["a"] * 9},
        "an address of 257 characters": {**HELLO, "addresses": ["a" * 257]},
        "a version of 65 characters": {**HELLO, "version": "v" * 65},
        "an API beyond 2^16": {**HELLO, "api": (1 << 16) + 1},
        "no version": {name: value for name, value in HELLO.items() if name != "version"},
        "a field too many": {**HELLO, "more": 1},
        "roles as text": {**HELLO, "roles": "validator"},
    }
    return [{"name": name, "rule": "N10", "body": notation(body)} for name, body in invalid.items()]


def proofs() -> list[Case]:
    """Of the keys 1, who dialled, and 2, on libp2p keys of two kinds. The challenge is written here as N54 says it."""
    secp256k1, ed25519 = (
        b"\x00\x25\x08\x02\x12\x21\x02" + bytes(range(32)),
        b"\x00\x24\x08\x01\x12\x20" + bytes(range(32)),
    )
    sides = [
        {"key": signer.public, "nonce": bytes(range(signer.number, signer.number + 32)), "peer_id": peer_id}
        for signer, peer_id in ((Signer(1), secp256k1), (Signer(2), ed25519))
    ]
    words = b"".join(side["nonce"] + side["key"] + sha256(side["peer_id"]).digest() for side in sides)
    challenges = [b"soma/libp2p/1" + bytes([role]) + words for role in (0, 1)]
    signatures = [
        signer.sign(signing_digest("soma/hello", CHAIN, 0, challenge))
        for signer, challenge in zip((Signer(1), Signer(2)), challenges, strict=True)
    ]
    dialled, accepted = ({name: value.hex() for name, value in side.items()} for side in sides)
    return [
        {
            "name": "two keys prove each other",
            "chain": CHAIN.hex(),
            "dialled": dialled,
            "accepted": accepted,
            "challenges": [challenge.hex() for challenge in challenges],
            "signatures": [signature.hex() for signature in signatures],
        }
    ]


def net() -> Case:
    return {
        "messages": messages(),
        "invalid_messages": invalid_messages(),
        "invalid_hellos": invalid_hellos(),
        "proofs": proofs(),
    }


def blobs() -> Case:
    valid = {
        "one byte": (b"\0", 1),
        "a word": (b"two cats", 1),
        "one chunk, to the byte": (b"Z", CHUNK_SIZE),
        "one byte more than a chunk": (b"Z", CHUNK_SIZE + 1),
        "two chunks and a half": (bytes((0, 1, 2, 3)), CHUNK_SIZE * 5 // 8),
    }
    none, one = {"size": 0, "chunks": b""}, {"size": 1, "chunks": bytes(32)}
    invalid: Mapping[str, tuple[str, bytes]] = {
        "size 0": ("N34", codec.encode(none)),
        "more than the largest blob": ("N34", codec.encode({"size": MAX_BLOB + 1, "chunks": bytes(32 * 257)})),
        "a digest too few": ("N35", codec.encode({"size": CHUNK_SIZE + 1, "chunks": bytes(32)})),
        "a digest too many": ("N35", codec.encode({"size": CHUNK_SIZE, "chunks": bytes(64)})),
        "half a digest": ("N35", codec.encode({"size": 1, "chunks": bytes(16)})),
        "a field missing": ("N35", codec.encode({"size": 1})),
        "a field too many": ("N35", codec.encode({**one, "name": "x"})),
        "negative size": ("N34", codec.encode({**none, "size": -1})),
        "size as text": ("N35", codec.encode({**one, "size": "1"})),
        "trailing byte": ("E1", codec.encode(one) + b"\0"),
    }
    return {
        "blobs": [blob(name, *data) for name, data in valid.items()],
        "invalid_manifests": [
            {"name": name, "rule": rule, "bytes": data.hex()} for name, (rule, data) in invalid.items()
        ],
    }


def blob(name: str, unit: bytes, times: int) -> Case:
    manifest = manifest_of(unit * times)
    return {
        "name": name,
        "unit": unit.hex(),
        "times": times,
        "size": manifest.size,
        "chunks": [manifest.chunks[at : at + 32].hex() for at in range(0, len(manifest.chunks), 32)],
        "manifest": pack(manifest).hex(),
        "digest": manifest.digest.hex(),
    }


FILES: Final[Mapping[str, Callable[[], Case]]] = {"net.json": net, "blobs.json": blobs}


def rendered(name: str) -> str:
    """The text of the file `name`."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file in FILES:
        (DIRECTORY / file).write_text(rendered(file), "utf-8")
