"""Training a byte transformer: JAX autodiff, AdamW, held-out bits per byte, and how far it is from a collapse.

The same data, seed and steps give the same weights on one machine.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import jax
import jax.numpy as jnp
import numpy as np
from attrs import field, frozen
from attrs.validators import in_
from jax import Array
from numpy.typing import NDArray

from soma_core.errors import UsageError
from soma_core.model import (
    BYTES,
    FIRST_BYTE_BITS,
    PAD,
    ModelConfig,
    Regulariser,
    Weights,
    directions,
    weights_digest,
    write_tensors,
)

from ._forward import Parameters, as_arrays
from ._objective import STATISTICS, objective, read

HELD_OUT_SHARE: Final = 20
"""One file of twenty, chosen by the digest of its bytes, is never trained on."""
MAX_DATA: Final = 1 << 30
"""Bytes of training data that are read at most."""

DECAY_SHARE: Final = 0.4
"""Share of the whole in which the learning rate falls to nothing."""

Tensors = dict[str, NDArray[np.float32]]


@frozen(kw_only=True)
class Plan:
    """How long and how hard. `steps` of `batch` chunks each, or fewer where `minutes` are over before.

    The rate rises over `warmup` steps, holds, and falls linearly to nothing over the last 40 % of steps or minutes.
    `regulariser`: the statistic that counts `coefficient` times in the loss, along directions that `seed` and the step
    give.
    """

    steps: int = 2000
    batch: int = 8
    seed: int = 0
    rate: float = 3e-3
    decay: float = 0.02
    clip: float = 1.0
    warmup: int = 100
    minutes: float | None = None
    regulariser: Literal["none", "v1", "lejepa"] = field(default="none", validator=in_(("none", *STATISTICS)))
    coefficient: float = Regulariser().coefficient


@frozen(kw_only=True)
class Progress:
    """`bits`: training bits per byte, a running mean. `held_out`: of held-out chunks, where it was measured.

    `reg`: the statistic of the last step's batch, before its coefficient; 0 without a regulariser.
    """

    step: int
    bits: float
    reg: float
    held_out: float | None
    seconds: float


@frozen(kw_only=True)
class Corpus:
    """Files by source: a step draws a source evenly, a file of it by size, then a chunk of the file."""

    sources: tuple[tuple[bytes, ...], ...]
    held_out: tuple[bytes, ...]


def train_file(  # the whole of `soma train`, behind the command line
    data: Sequence[Path],
    out: Path,
    *,
    start: Weights[ModelConfig] | ModelConfig,
    plan: Plan,
    report: Callable[[Progress], None],
) -> bytes:
    """Train on the files and folders `data`, write `out` and its config beside it, and return the weights' digest.

    `start`: weights to go on from, or the shape of new ones. Raises `UsageError` for data that cannot be used.
    """
    corpus = read_corpus(data)
    if isinstance(start, ModelConfig):
        config, tensors = start, fresh(start, plan.seed)
    else:
        config, tensors = start.config, start.tensors
    trained = write_tensors(train(tensors, config, corpus, plan, report))
    out.write_bytes(trained)
    out.with_suffix(".json").write_text(config.to_json(), "utf-8")
    return weights_digest(config, trained)


def read_corpus(paths: Sequence[Path]) -> Corpus:
    """The files at `paths` (files, or folders read whole), each path a source of equal weight. Raises `UsageError`."""
    sources: list[tuple[bytes, ...]] = []
    held_out: list[bytes] = []
    total = 0
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder", "name what to train on with --data")
        kept: list[bytes] = []
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            total += file.stat().st_size
            if total > MAX_DATA:
                raise UsageError(f"{path}: more than {MAX_DATA} bytes of data in all", "train on fewer files")
            data = file.read_bytes()
            place = int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big")
            if len(data) >= 2:
                (held_out if place % HELD_OUT_SHARE == 0 else kept).append(data)
        if not kept:
            raise UsageError(f"{path}: nothing to train on", "give more files, of two bytes and more")
        sources.append(tuple(kept))
    if not held_out:  # too few files: the ends of those there are
        cuts = [[len(file) - len(file) // HELD_OUT_SHARE for file in files] for files in sources]
        pairs = [list(zip(files, ends, strict=True)) for files, ends in zip(sources, cuts, strict=True)]
        held_out = [file[end:] for files in pairs for file, end in files if len(file) - end >= 2]
        sources = [tuple(file[:end] for file, end in files) for files in pairs]
    return Corpus(sources=tuple(sources), held_out=tuple(held_out))


def fresh(config: ModelConfig, seed: int) -> Tensors:
    """Random weights: normal with deviation 1/√inputs, residual outputs smaller by √(2 · layers), biases zero."""
    rng = np.random.default_rng(seed)
    out: Tensors = {}
    for name, shape in config.shapes().items():
        if name.endswith("gamma"):
            out[name] = np.ones(shape, np.float32)
        elif len(shape) == 1:
            out[name] = np.zeros(shape, np.float32)
        else:
            scale = 1 / np.sqrt(shape[0])
            if name == "embedding.weight":
                scale = 0.1
            elif "attention.output" in name or "linear_outer" in name:
                scale /= np.sqrt(2 * config.layers)
            elif name == "predictor.weight":
                scale *= 0.1
            out[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return out


def train(
    tensors: Mapping[str, NDArray[np.float32]],
    config: ModelConfig,
    corpus: Corpus,
    plan: Plan,
    report: Callable[[Progress], None],
) -> Tensors:
    """Weights after `plan`, starting from `tensors`. `report` hears of progress every 50 steps and at the end."""
    parameters: Parameters = as_arrays(tensors)
    first = {name: jnp.zeros_like(p) for name, p in parameters.items()}
    second = {name: jnp.zeros_like(p) for name, p in parameters.items()}
    draws = _Draws(corpus, config.seq, plan)
    probe = _held_out_chunks(corpus, config.seq)

    regulariser = Regulariser(coefficient=plan.coefficient)
    loss = objective(config, plan.regulariser, regulariser)

    def charged(p: Parameters, ids: Array) -> Array:
        return read(p, config, ids)[1].sum()

    def total(p: Parameters, ids: Array, noise: Array) -> tuple[Array, tuple[Array, Array]]:
        found = loss(p, ids, noise)
        return found.total, (found.ce, found.reg)

    def step(
        p: Parameters, m: Parameters, v: Parameters, ids: Array, noise: Array, number: Array, rest: Array
    ) -> tuple[Parameters, ...]:
        (_, values), gradient = jax.value_and_grad(total, has_aux=True)(p, ids, noise)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
        gradient = {k: g * jnp.minimum(1.0, plan.clip / (norm + 1e-9)) for k, g in gradient.items()}
        return (*adamw(plan, p, gradient, m, v, number, rest), *values)

    advance, measure = jax.jit(step), jax.jit(charged)
    slices = 0 if plan.regulariser == "none" else regulariser.slices
    started, running = time.monotonic(), 8.0
    for number in range(plan.steps):
        elapsed = time.monotonic() - started
        rest = 1.0 if plan.minutes is None else min(1.0, max(0.0, (1 - elapsed / (60 * plan.minutes)) / DECAY_SHARE))
        noise = directions((plan.seed + number) % (1 << 64), config.dim, slices)
        parameters, first, second, ce, reg = advance(
            parameters, first, second, draws.take(), noise, jnp.float32(number), jnp.float32(rest)
        )
        running += (float(ce) / np.log(2) - running) * max(0.02, 1 / (number + 1))
        elapsed = time.monotonic() - started
        last = number + 1 == plan.steps or (plan.minutes is not None and elapsed > 60 * plan.minutes)
        if number % 50 == 49 or last:
            probed = None
            if probe and (number % 500 == 499 or last):
                nats = sum(float(measure(parameters, ids)) for ids in probe)
                size, rows = (sum(int(part) for part in parts) for parts in zip(*map(_extent, probe), strict=True))
                probed = (nats / np.log(2) + FIRST_BYTE_BITS * rows) / size
            report(Progress(step=number + 1, bits=running, reg=float(reg), held_out=probed, seconds=elapsed))
        if last:
            break
    return {name: np.asarray(p) for name, p in parameters.items()}


def adamw(
    plan: Plan,
    parameters: Parameters,
    gradient: Parameters,
    first: Parameters,
    second: Parameters,
    number: Array,
    rest: Array,
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """One step of AdamW (Loshchilov and Hutter 2019): decay on matrices only, betas 0.9 and 0.98.

    `number` of the step, from 0; `rest`, within 0..1, bounds the share of the rate that the schedule leaves.
    """
    b1, b2 = 0.9, 0.98
    fall = jnp.minimum(rest, jnp.clip((plan.steps - number) / (DECAY_SHARE * plan.steps), 0.0, 1.0))
    rate = plan.rate * jnp.minimum(1.0, (number + 1) / plan.warmup) * fall
    moved, m, v = {}, {}, {}
    for name, p in parameters.items():
        m[name] = b1 * first[name] + (1 - b1) * gradient[name]
        v[name] = b2 * second[name] + (1 - b2) * gradient[name] ** 2
        unbiased = m[name] / (1 - b1 ** (number + 1))
        spread = jnp.sqrt(v[name] / (1 - b2 ** (number + 1))) + 1e-8
        decay = plan.decay * p if p.ndim > 1 else 0.0
        moved[name] = p - rate * (unbiased / spread + decay)
    return moved, m, v


class _Draws:
    """Batches of token ids. Half of the chunks start where an encoder would cut, half anywhere."""

    def __init__(self, corpus: Corpus, seq: int, plan: Plan) -> None:
        self._rng = np.random.default_rng([plan.seed, 1])
        self._seq, self._batch = seq, plan.batch
        self._sources = corpus.sources
        self._sizes = [np.cumsum([len(f) for f in files]) for files in corpus.sources]

    def take(self) -> NDArray[np.int32]:
        """Ids [batch, seq]; a chunk that is not full ends in padding."""
        out = np.full((self._batch, self._seq), PAD, np.int32)
        for row in out:
            source = int(self._rng.integers(len(self._sources)))
            sizes = self._sizes[source]
            file = self._sources[source][int(np.searchsorted(sizes, self._rng.integers(sizes[-1]), side="right"))]
            if self._rng.random() < 0.5:
                start = int(self._rng.integers(-(-len(file) // self._seq))) * self._seq
            else:
                start = int(self._rng.integers(max(1, len(file) - self._seq + 1)))
            piece = file[start : start + self._seq]
            row[: len(piece)] = np.frombuffer(piece, np.uint8)
        return out


def _held_out_chunks(corpus: Corpus, seq: int) -> list[NDArray[np.int32]]:
    """Batches of ids [16, seq], at most eight, of held-out data, spread evenly; rows without data are padding."""
    pieces = [file[i : i + seq] for file in corpus.held_out for i in range(0, len(file), seq)]
    pieces = pieces[:: max(1, len(pieces) // 128)][:128]
    out = np.full((-(-len(pieces) // 16), 16, seq), PAD, np.int32)
    for row, piece in zip(out.reshape(-1, seq), pieces, strict=False):
        row[: len(piece)] = np.frombuffer(piece, np.uint8)
    return list(out)


def _extent(ids: NDArray[np.int32]) -> tuple[int, int]:
    """Bytes and chunks in a batch."""
    return int((ids < BYTES).sum()), int((ids[:, 0] < BYTES).sum())
