"""Writes the chain's files of ``specs/vectors``: ``python tests/make_vectors.py``. Equal code gives equal bytes.

`FILES` names what is written; `tests/chain/test_chain_vectors.py` checks that the files are those this code makes.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import audit_replays
import member_replays
import race_replays
import replays
import upkeep_replays
from attrs import evolve
from committee_world import Committee, Signer, committee_genesis
from ledger_world import key
from vectors import DIRECTORY

from soma_core import chain, codec, crypto
from soma_core.chain import lthash
from soma_core.chain.receipts import committee_digest, leaf_hash, proof, root
from soma_core.chain.sketches import distance
from soma_core.genesis import Genesis
from soma_core.records import pack, to_value

Case = dict[str, Any]


def notation(value: Any) -> Any:
    """`value` in the notation of the vector files (``specs/README.md``)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return {"map": [[notation(k), notation(v)] for k, v in value.items()]}
    return {"array": [notation(item) for item in value]}


def encoding() -> Case:
    deepest: Any = 0
    for _ in range(codec.MAX_DEPTH):
        deepest = [deepest]
    valid = {
        "zero": 0,
        "23 stands in the first byte": 23,
        "24 takes a second": 24,
        "255": 255,
        "256": 256,
        "65535": 65535,
        "65536": 65536,
        "2^32-1": (1 << 32) - 1,
        "2^32": 1 << 32,
        "2^63-1": (1 << 63) - 1,
        "2^63": 1 << 63,
        "the largest": (1 << 64) - 1,
        "-1": -1,
        "-24": -24,
        "-25": -25,
        "the smallest": -(1 << 64),
        "false": False,
        "true": True,
        "null": None,
        "no bytes": b"",
        "bytes": bytes(range(24)),
        "no text": "",
        "text": "Wörter ≠ 🜁",
        "text with NUL": "\0",
        "an empty array": [],
        "an array": [1, [2, b"\3"], "4"],
        "an empty map": {},
        "text keys: shorter first, then by bytes": {"": 0, "b": 1, "c": 2, "aa": 3, "é": 4},
        "integer keys": {0: "a", 23: "b", 24: "c", 256: "d", 1 << 40: "e"},
        "the deepest": deepest,
        "an empty array in the deepest place": codec.decode(codec.encode(deepest)[:-1] + b"\x80"),
    }
    invalid = {
        "nothing": ("E1", ""),
        "two values": ("E1", "0000"),
        "trailing byte": ("E1", "8000"),
        "truncated integer": ("E1", "1901"),
        "truncated bytes": ("E1", "43ffff"),
        "truncated array": ("E1", "8201"),
        "a length beyond the data": ("E8", "5b7fffffffffffffff"),
        "an array length beyond the data": ("E8", "9b7fffffffffffffff"),
        "a map length beyond the data": ("E8", "bb7fffffffffffffff"),
        "0 in two bytes": ("E4", "1800"),
        "23 in two bytes": ("E4", "1817"),
        "255 in three bytes": ("E4", "1900ff"),
        "65535 in five bytes": ("E4", "1a0000ffff"),
        "1 in nine bytes": ("E4", "1b0000000000000001"),
        "-1 in two bytes": ("E4", "3800"),
        "a long length of bytes": ("E4", "580100"),
        "a long length of text": ("E4", "780161"),
        "a long length of an array": ("E4", "980100"),
        "a long length of a map": ("E4", "b8010000"),
        "reserved 28": ("E1", "1c"),
        "reserved 29": ("E1", "1d"),
        "reserved 30": ("E1", "1e"),
        "half float 1.0": ("E3", "f93c00"),
        "half NaN": ("E3", "f97e00"),
        "single float": ("E3", "fa3f800000"),
        "double float": ("E3", "fb3ff0000000000000"),
        "undefined": ("E3", "f7"),
        "simple value 0": ("E3", "e0"),
        "simple value 255": ("E3", "f8ff"),
        "false in two bytes": ("E3", "f814"),
        "tag 0, a date": ("E3", "c074323032362d30312d30315430303a30303a30305a"),
        "tag 2, a bignum": ("E3", "c249010000000000000000"),
        "tag 4, a decimal": ("E3", "c48201186f"),
        "tag 28, a shared value": ("E3", "d81c80"),
        "tag 258, a set": ("E3", "d9010281 01".replace(" ", "")),
        "tag 55799, self-described": ("E3", "d9d9f700"),
        "indefinite bytes": ("E5", "5f4100ff"),
        "indefinite text": ("E5", "7f6161ff"),
        "indefinite array": ("E5", "9f00ff"),
        "indefinite map": ("E5", "bf0000ff"),
        "a lone break": ("E5", "ff"),
        "keys in the wrong order": ("E6", "a2616200616100"),
        "a longer key first": ("E6", "a262616100616200"),
        "integer keys in the wrong order": ("E6", "a201000000"),
        "a key twice": ("E6", "a2616100616101"),
        "a key twice, equal values": ("E6", "a2616100616100"),
        "keys of text and integers": ("E6", "a2000061 6100".replace(" ", "")),
        "one integer key too many": ("E6", "b90101" + "".join(codec.encode(n).hex() + "f6" for n in range(257))),
        "a negative key": ("E6", "a12000"),
        "a key of bytes": ("E6", "a1410000"),
        "a key that is true": ("E6", "a1f500"),
        "a key that is null": ("E6", "a1f600"),
        "a key that is an array": ("E6", "a18000"),
        "text that is not UTF-8": ("E2", "61ff"),
        "text cut inside a character": ("E2", "61c3"),
        "text in overlong UTF-8": ("E2", "62c080"),
        "text of a surrogate": ("E2", "63eda080"),
        "one array too deep": ("E7", "81" * (codec.MAX_DEPTH + 1) + "00"),
        "one map too deep": ("E7", "a100" * (codec.MAX_DEPTH + 1) + "00"),
    }
    too_deep: Any = [deepest]
    without = {
        "2^64": 1 << 64,
        "-2^64-1": -(1 << 64) - 1,
        "a negative key": {-1: 0},
        "keys of text and integers": {0: 0, "a": 0},
        "one array too deep": too_deep,
    }
    return {
        "about": "Rules E: values, the one encoding of each, and bytes that are none.",
        "valid": [{"name": n, "value": notation(v), "bytes": codec.encode(v).hex()} for n, v in valid.items()],
        "invalid": [
            *({"name": n, "rule": rule, "bytes": text} for n, (rule, text) in invalid.items()),
            {"name": "a million arrays deep", "rule": "E7", "bytes": "81", "times": 1_000_000},
            {"name": "one byte too large", "rule": "E8", "bytes": "00", "times": codec.MAX_SIZE + 1},
        ],
        "without_encoding": [{"name": n, "value": notation(v)} for n, v in without.items()],
        "records": _records(),
    }


