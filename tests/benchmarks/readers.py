"""Processes that read items whenever they are asked, each with one engine, and what is given to all of them."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.model import ModelConfig, write_tensors

PYTHON: Final = "SOMA_BENCH_ENGINES"
"""The variable that names the Python which has all engines and soma-models."""
HERE: Final = Path(__file__).parent


def python() -> str:
    """That Python."""
    found = os.environ.get(PYTHON)
    if found is None:
        raise SystemExit(f"{PYTHON} names no Python with the engines; run this by `nox -s bench`")
    return found


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
def reader(script: str, *arguments: object) -> Iterator[Reader]:
    """`script` of this folder, running until the block is left."""
    # Limits that the session sets for others are taken off: each side is told its number of threads.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    process = subprocess.Popen(
        [python(), str(HERE / script), *map(str, arguments)],
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


def written(shape: ModelConfig, tensors: dict[str, NDArray[np.float32]], directory: Path) -> Path:
    """A weights file with its config beside it."""
    file = directory / "model.safetensors"
    file.write_bytes(write_tensors(tensors))
    file.with_suffix(".json").write_text(shape.to_json(), "utf-8")
    return file
