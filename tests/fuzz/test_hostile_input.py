"""What is made to cost time or memory costs neither: everything is refused within a bound on memory, and on work."""

import resource
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from decoders import DECODERS
from hostile import MEGABYTE, colliding, hostile, integer_keys

from soma_core import codec
from soma_core.errors import DecodeError
from soma_core.model._items import Item, write_pack
from soma_core.model._safetensors import write_tensors
from soma_core.node._frames import Splitter

CASES = list(hostile())
TEXT_KEYS = b"".join(codec.encode(f"{n:03}") + b"\x00" for n in range(256))
PER_BYTE = 100
"""Bytes of memory for one of an input: an empty map, which is one byte, is 64 and a place in a list."""
PER_BYTE_OF_TOML = 600
"""The same of settings, whose files are short: for a key's part, two bytes, the standard library keeps four tables."""
BESIDE = 1 << 19
"""Bytes of memory for whatever is not in proportion."""


def peak(work: Callable[[], object]) -> int:
    """Bytes that Python held at most while it worked, beyond those before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def calls(work: Callable[[], object]) -> int:
    """How many functions were called, those in C included: a count that no other process disturbs."""
    count = 0

    def note(_frame: object, _event: str, _argument: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("name", "wrong", "data"), CASES, ids=[f"{name}: {wrong}" for name, wrong, _ in CASES])
def test_it_is_refused_and_costs_little(name: str, wrong: str, data: bytes) -> None:
    refused = _refused(name, data)
    refused()  # what is remembered from the first use on is not counted
    factor = PER_BYTE_OF_TOML if name in ("settings", "given") else PER_BYTE
    most = peak(refused)
    assert most <= factor * len(data) + BESIDE, f"{wrong}: {most} bytes for {len(data)}"


def _refused(name: str, data: bytes) -> Callable[[], None]:
    """That the decoder of this name does not take `data`; of values the codec alone, without the slow second reader."""

    def run() -> None:
        if name == "value":
            with pytest.raises(DecodeError):
                codec.decode(data)
        else:
            assert not DECODERS[name](data)

    return run


def test_no_library_holds_more_behind_the_back_of_python() -> None:
    """All of them in one process, whose peak is the system's own figure."""
    code = (
        "import resource; from decoders import DECODERS; from hostile import hostile\n"
        "from soma_core import codec; from soma_core.errors import DecodeError\n"
        "for decoder in DECODERS.values(): decoder.seeds()\n"
        "cases = list(hostile()); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for name, wrong, data in cases:\n"
        "    if name != 'value': assert not DECODERS[name](data), wrong\n"
        "    else:\n"
        "        try: codec.decode(data)\n"
        "        except DecodeError: continue\n"
        "        raise AssertionError(wrong)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
    )
    grown = int(done.stdout.splitlines()[-1]) << 10
    assert grown <= PER_BYTE * MEGABYTE


def test_the_integers_do_collide() -> None:
    """What the limit of E6 is against: so many of them would be compared with each other two hundred million times."""
    numbers = colliding(20_000)
    assert len(set(numbers)) == len(numbers) == 20_000
    with pytest.raises(DecodeError, match="a map of more than 256 keys that are not all text"):
        codec.decode(integer_keys(20_000))
    most = dict.fromkeys(colliding(codec.MAX_INTEGER_KEYS))
    assert codec.decode(codec.encode(most)) == most
    with pytest.raises(DecodeError, match="a map of 257 integer keys, more than 256"):
        codec.encode(dict.fromkeys(range(codec.MAX_INTEGER_KEYS + 1)))
    many = dict.fromkeys(f"{number:03}" for number in range(codec.MAX_INTEGER_KEYS + 1))
    assert codec.decode(codec.encode(many)) == many


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: b"\x81" + inner,
        lambda inner: b"\x82\x01" + inner,
        lambda inner: b"\xa1\x61a" + inner,
        lambda inner: b"\xa1\x01" + inner,
        lambda inner: b"\x82\xa1\x01\x80" + inner,
        lambda inner: b"\x85\x41x\x1b\x00\x00\x00\x01\x00\x00\x00\x00\x20\xf6" + inner,
        lambda inner: b"\x81" * 15 + inner,
        lambda inner: b"\xb9\x01\x01" + TEXT_KEYS + b"\x64last" + inner,
        lambda inner: b"\xb9\x01\x01" + TEXT_KEYS + inner[5:],
        lambda inner: inner[:9] + b"\x81" + inner[9:],
    ],
)
def test_they_are_found_wherever_they_stand(wrap: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DecodeError, match="a map of more than 256 keys that are not all text"):
        codec.decode(wrap(integer_keys(300)))


@pytest.mark.parametrize("first", [b"\xc0", b"\x9f", b"\xff", b"\x1c", b"\x81" * 18, b"\x43aa", b"\x19\x01", b""])
def test_what_is_no_value_is_looked_at_no_further(first: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        codec.decode(first)
    assert "keys" not in str(refused.value)


GROWING: dict[str, Callable[[int], Callable[[], object]]] = {
    "an array": lambda n: lambda: codec.decode(codec.encode([0] * n)),
    "text keys": lambda n: lambda: codec.decode(codec.encode({f"{k:07}": k for k in range(n)})),
    "a text": lambda n: lambda: codec.decode(codec.encode("ä" * n)),
    "maps of as many integers as may be": lambda n: (
        lambda: codec.decode(codec.encode([dict.fromkeys(range(256))] * (n // 100)))
    ),
    "frames": lambda n: lambda: Splitter().feed(b"\x00\x00\x00\x01\x00" * n),
    "bytes of frames, one by one": lambda n: lambda: _fed(b"\x00\x00\x00\x01\x00" * (n // 5)),
    "tensors": lambda n: lambda: DECODERS["weights"](_tensors(n // 5)),
    "items": lambda n: lambda: DECODERS["pack"](_pack(n)),
    "settings": lambda n: lambda: DECODERS["settings"](b"[node]\n" + b"".join(b"k%d = 1\n" % k for k in range(n // 5))),
    "keys of many parts": lambda n: (
        lambda: DECODERS["settings"](b"".join(b"k%d" % k + b".a" * 100 + b" = 1\n" for k in range(n // 100)))
    ),
}
"""What grows in proportion. A square would make four times as much sixteen times as dear."""


def _fed(data: bytes) -> None:
    splitter = Splitter()
    for place in range(len(data)):
        splitter.feed(data[place : place + 1])


def _tensors(count: int) -> bytes:
    return write_tensors({f"{n:06}": np.ones(1, np.float32) for n in range(count)})


def _pack(count: int) -> bytes:
    return write_pack([Item("k", "n", b"x")] * count)


@pytest.mark.parametrize("what", GROWING)
def test_work_grows_in_proportion(what: str) -> None:
    few, many = (GROWING[what](n) for n in (2_000, 8_000))
    few()  # what is imported or remembered once is not counted
    assert calls(many) <= 5 * calls(few)