def _records() -> Case:
    transfer = chain.Transfer(bytes(range(32)), 5)
    register = chain.RegisterEncoder(
        name="e", stake=1, weights=bytes(32), frame=bytes(32), architecture="byte-transformer-1"
    )
    system = chain.System(
        link=None, anchors=((1, bytes(32)),), signatures=(chain.RecordSignature(3, bytes(range(64))),)
    )
    good = {"to": bytes(32), "amount": 1}
    record = chain.CommitRecord(
        index=1,
        previous=bytes(32),
        commit=bytes(32),
        time=2,
        epoch=0,
        receipts=bytes(32),
        state=bytes(32),
        committee=bytes(32),
    )
    invalid: list[tuple[str, str, str, object, str]] = [
        ("no map", "E10", "Transfer", [bytes(32), 1], "not a map"),
        ("a missing field", "E11", "Transfer", {"to": bytes(32)}, "amount is missing"),
        ("one field more", "E11", "Transfer", {**good, "memo": ""}, "memo is not a field"),
        ("numbered fields", "E11", "Transfer", {0: bytes(32), 1: 1}, "is missing"),
        ("an integer below its least", "E12", "Transfer", {**good, "amount": 0}, "amount"),
        ("an integer above its most", "E12", "Transfer", {**good, "amount": (1 << 62) + 1}, "amount"),
        ("a negative integer", "E12", "Transfer", {**good, "amount": -1}, "amount"),
        ("true for an integer", "E12", "Transfer", {**good, "amount": True}, "not an integer"),
        ("text for an integer", "E12", "Transfer", {**good, "amount": "1"}, "not an integer"),
        ("bytes of the wrong length", "E12", "Transfer", {**good, "to": bytes(31)}, "to: 32 bytes"),
        ("text for bytes", "E12", "Transfer", {**good, "to": "0" * 32}, "not a bytes"),
        ("null for bytes", "E12", "Transfer", {**good, "to": None}, "not a bytes"),
        ("text too long", "E12", "RegisterEncoder", {**to_value(register), "name": "e" * 33}, "name"),
        ("an index of 2^63", "E12", "CommitRecord", {**to_value(record), "index": 1 << 63}, "index"),
        ("a pair of three", "E13", "System", {**to_value(system), "anchors": [[1, b"", 2]]}, "an array of 3 where 2"),
        ("a record in a record", "E13", "System", {**to_value(system), "signatures": [{"index": 1}]}, "signature is"),
        ("a map for an array", "E13", "System", {**to_value(system), "anchors": {}}, "not an array"),
    ]
    return {
        "valid": [
            {"name": type(r).__name__, "record": type(r).__name__, "bytes": pack(r).hex()}
            for r in (transfer, register, system, record)
        ],
        "invalid": [
            {"name": name, "rule": rule, "record": cls, "names": names, "bytes": codec.encode(value).hex()}
            for name, rule, cls, value, names in invalid
        ],
    }


