"""Our engines against `soma-models` on Torch, eager, float32: the same weights, the same bytes, as many threads.

4 layers of 256, rows of 512. Two loads: 4 items of 512 bytes; and 32 items of 16 to 512 bytes, log-uniform, of which
`soma-models` makes rows of 512 with padding, 4 at a time, as it does on the live network. Counted are bytes of items.
All give the mean of the last layer and the bits per byte of each item, and are only timed after these agree with the
referee in float64: what is behind a speed is how far it is off. Each is a process of its own; they take turns. All are
warm: what is compiled is not counted. The regulariser of `soma-models` is not run, because no engine has one.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from benchmarks.harness import Row, Taken, interleaved
from numpy.typing import NDArray

from soma_core.model import ModelConfig, ReferenceTransformer, write_tensors

SHAPE: Final = ModelConfig(dim=256, ffn=1024, layers=4, heads=8, seq=512, rope_base=10_000, rope_scale=1)
REPEATS: Final = 9
PYTHON: Final = "SOMA_BENCH_ENGINES"
"""The variable that names the Python which has all engines and soma-models."""
HERE: Final = Path(__file__).parent


@frozen
class Engine:
    """`equal`, `mixed`: the ratio it must reach on items of one length and of many, where it must."""

    name: str
    dtype: str
    equal: float | None
    mixed: float | None

    def least(self, load: str) -> float | None:
        return self.equal if load == "equal" else self.mixed


ENGINES: Final = (
    Engine("jax", "f32", 1.4, 2.0),
    Engine("torch", "f32", 1.4, 2.0),
    Engine("onnx", "f32", 1.4, 2.0),
    Engine("jax", "bf16", None, None),  # made for a GPU: XLA has no fast product of bf16 on a CPU
    Engine("torch", "bf16", 2.3, 3.5),
    Engine("onnx", "int8", 2.3, 3.5),
)
LOSS_TOLERANCE: Final = {"onnx": 5e-6}
"""Bits per byte, from the referee, of float32 in another order."""
VECTOR_TOLERANCE: Final = {"onnx": 5e-6}
COSINE: Final = 0.9999
"""Of the vectors of a class of fewer bits with the referee's, at least: without it a speed counts nothing."""


