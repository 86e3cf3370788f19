"""What ``soma encoder eval`` computes: one file under one policy, by any engine that says what its model says."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from soma_core.errors import UsageError
from soma_core.model import POLICIES, ModelConfig, Regulariser, Score, Setting, load_weights, read_eval_config

from ._reading import read_file


@frozen
class Request:
    """What is asked for. `weights`: a bundled name or a path. `config`: JSON, or none: that beside the weights."""

    weights: str
    config: Path | None
    engine: str
    dtype: str
    policy: str
    batch: int
    seed: int


@frozen(eq=False)
class Answer:
    """`numeric_class`: how the engine computed."""

    score: Score
    numeric_class: str


def evaluate(request: Request, data: bytes) -> Answer:
    """Raises `UsageError`, `DecodeError`, and what opening the engine raises."""
    import soma_core

    with _model(request) as (weights, shape, regulariser):
        setting = Setting(batch=request.batch, seed=request.seed, regulariser=regulariser)
        with soma_core.load(f"encoder-{request.engine}", weights=weights, dtype=request.dtype) as loaded:
            score = POLICIES[request.policy](loaded, shape, data, setting)
            return Answer(score, loaded.info.numeric)


@contextmanager
def _model(request: Request) -> Iterator[tuple[str, ModelConfig, Regulariser]]:
    """The weights with their config beside them, as every engine wants them, and both configs."""
    if request.config is None:
        yield request.weights, load_weights(request.weights).config, Regulariser()
        return
    shape, regulariser = read_eval_config(read_file(request.config, 1 << 16))
    file = Path(request.weights).expanduser().absolute()
    if not file.is_file():
        raise UsageError(f"{request.weights}: no such file", "with --config, give the path of a .safetensors file")
    folder = Path(tempfile.mkdtemp(prefix="soma-eval-"))
    try:
        beside = folder / "weights.safetensors"
        beside.symlink_to(file)
        beside.with_suffix(".json").write_text(shape.to_json(), "utf-8")
        yield str(beside), shape, regulariser
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_json(answer: Answer) -> dict[str, Any]:
    """As the command prints it."""
    score = answer.score
    return {
        "loss": score.loss,
        "ce": score.ce,
        "reg": score.reg,
        "embedding": [float(x) for x in score.embedding],
        "batches": score.batches,
        "numeric_class": answer.numeric_class,
    }