def signatures() -> Case:
    chain_id, body = crypto.digest("soma/genesis", b"example"), b"what is signed"
    digests: list[tuple[str, str, list[bytes]]] = [
        ("of nothing", "soma/node", []),
        ("of one part", "soma/blob", [b"data"]),
        ("of two parts, which are joined", "soma/blob", [b"da", b"ta"]),
        ("the same bytes in another domain", "soma/chunk", [b"data"]),
        ("of more than one block", "soma/vector", [bytes(range(256))]),
    ]
    signed = []
    for name, domain, epoch, number in (
        ("a transaction's", "soma/tx", 7, 5),
        ("a checkpoint's", "soma/checkpoint", 0, 100),
        ("in the last epoch there is", "soma/block", (1 << 63) - 1, 200),
    ):
        digest = crypto.signing_digest(domain, chain_id, epoch, body)
        signed.append(
            {
                "name": name,
                "domain": domain,
                "chain": chain_id.hex(),
                "epoch": epoch,
                "body": body.hex(),
                "digest": digest.hex(),
                "key": key(number).public.hex(),
                "signature": Signer(number).sign(digest).hex(),
            }
        )
    first = signed[0]
    public, digest, signature = (bytes.fromhex(str(first[part])) for part in ("key", "digest", "signature"))
    field = (1 << 256) - (1 << 32) - 977
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    other = crypto.signing_digest("soma/checkpoint", chain_id, 7, body)
    invalid: list[tuple[str, str, bytes, bytes, bytes]] = [
        ("another domain", "S5", public, other, signature),
        ("another chain", "S5", public, crypto.signing_digest("soma/tx", bytes(32), 7, body), signature),
        ("another epoch", "S5", public, crypto.signing_digest("soma/tx", chain_id, 8, body), signature),
        ("another body", "S5", public, crypto.signing_digest("soma/tx", chain_id, 7, body + b"\0"), signature),
        ("another key", "S6", key(6).public, digest, signature),
        ("a key of 31 bytes", "S6", public[1:], digest, signature),
        ("a key of 33 bytes", "S6", b"\x02" + public, digest, signature),
        ("a key that is no point", "S6", bytes(31) + b"\x05", digest, signature),
        ("a key beyond the field", "S6", field.to_bytes(32, "big"), digest, signature),
        ("a signature of 63 bytes", "S6", public, digest, signature[1:]),
        ("a signature of 65 bytes", "S6", public, digest, signature + b"\0"),
        ("a signature of zeros", "S6", public, digest, bytes(64)),
        ("s beyond the order", "S6", public, digest, signature[:32] + order.to_bytes(32, "big")),
        ("r beyond the field", "S6", public, digest, field.to_bytes(32, "big") + signature[32:]),
        (
            "r of another signature",
            "S6",
            public,
            digest,
            bytes.fromhex(str(signed[1]["signature"]))[:32] + signature[32:],
        ),
        ("a digest of 31 bytes", "S6", public, digest[1:], signature),
    ]
    return {
        "about": "Rules S: digests, addresses, signed digests; signatures without auxiliary randomness.",
        "digests": [
            {"name": n, "domain": d, "parts": [p.hex() for p in parts], "digest": crypto.digest(d, *parts).hex()}
            for n, d, parts in digests
        ],
        "addresses": [
            {
                "name": f"key {number}",
                "secret": key(number).expose().hex(),
                "key": key(number).public.hex(),
                "address": crypto.address_of(key(number).public).hex(),
            }
            for number in (1, 2, 100)
        ],
        "signatures": signed,
        "invalid": [
            {"name": n, "rule": r, "key": k.hex(), "digest": d.hex(), "signature": s.hex()} for n, r, k, d, s in invalid
        ],
    }