@frozen(eq=False)
class Reader:
    """A process that reads the items whenever it is asked. `vectors` [B, D], `bits` [B]: what it computed first."""

    process: "subprocess.Popen[str]"
    vectors: NDArray[np.float64]
    bits: NDArray[np.float64]

    def pass_(self) -> float:
        """Seconds of one pass."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


@contextmanager
def reader(python: str, script: str, *arguments: object) -> Iterator[Reader]:
    # Limits that the session sets for others are taken off: each side is told its number of threads.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    process = subprocess.Popen(
        [python, str(HERE / script), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{script} did not start; see above")
        vectors, bits = json.loads(line)
        try:
            yield Reader(process, np.array(vectors), np.array(bits))
        finally:
            process.kill()


def weights(shape: ModelConfig, seed: int) -> dict[str, NDArray[np.float32]]:
    """Random tensors of the sizes that training starts from, so that every layer does something."""
    random = np.random.default_rng(seed)
    out = {}
    for name, size in shape.shapes().items():
        drawn = random.standard_normal(size, np.float32)
        if name.endswith("gamma"):
            drawn = 1 + drawn / 10
        elif len(size) == 1:
            drawn /= 50
        elif not name.startswith("embedding"):
            drawn /= np.sqrt(size[0], dtype=np.float32)
        out[name] = drawn
    return out


def loads(seed: int) -> dict[str, list[bytes]]:
    """The items of each load."""
    random = np.random.default_rng(seed)
    mixed = np.exp(random.uniform(np.log(16), np.log(SHAPE.seq + 1), 32)).astype(int)
    sizes = {"equal": [SHAPE.seq] * 4, "mixed": mixed.tolist()}
    return {load: [random.bytes(size) for size in given] for load, given in sizes.items()}


def rows(seed: int) -> list[Row]:
    python = os.environ.get(PYTHON)
    if python is None:
        raise SystemExit(f"{PYTHON} names no Python with the engines; run this by `nox -s bench`")
    tensors = weights(SHAPE, seed)
    referee = ReferenceTransformer(SHAPE, tensors, np.float64)
    out = []
    with tempfile.TemporaryDirectory() as directory:
        file, data = Path(directory, "model.safetensors"), Path(directory, "items.json")
        file.write_bytes(write_tensors(tensors))
        file.with_suffix(".json").write_text(SHAPE.to_json(), "utf-8")
        for load, items in loads(seed).items():
            data.write_text(json.dumps([item.hex() for item in items]), "utf-8")
            readings = [referee.read(item) for item in items]
            vectors = np.array([reading.vector for reading in readings])
            bits = np.array([reading.bits_per_byte for reading in readings])
            for threads in sorted({1, len(os.sched_getaffinity(0))}):
                with ExitStack() as stack:
                    sides = [
                        stack.enter_context(
                            reader(
                                python,
                                "engine_reader.py",
                                f"soma_{engine.name}",
                                json.dumps({"weights": str(file), "dtype": engine.dtype, "threads": threads}),
                                data,
                            )
                        )
                        for engine in ENGINES
                    ]
                    shape = (SHAPE.layers, SHAPE.heads, SHAPE.dim, SHAPE.seq)
                    theirs = stack.enter_context(reader(python, "torch_reader.py", file, *shape, threads, data))
                    checked("soma-models", "torch", "f32", theirs, vectors, bits)
                    errors = [
                        checked(f"encoder-{e.name} {e.dtype}", e.name, e.dtype, side, vectors, bits)
                        for e, side in zip(ENGINES, sides, strict=True)
                    ]
                    turns = {engine: side.pass_ for engine, side in zip(ENGINES, sides, strict=True)}
                    taken = interleaved({"theirs": theirs.pass_} | turns, REPEATS)
                out += told(taken, load, sum(map(len, items)), threads, errors)
    return out


def told(taken: Taken, load: str, amount: int, threads: int, errors: Sequence[str]) -> list[Row]:
    """A row for each engine."""
    what = f"4 layers, D 256, {'T 512, B 4' if load == 'equal' else '16 to 512 bytes'}"
    found = []
    for engine, error in zip(ENGINES, errors, strict=True):
        ratio, low, high = taken.ratio("theirs", engine)
        speed = amount / taken.median(engine)
        found.append(
            Row(
                what=f"encoder-{engine.name} {engine.dtype}: {what}, {threads} thread{'s' * (threads > 1)}",
                measured=f"{speed:,.0f} bytes/s, {error}",
                against=f"soma-models, Torch eager f32, {amount / taken.median('theirs'):,.0f} bytes/s",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
                least=engine.least(load),
            )
        )
    return found


def checked(
    who: str, engine: str, dtype: str, side: Reader, vectors: NDArray[np.float64], bits: NDArray[np.float64]
) -> str:
    """How far it is off the referee, in words. Ends the run if that is too far: there is nothing to compare."""
    lost, moved = np.abs(side.bits - bits).max(), np.abs(side.vectors - vectors).max()
    lengths = np.linalg.norm(side.vectors, axis=1) * np.linalg.norm(vectors, axis=1)
    cosine = ((side.vectors * vectors).sum(1) / lengths).min()
    if dtype == "f32":
        fits = lost <= LOSS_TOLERANCE.get(engine, 2e-6) and moved <= VECTOR_TOLERANCE.get(engine, 1e-6)
        said = f"loss off {lost:.0e}, vector {moved:.0e}"
    else:
        fits = cosine >= COSINE
        said = f"loss off {lost:.0e}, least cosine {cosine:.5f}"
    if not fits:
        raise SystemExit(f"{who} is too far off the referee: {said}")
    return said
