"""Our engines against `soma-models` on Torch, eager, float32: the same weights, the same bytes, as many threads.

4 layers of 256, rows of 512. Two loads: 4 items of 512 bytes; and 32 items of 16 to 512 bytes, log-uniform, of which
`soma-models` makes rows of 512 with padding, 4 at a time, as it does on the live network. Counted are bytes of items.
All give the mean of the last layer and the bits per byte of each item, and are only timed after these agree with the
referee in float64: what is behind a speed is how far it is off. Each is a process of its own; they take turns. All are
warm: what is compiled is not counted. The regulariser of `soma-models` is not run, because no engine has one.

Where a GPU is at hand, a last row says what share of its roofline is reached: see ``roofline.py``.
"""

import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from benchmarks import roofline
from benchmarks.harness import Row, Taken, interleaved
from benchmarks.readers import Reader, reader, written
from model.models import random_tensors

from soma_core.model import ModelConfig, Reading, ReferenceTransformer

SHAPE: Final = ModelConfig(dim=256, ffn=1024, layers=4, heads=8, seq=512, rope_base=10_000, rope_scale=1)
REPEATS: Final = 9


@frozen
class Engine:
    """`equal`, `mixed`: the ratio it must reach on items of one length and of many, where it must.

    `tolerance`: by what that of float32 is multiplied, 2e-6 of a loss and 1e-6 of a vector; none with fewer bits.
    """

    name: str
    dtype: str
    tolerance: float | None
    equal: float | None
    mixed: float | None

    @property
    def title(self) -> str:
        return f"encoder-{self.name} {self.dtype}"


ENGINES: Final = (
    Engine("jax", "f32", 1, 1.4, 2.0),
    Engine("torch", "f32", 1, 1.4, 2.0),
    Engine("onnx", "f32", 5, 1.4, 2.0),
    Engine("jax", "bf16", None, 2.3, 3.5),
    Engine("torch", "bf16", None, 2.3, 3.5),
    Engine("onnx", "int8", None, 2.3, 3.5),
)
COSINE: Final = 0.9999
"""Of the vectors of a class of fewer bits with the referee's, at least: without it a speed counts nothing."""


def loads(seed: int) -> dict[str, list[bytes]]:
    """The items of each load."""
    random = np.random.default_rng(seed)
    mixed = np.exp(random.uniform(np.log(16), np.log(SHAPE.seq + 1), 32)).astype(int)
    sizes = {"equal": [SHAPE.seq] * 4, "mixed": mixed.tolist()}
    return {load: [random.bytes(size) for size in given] for load, given in sizes.items()}


def rows(seed: int) -> list[Row]:
    tensors = random_tensors(SHAPE, seed)
    referee = ReferenceTransformer(SHAPE, tensors, np.float64)
    out = []
    with tempfile.TemporaryDirectory() as directory:
        file, data = written(SHAPE, tensors, Path(directory)), Path(directory, "items.json")
        for load, items in loads(seed).items():
            data.write_text(json.dumps([item.hex() for item in items]), "utf-8")
            truth = [referee.read(item) for item in items]
            for threads in sorted({1, len(os.sched_getaffinity(0))}):
                taken, errors = measured(file, data, threads, truth)
                out += told(taken, load, sum(map(len, items)), threads, errors)
    return out + roofline.rows(seed)


def measured(file: Path, data: Path, threads: int, truth: Sequence[Reading]) -> tuple[Taken, list[str]]:
    """What the engines and ``theirs`` took in turns, and how far each engine is off, in words."""
    with ExitStack() as stack:

        def opened(script: str, *arguments: object) -> Reader:
            return stack.enter_context(reader(script, *arguments))

        theirs = opened("torch_reader.py", file, SHAPE.layers, SHAPE.heads, SHAPE.dim, SHAPE.seq, threads, data)
        checked("soma-models f32", theirs, truth, tolerance=1)
        sides = {}
        for engine in ENGINES:
            settings = {"weights": str(file), "dtype": engine.dtype, "threads": threads}
            sides[engine] = opened("engine_reader.py", f"soma_{engine.name}", json.dumps(settings), data)
        errors = [checked(engine.title, side, truth, engine.tolerance) for engine, side in sides.items()]
        turns = {engine: side.pass_ for engine, side in sides.items()}
        return interleaved({"theirs": theirs.pass_} | turns, REPEATS), errors


def told(taken: Taken, load: str, amount: int, threads: int, errors: Sequence[str]) -> list[Row]:
    """A row for each engine."""
    what = f"4 layers, D 256, {'T 512, B 4' if load == 'equal' else '16 to 512 bytes'}"
    found = []
    for engine, error in zip(ENGINES, errors, strict=True):
        ratio, low, high = taken.ratio("theirs", engine)
        speed = amount / taken.median(engine)
        found.append(
            Row(
                what=f"{engine.title}: {what}, {threads} thread{'s' * (threads > 1)}",
                measured=f"{speed:,.0f} bytes/s, {error}",
                against=f"soma-models, Torch eager f32, {amount / taken.median('theirs'):,.0f} bytes/s",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
                least=engine.equal if load == "equal" else engine.mixed,
            )
        )
    return found


def checked(who: str, side: Reader, truth: Sequence[Reading], tolerance: float | None) -> str:
    """How far it is off the referee, in words. Ends the run if that is too far: there is nothing to compare."""
    vectors = np.array([reading.vector for reading in truth])
    lost = np.abs(side.bits - [reading.bits_per_byte for reading in truth]).max()
    moved = np.abs(side.vectors - vectors).max()
    lengths = np.linalg.norm(side.vectors, axis=1) * np.linalg.norm(vectors, axis=1)
    cosine = ((side.vectors * vectors).sum(1) / lengths).min()
    if tolerance is None:
        fits, said = cosine >= COSINE, f"loss off {lost:.0e}, least cosine {cosine:.5f}"
    else:
        fits = lost <= 2e-6 * tolerance and moved <= 1e-6 * tolerance
        said = f"loss off {lost:.0e}, vector {moved:.0e}"
    if not fits:
        raise SystemExit(f"{who} is too far off the referee: {said}")
    return said
