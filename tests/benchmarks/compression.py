"""``coder-soma`` against ``xz -9e`` on 1 MB of Python source: bytes, and seconds of one core.

Every run is the command itself, in a process of its own whose BLAS has one thread.
"""

import json
import lzma
import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen
from benchmarks.harness import Row

SIZE: Final = 1_000_000
SECONDS: Final = 60
"""That `adaptive` may take, each way."""
WITHIN: Final = 1.10
"""Of the bytes of xz, for `adaptive`."""

METHODS: Final = {
    "adaptive": ("--method", "adaptive"),
    "adaptive with the model code": ("--model", "code"),
    "pattern of bytes": ("--method", "pattern", "--set", "coder.soma.stream=byte"),
    "pattern of words": ("--method", "pattern"),
    "frequency of words": ("--method", "frequency"),
    "rle of words": ("--method", "rle"),
}


@frozen
class Taken:
    """What one method made of one sample. Seconds are those of a core, all of the process included."""

    packed: int
    pack_seconds: float
    unpack_seconds: float
    model: int


def library(size: int = SIZE) -> bytes:
    """The first bytes of the modules of Python's library, in the order of their names. The model `code` was trained on
    most of them."""
    return _joined(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")), size)


def unseen(size: int = SIZE) -> bytes:
    """The first bytes of Hypothesis, which no bundled model was trained on."""
    import hypothesis

    return _joined(sorted(Path(hypothesis.__file__).parent.rglob("*.py")), size)


def xz(data: bytes) -> int:
    """Bytes of ``xz -9e``."""
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def taken(data: bytes, method: str) -> Taken:
    """Pack and unpack `data`; it must come back."""
    with tempfile.TemporaryDirectory() as directory:
        whole, packed, back = (Path(directory, name) for name in ("whole", "packed", "back"))
        whole.write_bytes(data)
        told, packing = _run("compress", *METHODS[method], whole, packed)
        _, unpacking = _run("decompress", packed, back)
        assert back.read_bytes() == data, method
        return Taken(packed.stat().st_size, packing, unpacking, told["model"]["bytes"] if told["model"] else 0)


def rows(seed: int) -> list[Row]:
    del seed  # nothing is drawn
    found = []
    for name, data in (("Python's library", library()), ("Hypothesis, unseen", unseen())):
        theirs = xz(data)
        against = f"xz -9e, {theirs:,} bytes"
        for method, least in (("adaptive", 1 / WITHIN), ("adaptive with the model code", 1.0)):
            ours = taken(data, method)
            told = f"{ours.packed:,} bytes, {ours.pack_seconds:.0f} s and {ours.unpack_seconds:.0f} s"
            if ours.model:
                told += f", beside a model of {ours.model:,} bytes"
            found.append(
                _row(f"compression: {method}, {name}, {len(data):,} bytes", told, against, theirs / ours.packed, least)
            )
            if method == "adaptive":
                longer = max(ours.pack_seconds, ours.unpack_seconds)
                limit = f"{SECONDS} s of one core"
                found.append(
                    _row(f"compression: {method}, {name}, time", f"{longer:.1f} s", limit, SECONDS / longer, 1.0)
                )
    return found


def _row(what: str, measured: str, against: str, ratio: float, least: float) -> Row:
    return Row(
        what=what,
        measured=measured,
        against=against,
        ratio=ratio,
        low=ratio,
        high=ratio,
        repeats=1,
        least=round(least, 4),
    )


def _joined(paths: list[Path], size: int) -> bytes:
    data = b""
    for path in paths:
        data += path.read_bytes()
        if len(data) >= size:
            break
    return data[:size]


def _run(verb: str, *arguments: object) -> tuple[dict[str, dict[str, int]], float]:
    """What the command prints as JSON, and the seconds it takes of a core."""
    *most, out = map(str, arguments)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = subprocess.run(
        [sys.executable, "-m", "soma_core.cli", verb, "--json", *most, "-o", out],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return json.loads(made.stdout), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