def genesis() -> Case:
    small = committee_genesis((1,))
    four = committee_genesis((4, 3, 2, 1))
    value = to_value(small)
    first, *rest = small.encoders

    def parameters(**changes: int) -> Genesis:
        return evolve(small, parameters=evolve(small.parameters, **changes))

    def encoder(**changes: Any) -> Genesis:
        return evolve(small, encoders=(evolve(first, **changes), *rest))

    wrong: dict[str, tuple[str, Genesis, str]] = {
        "unbonding not above evidence": ("G6", parameters(unbonding_ms=small.parameters.evidence_ms), "unbonding_ms"),
        "evidence not above audit": ("G6", parameters(audit_ms=small.parameters.evidence_ms), "unbonding_ms"),
        "more emission than all": ("G6", parameters(emission_embed=7_001), "emission shares"),
        "more money than the limit": ("G6", parameters(supply_limit=10**12), "exceeds supply_limit"),
        "no validator": ("G7", evolve(small, validators=()), "there is no validator"),
        "a validator twice": ("G7", evolve(small, validators=small.validators * 2), "two validators share a key"),
        "two validators of one node": (
            "G7",
            evolve(four, validators=(*four.validators[:3], evolve(four.validators[3], node=four.validators[0].node))),
            "share a node",
        ),
        "an allocation twice": ("G8", evolve(small, allocations=small.allocations[:1] * 2), "two allocations"),
        "an encoder twice": ("G8", evolve(small, encoders=(first, first)), "two encoders share an account"),
        "an encoder's name twice": ("G8", encoder(name=rest[0].name), "two encoders share a name"),
        "a name that receipts use": ("G8", encoder(name="treasury"), "name is not one"),
        "a name with a hyphen": ("G8", encoder(name="e-1"), "name is not one"),
        "an empty name": ("G8", encoder(name=""), "name is not one"),
        "a stake below the least": ("G8", encoder(stake=10**9 - 1), "less than encoder_stake"),
        "an unknown architecture": ("G8", encoder(architecture="secret"), "not in the list"),
        "no digest of weights": ("G8", encoder(weights=b""), "has no digest"),
        "a short digest of a frame": ("G8", encoder(frame=bytes(31)), "has no digest"),
        "six references": ("G9", evolve(small, references=small.references[:6]), "fewer than 7"),
        "a short reference": ("G9", evolve(small, references=(*small.references, bytes(14))), "a reference vector"),
        "a reference of zeros": ("G9", evolve(small, references=(*small.references, bytes(16))), "a reference vector"),
        "a reference with -32768": (
            "G9",
            evolve(small, references=(*small.references, b"\x00\x80" + bytes(14))),
            "a reference vector",
        ),
    }
    refused: dict[str, tuple[str, Any, str]] = {
        "a parameter too many": ("G3", {**value, "parameters": {**value["parameters"], "x": 1}}, "x is not a field"),
        "a parameter missing": (
            "G3",
            {**value, "parameters": {k: v for k, v in value["parameters"].items() if k != "fee"}},
            "fee is missing",
        ),
        "a dimension below 8": ("G4", {**value, "parameters": {**value["parameters"], "dimension": 7}}, "dimension"),
        "a shard of 32": ("G4", {**value, "parameters": {**value["parameters"], "shard_size": 32}}, "shard_size"),
        "an epoch of no time": ("G4", {**value, "parameters": {**value["parameters"], "epoch_ms": 0}}, "epoch_ms"),
        "a power of 0": ("G7", {**value, "validators": [{**value["validators"][0], "power": 0}]}, "power"),
        "a rule of version 0": ("G5", {**value, "scoring": {**value["scoring"], "rule_version": 0}}, "rule_version"),
        "no map": ("G3", [1, 2], "not a map"),
    }
    return {
        "about": "Rules G: genesis documents, what follows from them, and what is refused.",
        "valid": [_genesis_case("one validator", small), _genesis_case("four validators", four)],
        "invalid": [
            *({"name": n, "rule": r, "says": s, "bytes": pack(g).hex()} for n, (r, g, s) in wrong.items()),
            *({"name": n, "rule": r, "says": s, "bytes": codec.encode(v).hex()} for n, (r, v, s) in refused.items()),
            {"name": "one byte more", "rule": "G3", "says": "deterministic", "bytes": pack(small).hex() + "00"},
        ],
    }


