"""What a loss and a vector of some data are: the network's own rules, and the two that the live network publishes.

A policy cuts data into batches of rows, has a model read them, and joins what it says. Rules M30 to M35 of
``specs/20-model.md``. It asks nothing of an engine but `Forward`, so that all engines are held to the same numbers.
"""

from collections.abc import Callable, Mapping
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
    """`batch`: rows that are read together. `seed`: of 64 bits; batch b draws its directions from `seed` + b."""

    batch: int = 16
    seed: int = 0
    regulariser: Regulariser = field(factory=Regulariser)


@frozen(eq=False, kw_only=True)
class Score:
    """`loss`: what the policy minimises. `ce`: nats of a target, the mean. `reg`: the regulariser, times its coefficient.

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
        noise = directions(setting.seed + number, config.dim, setting.regulariser.slices)
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
    return _v1(model, config, data, setting, lambda start, length: np.arange(config.seq))


def v1_chain(model: Forward, config: ModelConfig, data: bytes, setting: Setting) -> Score:
    """As the live network's validators compute it: positions are offsets in the data, behind its end all the same."""
    return _v1(model, config, data, setting, lambda start, length: start + np.minimum(np.arange(config.seq), length))


def _v1(
    model: Forward, config: ModelConfig, data: bytes, setting: Setting, places: Callable[[int, int], NDArray[np.int64]]
) -> Score:
    """Padding counts in the vector, and every batch counts alike. `places`: positions of a row, by start and bytes."""
    if not data:
        raise ValueError("empty: there is nothing to encode")
    ce, reg, embedding = [], [], []
    for number, first in enumerate(range(0, len(data), config.seq * setting.batch)):
        starts = range(first, min(first + config.seq * setting.batch, len(data)), config.seq)
        ids = np.stack([_v1_row(data, start, config.seq) for start in starts])
        targets = np.concatenate([ids[:, 1:], np.full((len(ids), 1), PAD, ids.dtype)], 1)
        positions = np.stack([places(start, min(config.seq, len(data) - start)) for start in starts])
        reps, charged = model.forward(ids, positions, targets)
        seen = reps.reshape(-1, config.dim).astype(np.float64)
        ce.append(float(charged.sum(dtype=np.float64)) / int((targets != PAD).sum()))
        noise = directions(setting.seed + number, config.dim, setting.regulariser.slices)
        reg.append(slice_statistic(seen, noise, setting.regulariser) * setting.regulariser.coefficient)
        embedding.append(seen.mean(0))
    means = float(np.mean(ce)), float(np.mean(reg))
    return Score(loss=sum(means), ce=means[0], reg=means[1], embedding=np.mean(embedding, 0), batches=len(ce))


def _v1_row(data: bytes, start: int, seq: int) -> NDArray[np.int32]:
    """The tokens of one row: bytes, EOS if there is room behind the last of all, PAD."""
    piece = np.frombuffer(data[start : start + seq], np.uint8)
    row = np.full(seq, PAD, np.int32)
    row[: len(piece)] = piece
    if len(piece) < seq:
        row[len(piece)] = EOS
    return row


POLICIES: Final[Mapping[str, Policy]] = {"soma": soma, "v1-local": v1_local, "v1-chain": v1_chain}
