"""``encoder-jax`` against `soma-models` on Torch, eager: the same weights, the same bytes, float32, as many threads.

Both give, for each of four items of 512 bytes, the mean of the last layer and the bits per byte, and are only timed
after these agree. Each is a process of its own; they take turns. Both are warm: what JAX compiles is not counted. The
regulariser of `soma-models` is not run, because `encoder-jax` has none.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from benchmarks.harness import Row, interleaved
from numpy.typing import NDArray

from soma_core.model import FIRST_BYTE_BITS, ModelConfig, ReferenceTransformer, write_tensors

SHAPE: Final = ModelConfig(dim=256, ffn=1024, layers=4, heads=8, seq=512, rope_base=10_000, rope_scale=1)
BATCH: Final = 4
REPEATS: Final = 25
LEAST: Final = 1.15
LOSS_TOLERANCE: Final = 2e-6
"""Bits per byte, from the referee: float32 in another order."""
VECTOR_TOLERANCE: Final = 1e-6
TORCH: Final = "SOMA_BENCH_TORCH"
"""The variable that names the Python which has Torch and soma-models."""
HERE: Final = Path(__file__).parent


@frozen(eq=False)
class Reader:
    """A process that reads the items whenever it is asked. `vectors` [B, D], `bits` [B]: what it computed first."""

    process: "subprocess.Popen[str]"
    vectors: NDArray[np.float64]
    numbers: NDArray[np.float64]

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
        vectors, numbers = json.loads(line)
        try:
            yield Reader(process, np.array(vectors), np.array(numbers))
        finally:
            process.kill()


def weights(seed: int) -> dict[str, NDArray[np.float32]]:
    """Random tensors of the sizes that training starts from, so that every layer does something."""
    random = np.random.default_rng(seed)
    out = {}
    for name, shape in SHAPE.shapes().items():
        drawn = random.standard_normal(shape)
        if name.endswith("gamma"):
            drawn = 1 + drawn / 10
        elif len(shape) == 1:
            drawn /= 50
        elif not name.startswith("embedding"):
            drawn /= np.sqrt(shape[0])
        out[name] = drawn.astype(np.float32)
    return out


def rows(seed: int) -> list[Row]:
    torch = os.environ.get(TORCH)
    if torch is None:
        raise SystemExit(f"{TORCH} names no Python with soma-models; run this by `nox -s bench`")
    tensors = weights(seed)
    items = [np.random.default_rng([seed, i]).integers(0, 256, SHAPE.seq, np.uint8).tobytes() for i in range(BATCH)]
    cores = len(os.sched_getaffinity(0))
    out = []
    with tempfile.TemporaryDirectory() as directory:
        file, data = Path(directory, "model.safetensors"), Path(directory, "items")
        file.write_bytes(write_tensors(tensors))
        file.with_suffix(".json").write_text(SHAPE.to_json(), "utf-8")
        data.write_bytes(b"".join(items))
        for threads in sorted({1, cores}):
            with ExitStack() as stack:
                ours = stack.enter_context(reader(sys.executable, "jax_reader.py", file, data, SHAPE.seq, threads))
                shape = (SHAPE.layers, SHAPE.heads, SHAPE.dim, SHAPE.seq)
                theirs = stack.enter_context(reader(torch, "torch_reader.py", file, data, *shape, threads))
                check(tensors, items, ours, theirs)
                taken = interleaved({"ours": ours.pass_, "torch": theirs.pass_}, REPEATS, warm=3)
            ratio, low, high = taken.ratio("torch", "ours")
            amount = BATCH * SHAPE.seq
            out.append(
                Row(
                    what=f"encoder: 4 layers, D 256, T 512, B 4, f32, {threads} thread{'s' * (threads > 1)}",
                    measured=f"encoder-jax, {amount / taken.median('ours'):,.0f} bytes/s",
                    against=f"soma-models, Torch eager, {amount / taken.median('torch'):,.0f} bytes/s",
                    ratio=ratio,
                    low=low,
                    high=high,
                    repeats=REPEATS,
                    least=LEAST,
                )
            )
    return out


def check(tensors: dict[str, NDArray[np.float32]], items: list[bytes], ours: Reader, theirs: Reader) -> None:
    """Refuse to time two that do not compute the same as the referee."""
    referee = ReferenceTransformer(SHAPE, tensors, np.float64)
    readings = [referee.read(item) for item in items]
    bits = np.array([reading.bits_per_byte for reading in readings])
    vectors = np.array([reading.vector for reading in readings])
    losses = {"encoder-jax": ours.numbers, "soma-models": (theirs.numbers / np.log(2) + FIRST_BYTE_BITS) / SHAPE.seq}
    for name, found in losses.items():
        if (off := np.abs(found - bits).max()) > LOSS_TOLERANCE:
            raise SystemExit(f"{name} is {off:.1e} bits per byte off the referee: nothing to compare")
    for name, side in (("encoder-jax", ours), ("soma-models", theirs)):
        if (off := np.abs(side.vectors - vectors).max()) > VECTOR_TOLERANCE:
            raise SystemExit(f"{name} is {off:.1e} off the referee's vectors: nothing to compare")