def _genesis_case(name: str, document: Genesis) -> Case:
    founded = Committee(genesis=document).trace[0]
    return {
        "name": name,
        "bytes": pack(document).hex(),
        "chain": document.chain.hex(),
        "protocol": document.protocol.hex(),
        "supply": document.supply,
        "record": pack(founded.record).hex(),
        "record_digest": chain.record_digest(founded.record).hex(),
    }


def state() -> Case:
    entries = [(b"\x11" + bytes(32), b"value"), (b"\x11", b""), (b"\x12", b"\0" * 200)]
    world = replays.settled_job()
    held = sorted(world.reader.data.items())
    return {
        "about": "Rules T: lanes of entries, sums, and the whole state of a small chain with the money in it.",
        "entries": [
            {"key": k.hex(), "value": v.hex(), "lanes": lthash.entry_lanes(k, v).astype("<u2").tobytes().hex()}
            for k, v in entries
        ],
        "sums": [
            {"name": "nothing", "entries": [], "digest": lthash.state_digest(lthash.EMPTY).hex()},
            {
                "name": "three entries",
                "entries": [[k.hex(), v.hex()] for k, v in entries],
                "digest": lthash.state_digest(lthash.total(entries)).hex(),
            },
        ],
        "states": [
            {
                "name": "after one job of a network of one validator",
                "entries": [[k.hex(), v.hex()] for k, v in held],
                "digest": lthash.state_digest(world.tip.lthash).hex(),
                "money": chain.money_in(held),
                "supply": world.genesis.supply,
                "emitted": world.state.need(chain.POOLS).emitted,
            }
        ],
        "invalid": [
            {
                "name": "a missing field",
                "rule": "T3",
                "key": "11" + "00" * 32,
                "value": codec.encode({"balance": 1}).hex(),
            },
            {
                "name": "not deterministic",
                "rule": "T3",
                "key": "11" + "00" * 32,
                "value": "a1 1800 00".replace(" ", ""),
            },
            {"name": "no record at all", "rule": "T3", "key": "11" + "00" * 32, "value": ""},
        ],
    }


