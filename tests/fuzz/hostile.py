"""Inputs made to cost: lengths that lie, depth, expansion, squares. By decoder and by what is wrong with them."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from decoders import DECODERS

from soma_core import codec
from soma_core.net import _hello
from soma_core.net._message import Message, encode_message

MEGABYTE: Final = 1 << 20
DEEP: Final = 100_000


def _array(count: int) -> bytes:
    return b"\x9a" + count.to_bytes(4, "big")


def _head(major: int, argument: int) -> bytes:
    return bytes([major << 5 | 27]) + argument.to_bytes(8, "big")


@cache
def colliding(count: int) -> list[int]:
    """Integers of which each is looked for in a table of CPython's at the place of all those before it."""
    bits = (3 * count // 2).bit_length()
    mask = (1 << bits) - 1
    way = [0]  # of places that are tried one after the other, once the upper bits of a hash are used up
    while len(way) <= mask:
        way.append((5 * way[-1] + 1) & mask)
    found, taken = set(way[: count // 2]), set(way[: count // 2])
    start = way[: count // 8]
    for upper in range(1, 1 << 13):
        for place in start:
            if len(found) == count:
                return sorted(found)
            number = place + (upper << bits)
            perturb, here = number, number & mask
            while perturb and here in taken:
                perturb >>= 5
                here = (5 * here + perturb + 1) & mask
            if not perturb and here in taken:
                found.add(number)
                taken.add(way[len(found)])
    raise AssertionError("not enough of them were found")


def integer_keys(count: int) -> bytes:
    """A map of so many integers that collide."""
    numbers = colliding(count)
    return b"\xba" + len(numbers).to_bytes(4, "big") + b"".join(codec.encode(n) + b"\x00" for n in numbers)


def _values() -> Iterator[tuple[str, bytes]]:
    for major, name in ((2, "bytes"), (3, "text"), (4, "an array"), (5, "a map")):
        yield f"{name} of 2^60", _head(major, 1 << 60) + bytes(100)
        yield f"{name} of 2^64-1", _head(major, (1 << 64) - 1) + bytes(100)
    for byte, name in ((0x81, "arrays"), (0xC0, "tags"), (0x9F, "indefinite arrays"), (0x5F, "indefinite bytes")):
        yield f"{DEEP} {name} deep", bytes([byte]) * DEEP
    yield f"{DEEP} maps deep", b"\xa1\x00" * DEEP
    yield f"{DEEP} keys deep", b"\xa1" * DEEP
    yield "a bignum of a megabyte", b"\xc2" + _head(2, MEGABYTE - 20) + b"\xff" * (MEGABYTE - 20)
    yield "a decimal of 10^(2^60)", b"\xc4\x82" + _head(0, 1 << 60) + b"\x01"
    yield "100000 zeros, and one byte more", _array(100_000) + bytes(100_001)
    for byte, name in ((0x80, "arrays"), (0xA0, "maps"), (0x60, "texts")):
        yield f"20000 empty {name}, then half a float", _array(20_001) + bytes([byte]) * 20_000 + b"\xf9"
    texts = b"".join(codec.encode(f"{n:06}") + b"\x80" for n in range(15_000))
    yield "15000 keys, the last one twice", b"\xba" + (15_001).to_bytes(4, "big") + texts + texts[-8:]
    keys = integer_keys(20_000)
    yield "integer keys that collide", keys
    yield "integer keys that collide, behind a text", b"\xba" + (20_001).to_bytes(4, "big") + b"\x61a\x00" + keys[5:]
    yield "more than a value has", bytes(codec.MAX_SIZE + 1)


def _records() -> Iterator[tuple[str, str, bytes]]:
    hello = codec.decode(encode_message(Message("hello", body=_fields()))[4:])
    assert isinstance(hello, dict)
    many = codec.encode({**hello, "body": {**_fields(), "roles": [""] * 60_000}})  # type: ignore[dict-item]
    yield "message", "a hello of 60000 roles", len(many).to_bytes(4, "big") + many
    yield "message", "a header of 2^32-1 bytes", b"\xff" * 200
    yield "message", "a payload that never came", len(many[:100]).to_bytes(4, "big") + many[:100]
    pairs = [[b"\x00\x00", b""]] * 20_000
    entry = {"index": 1, "commit": b"", "record": b"", "signatures": pairs}
    yield "entries", "20000 signatures", codec.encode({"entries": [entry]})
    items = [[0, b""]] * 20_000
    commit = {"index": 1, "digest": bytes(32), "time": 1, "round": 1, "leader": 0, "items": items, "leader_system": 0}
    yield "commit", "20000 items", codec.encode(commit)
    yield "body", "a manifest of 64 MiB without chunks", b"\x07" + codec.encode({"size": 64 << 20, "chunks": b""})
    steps = [{"side": "up", "sibling": b""}] * 20_000
    yield "receipt-file", "20000 steps", codec.encode({"format": "", "genesis": None, "path": steps})
    (whole,) = DECODERS["receipt-file"].seeds()
    file: Any = codec.decode(whole)
    signed = {**file["checkpoint"], "signatures": [[number, b""] for number in colliding(20_000)]}
    yield "receipt-file", "20000 signers that collide", codec.encode({**file, "checkpoint": signed})
    yield "genesis", "a map of references", codec.encode({"references": [b""] * 20_000})


def _fields() -> dict[str, object]:
    return {
        "chain": bytes(32),
        "protocol": bytes(32),
        "version": "",
        "api": _hello.NET_API,
        "roles": [],
        "addresses": [],
    }


def _streams() -> Iterator[tuple[str, str, bytes]]:
    yield "child-frames", "a frame of 2^32-1", b"\xff" * 100
    yield "child-frames", "a frame at the limit of nothing but arrays", b"\x00\x01\x00\x00" + b"\x81" * 65_536
    yield "libp2p-frames", "a frame of 2^32-1", b"\xff" * 100
    yield "control-request", "lengths of 2^32-1", b"\xff" * 100
    yield "control-request", "a header at the limit that never came", b"\x00\x10\x00\x00" * 2 + bytes(100)
    yield "worker-answer", "arrays of 2^256 numbers", b"s" + _frame([1, "run", [["<f8", [codec.INT_MAX] * 4]] * 2])
    yield "worker-answer", "10000 arrays", b"s" + _frame([1, "run", [["|b1", []]] * 10_000])
    yield "worker-answer", "64 MiB that never came", b"s" + _frame([1, "run", [["|b1", [1 << 26]]]])
    yield (
        "worker-request",
        "a batch of 2^64",
        b"s" + _frame([1, "run", {"sizes": [codec.INT_MAX], "seed": None, "job": b""}]),
    )
    yield "worker-request", "60000 items", b"s" + _frame([1, "run", {"sizes": [0] * 60_000, "seed": None, "job": b""}])
    yield "multistream", "a line of 2^63", b"\x80" * 9 + b"\x01"
    yield "multistream", "a length without end", b"\x80" * 10_000


def _frame(value: object) -> bytes:
    data = codec.encode(value)
    return len(data).to_bytes(4, "big") + data


def _files() -> Iterator[tuple[str, str, bytes]]:
    for length in ((1 << 63) - 1, (1 << 64) - 1, 1 << 20, 101):
        yield "weights", f"a header of {length} bytes in a file of 108", length.to_bytes(8, "little") + bytes(100)
    tensor = b'{"dtype":"F32","shape":%s,"data_offsets":%s}'
    one = tensor % (b"[1]", b"[0,4]")
    for name, header in {
        "deep arrays": b'{"a":' + b"[" * DEEP,
        "objects": b'{"a":' * DEEP,
        "a shape of 700 arrays": b'{"a":' + tensor % (b"[" * 700 + b"]" * 700, b"[0,4]") + b"}",
        "names twice": b"{" + b",".join([b'"a":' + one] * 10_000) + b"}",
        "5000 tensors": b"{" + b",".join(b'"%06d":' % n + one for n in range(5_000)) + b"}",
        "tensors over each other": b'{"a":' + one + b',"b":' + one + b"}",
        "a tensor of 2^134 bytes": b'{"a":' + tensor % (b"[" + b",".join([b"8589934592"] * 4) + b"]", b"[0,4]") + b"}",
        "a tensor of 8 GiB": b'{"a":' + tensor % (b"[2147483648]", b"[0,8589934592]") + b"}",
        "a number of 100000 digits": b'{"a":' + tensor % (b"[" + b"9" * 100_000 + b"]", b"[0,4]") + b"}",
        "a shape of 100000 axes": b'{"a":' + tensor % (b"[" + b"1," * 100_000 + b"1]", b"[0,4]") + b"}",
        "20000 empty objects": b'{"__metadata__":{"a":[' + b"{}," * 20_000 + b"{}]}}",
        "half a character": b'{"\\ud800":' + one + b"}",
        "not a number": b'{"a":' + tensor % (b"[NaN]", b"[0,4]") + b"}",
    }.items():
        yield "weights", name, len(header).to_bytes(8, "little") + header + bytes(4)
    whole = {"weights": bytes(32), "raw": 8192, "dim": 8192, "exponent": 0, "mean": b"", "map": b""}
    yield "frame-map", "2^26 numbers that are not there", codec.encode(whole)
    yield "pack", "a header of 2^32-1", b"\xff" * 100
    yield "pack", "an item of 2^64-1", _frame([["", "", codec.INT_MAX, bytes(32)]])
    yield "pack", "items without bytes", _frame([["", "", 0, b""]] * 20_000)
    yield "model-config", "deep", b'{"dim":' + b"[" * 60_000
    yield "model-config", "700 deep", b'{"dim":' + b"[" * 700 + b"]" * 700 + b"}"
    yield "key-file", "more than a key file has", bytes(2000)


def _settings() -> Iterator[tuple[str, str, bytes]]:
    part = b"a." * 2000 + b"a"
    for name, text in {
        "deep arrays": b"plugins = " + b"[" * 60_000,
        "deep tables": b"node = " + b"{a=" * 20_000,
        "900 arrays in a setting": b"[node]\nopen_timeout = " + b"[" * 300 + b"]" * 300,
        "a key of 2001 parts": part + b" = 1",
        "a section of 2001 parts": b"[" + part + b"]\n" + part + b" = 1",
        "a quoted key of 2001 parts": b'"\xe2\x80\xa8".' * 2000 + b"a = 1",
        "a number of 60000 digits": b"[node]\nopen_timeout = " + b"9" * 60_000,
        "a number of 4000 hexadecimal digits": b"plugins = 0x" + b"f" * 4000,
        "a text without end": b'plugins = """' + b"\\\n" * 15_000,
        "more than a settings file has": b"#" * (1 << 17),
        "tables of 60 parts": b"[node]\n" + b"".join(b"a%d" % n + b".a" * 60 + b" = 1\n" for n in range(100)),
    }.items():
        yield "settings", name, text
    for name, value in {"deep": b"[" * 60_000, "long": b"9" * 60_000, "wide": b"{" + part + b"=1}"}.items():
        yield "given", f"an assignment that is {name}", b"snode.open_timeout=" + value
        yield "given", f"a variable that is {name}", b"eNODE__OPEN_TIMEOUT=" + value
    yield "written", "an amount of 10^999999", b"m1e999999"
    yield "written", "an amount of 100000 digits", b"m" + b"9" * 100_000
    yield "written", "an amount of 31 decimals", b"m1.0000000000000000000000000000001"
    yield "written", "an address with spaces", b"a" + b"5a " * 32


def hostile() -> Iterator[tuple[str, str, bytes]]:
    """(decoder, what is wrong, input). None of them is accepted."""
    for name, data in _values():
        yield "value", name, data
    yield from _records()
    yield from _streams()
    yield from _files()
    yield from _settings()
