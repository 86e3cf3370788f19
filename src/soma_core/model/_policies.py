"""What a loss and a vector of some data are: the network's own rules, and the two that the live network publishes.

A policy cuts data into batches of rows, has a model read them, and joins what it says. Rules M30 to M35 of
``specs/20-model.md``. It asks nothing of an engine but `Forward`, so that all engines are held to the same numbers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

from ._collapse import Regulariser, directions, sample_statistic, slice_statistic
from ._config import ModelConfig
from ._contract import BYTES, EOS, FIRST_BYTE_BITS, PAD, chunks, rows

Whole = NDArray[Any]
"""Whole numbers, [B, T]."""


class Forward(Protocol):
    """A model that reads a batch."""

    def forward(self, ids: Whole, positions: Whole, targets: Whole, /) -> tuple[NDArray[Any], NDArray[Any]]:
        """The normalised last layer [B, T, dim], and −ln p of each target [B, T], 0 where the target is PAD."""
        ...


@frozen(kw_only=True)
class Setting:
    """`batch`: rows that are read together. `seed`: of 64 bits, that of the first batch's directions."""

    batch: int = 16
    seed: int = 0
    regulariser: Regulariser = field(factory=Regulariser)

    def seed_of(self, batch: int) -> int:
        """Of the directions of batch 0, 1, 2, ...: `seed` + `batch`, modulo 2^64."""
        return (self.seed + batch) % (1 << 64)


@frozen(eq=False, kw_only=True)
class Score:
    """`loss`: what the policy minimises. `ce`: the mean nats of a target. `reg`: the statistic times its coefficient.

    `embedding`: float64 [dim]. `batches`: how many were read.
    """

    loss: float
    ce: float
    reg: float
    embedding: NDArray[np.float64]
    batches: int


Policy = Callable[[Forward, ModelConfig, bytes, Setting], Score]


def soma(model: Forward, config: ModelConfig, data: bytes, setting: Setting) -> Score:
    """The network's: bits per byte, and the mean over bytes; neither depends on batches or padding.

    `reg` is that of LeJEPA over the batch's byte positions, shown beside the loss and no part of it.
    """
    pieces = chunks(data, config.seq)
    size = sum(map(len, pieces))
    total, nats, reg = np.zeros(config.dim), 0.0, 0.0
    groups = [pieces[start : start + setting.batch] for start in range(0, len(pieces), setting.batch)]
    for number, group in enumerate(groups):
        cut = rows(group, max(map(len, group)))
        reps, charged = model.forward(cut.ids, np.broadcast_to(np.arange(cut.ids.shape[1]), cut.ids.shape), cut.targets)
        seen = reps[cut.ids < BYTES].astype(np.float64)
        total += seen.sum(0)
        nats += float(charged.sum(dtype=np.float64))
        noise = directions(setting.seed_of(number), config.dim, setting.regulariser.slices)
        reg += sample_statistic(seen, noise, setting.regulariser) * len(seen) / size
    bits = nats / float(np.log(2)) + FIRST_BYTE_BITS * len(pieces)
    targets = size - len(pieces)
    return Score(
        loss=bits / size,
        ce=nats / targets if targets else 0.0,
        reg=reg * setting.regulariser.coefficient,
        embedding=total / size,
        batches=len(groups),
    )


def v1_local(model: Forward, config: ModelConfig, data: bytes, setting: Setting) -> Score:
    """As the live network's package computes a loss: positions begin anew in every row."""
    cut = _v1_batches(data, config.seq, setting.batch)
    return _v1(model, config, setting, ((ids, np.broadcast_to(np.arange(config.seq), ids.shape)) for ids, _ in cut))


def v1_chain(model: Forward, config: ModelConfig, data: bytes, setting: Setting) -> Score:
    """As the live network's validators compute it: positions are offsets in the data, behind its end all the same."""
    return _v1(model, config, setting, _v1_batches(data, config.seq, setting.batch))


def _v1(model: Forward, config: ModelConfig, setting: Setting, cut: Iterable[tuple[Whole, Whole]]) -> Score:
    """Padding counts in the vector, and every batch counts alike. `cut`: ids and positions of each batch."""
    ce, reg, embedding = [], [], []
    for number, (ids, positions) in enumerate(cut):
        targets = np.concatenate([ids[:, 1:], np.full((len(ids), 1), PAD, ids.dtype)], 1)
        reps, charged = model.forward(ids, positions, targets)
        seen = reps.reshape(-1, config.dim).astype(np.float64)
        ce.append(float(charged.sum(dtype=np.float64)) / int((targets != PAD).sum()))
        noise = directions(setting.seed_of(number), config.dim, setting.regulariser.slices)
        reg.append(slice_statistic(seen, noise, setting.regulariser) * setting.regulariser.coefficient)
        embedding.append(seen.mean(0))
    means = float(np.mean(ce)), float(np.mean(reg))
    return Score(loss=sum(means), ce=means[0], reg=means[1], embedding=np.mean(embedding, 0), batches=len(ce))


def _v1_batches(data: bytes, seq: int, size: int) -> Iterator[tuple[Whole, Whole]]:
    """Ids and offsets [B, seq] of each batch. EOS stands behind the last byte of all, if its row has room, then PAD."""
    if not data:
        raise ValueError("empty: there is nothing to encode")
    for first in range(0, len(data), seq * size):
        part = np.frombuffer(data[first : first + seq * size], np.uint8)
        ids = np.full((-(-len(part) // seq), seq), PAD, np.int32)
        ids.flat[: len(part)] = part
        if len(part) < ids.size:
            ids.flat[len(part)] = EOS
        yield ids, first + np.minimum(np.arange(ids.size), len(part)).reshape(ids.shape)


POLICIES: Final[Mapping[str, Policy]] = {"soma": soma, "v1-local": v1_local, "v1-chain": v1_chain}