def transactions() -> Case:
    genesis_ = committee_genesis((1,))
    world = Committee(genesis=genesis_)
    wire = world.transaction(5, "transfer", chain.Transfer(bytes(32), 7))
    signed = chain.parse_wire(wire)
    unsigned, signature = signed.unsigned, signed.signature
    invalid = {
        "nothing": b"",
        "one byte more": wire + b"\0",
        "one byte less": wire[:-1],
        "no array": codec.encode(unsigned),
        "without signature": codec.encode([unsigned]),
        "a short signature": codec.encode([unsigned, signature[1:]]),
        "three items": codec.encode([unsigned, signature, b""]),
        "unsigned as a map": codec.encode([codec.decode(unsigned), signature]),
        "unsigned with a byte more": codec.encode([unsigned + b"\0", signature]),
        "a negative sequence": codec.encode([_with(unsigned, sequence=-1), signature]),
        "a fee of 2^63": codec.encode([_with(unsigned, fee=1 << 63), signature]),
        "a long kind": codec.encode([_with(unsigned, kind="k" * 33), signature]),
        "a field more": codec.encode([_with(unsigned, nonce=1), signature]),
    }
    return {
        "about": "Rules X and A: transactions as they travel, and what becomes of them.",
        "valid": [
            {
                "name": "a transfer",
                "wire": wire.hex(),
                "id": signed.id.hex(),
                "signed_digest": crypto.signing_digest(
                    "soma/tx", genesis_.chain, signed.transaction.expiry, unsigned
                ).hex(),
                "fields": notation(to_value(signed.transaction)),
            }
        ],
        "invalid": [{"name": name, "rule": "X1", "wire": data.hex()} for name, data in invalid.items()],
        "runs": replays.transactions(),
    }


def _with(unsigned: bytes, **changes: Any) -> bytes:
    return codec.encode({**codec.decode(unsigned), **changes})  # type: ignore[dict-item]


def jobs() -> Case:
    job = chain.job_key(bytes(32), bytes(range(32)), 9)
    return {
        "about": "Rules J: prices, keys, seals, and jobs under the plain rule of specs/README.md.",
        "prices": [
            {"size": size, "pot": pot, "commission": commission}
            for size in (1, 1024, 1025, 16 << 20)
            for pot, commission in [chain.price(committee_genesis().parameters, size)]
        ],
        "keys": [{"requester": "00" * 32, "blob": bytes(range(32)).hex(), "nonce": 9, "job": job.hex()}],
        "seals": [
            {
                "job": job.hex(),
                "encoder": "11" * 32,
                "salt": "22" * 32,
                "loss": 98304,
                "vector": "0100ff7f",
                "commitment": chain.commitment(job, b"\x11" * 32, b"\x22" * 32, 98304, b"\x01\0\xff\x7f").hex(),
            }
        ],
        "runs": replays.jobs(),
    }


def encoders() -> Case:
    """Chapter 15: seals of weights, and encoders that renew theirs or end."""
    parts = tuple(crypto.digest("soma/chunk", bytes([n])) for n in range(4))
    return {
        "about": "Rules L: seals of new weights, and a run under the plain rule of specs/README.md.",
        "seals": [
            {
                **dict(zip(("encoder", "salt", "weights", "frame"), (part.hex() for part in parts), strict=True)),
                "position": position.hex(),
                "best": best.hex(),
                "seal": chain.weights_seal(*parts, position, best).hex(),
            }
            for position, best in ((b"", b""), (bytes(range(16)), b""), (b"", bytes(range(16))))
        ],
        "runs": [*replays.encoders(), *upkeep_replays.copies()],
    }


def routing() -> Case:
    """Chapter 23: sketches and their distances."""
    data = (b"a", b"ab" * 20, bytes(range(256)), b"Soma turns data into embeddings. " * 9, bytes(1_000))
    sketches = [chain.sketch_of(each) for each in data]
    losses = ([*range(16)], [0] * 16, [9, 1, 8, 2, 7, 3, 6, 4, 5] * 2, [*range(33, 0, -1)])
    return {
        "about": "Rules Y: sketches of bytes, the distance of each from the first; the best anchors by their losses.",
        "sketches": [
            {"data": each.hex(), "sketch": sketch.hex(), "distance": distance(sketches[0], sketch)}
            for each, sketch in zip(data, sketches, strict=True)
        ],
        "best": [{"losses": each, "best": chain.best_anchors(each).hex()} for each in losses],
        "runs": replays.routing(),
    }


def audits() -> Case:
    """Chapter 25: seals of verdicts and canaries, and jobs that are audited."""
    job, auditor, salt = (crypto.digest("soma/chunk", bytes([n])) for n in (1, 2, 3))
    results = (chain.Result(loss=65_536, vector=bytes(range(16))), chain.Result(loss=0, vector=b""))
    return {
        "about": "Rules AU: seals, and jobs from request to payment under the plain rule of specs/README.md.",
        "seals": [
            {
                "kind": kind,
                "key": job.hex(),
                "auditor": auditor.hex(),
                "salt": salt.hex(),
                "results": [{"loss": result.loss, "vector": result.vector.hex()} for result in results],
                "commitment": chain.verdict_commitment(kind, job, auditor, salt, results).hex(),
            }
            for kind in ("embed", "target")
        ],
        "canaries": [
            {
                "encoder": auditor.hex(),
                "secret": secret.hex(),
                "job": job.hex(),
                "seal": chain.canary_seal(auditor, secret).hex(),
                "may_lie": chain.may_lie(auditor, secret, job),
            }
            for secret in (number.to_bytes(32, "big") for number in range(200))
            if int.from_bytes(secret, "big") < 2 or chain.may_lie(auditor, secret, job)
        ],
        "runs": audit_replays.audits(),
    }


def receipts() -> Case:
    leaves = [bytes([n]) * n for n in range(9)]
    trees = []
    for size in (0, 1, 2, 3, 5, 8, 9):
        hashes = [leaf_hash(leaf) for leaf in leaves[:size]]
        paths = [[[step.side, step.sibling.hex()] for step in proof(hashes, place)] for place in range(size)]
        trees.append({"leaves": [leaf.hex() for leaf in leaves[:size]], "root": root(hashes).hex(), "proofs": paths})
    members = [(key(100 + place).public, power) for place, power in enumerate((4, 3, 2, 1))]
    trusted, valid, invalid = replays.receipt_files()
    return {
        "about": "Rules H: receipt trees, committees, and receipt files that prove a job or do not.",
        "trees": trees,
        "committees": [{"members": [[k.hex(), p] for k, p in members], "digest": committee_digest(members).hex()}],
        "trusted": trusted,
        "valid": valid,
        "invalid": invalid,
        "handovers": member_replays.handovers(),
    }


def members() -> Case:
    return {
        "about": "Rules V, A and L: validators that join, leave and fail, operator keys, reports of encoders.",
        "runs": member_replays.members(),
    }


def epochs() -> Case:
    return {"about": "Rules U, V and I: epochs, emission, the beacon and its misses, stake.", "runs": replays.epochs()}


def safe_mode() -> Case:
    return {
        "about": "Rules U10 and U11: ends of epochs in which a rule fails, by the failing targets of specs/README.md.",
        "runs": upkeep_replays.safe_mode(),
    }


def targets() -> Case:
    """Chapter 24: the seals of submissions, and races."""
    submitter, salt, blob, encoder = (crypto.digest("soma/chunk", bytes([n])) for n in range(4))
    seal = chain.submission_seal(5, submitter, salt, blob, encoder, 98304, b"\x01\0\xff\x7f")
    return {
        "about": "Rules Z: seals of submissions, and races under the plain targets of specs/README.md.",
        "seals": [
            {
                "target": 5,
                "submitter": submitter.hex(),
                "salt": salt.hex(),
                "blob": blob.hex(),
                "encoder": encoder.hex(),
                "loss": 98304,
                "vector": "0100ff7f",
                "commitment": seal.hex(),
            }
        ],
        "runs": race_replays.targets(),
    }


FILES: Final[Mapping[str, Callable[[], Case]]] = {
    "encoding.json": encoding,
    "signatures.json": signatures,
    "genesis.json": genesis,
    "state.json": state,
    "transactions.json": transactions,
    "encoders.json": encoders,
    "jobs.json": jobs,
    "audits.json": audits,
    "routing.json": routing,
    "targets.json": targets,
    "receipts.json": receipts,
    "epochs.json": epochs,
    "members.json": members,
    "safe_mode.json": safe_mode,
}


def rendered(name: str) -> str:
    """The text of the file `name`."""
    return json.dumps(FILES[name](), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file in FILES:
        (DIRECTORY / file).write_text(rendered(file), "utf-8")
