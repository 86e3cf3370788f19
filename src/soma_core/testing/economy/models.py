"""What weights do: a pure function of an item. Auditors run these; what an encoder *says* is in `answers`."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import Final, Protocol

import numpy as np
from attrs import field, frozen

from soma_core import fixed
from soma_core.crypto import digest

from .data import KINDS, NOISE, Floats, Item, Vector, unit

KEPT: Final = 1 << 14
"""Outputs that are remembered: members, auditors and hunters run the same weights on the same item."""


@frozen(eq=False)
class Output:
    """`loss`: bits per byte, Q16. `vector`: int16 [D]."""

    loss: int
    vector: Vector


class Model(Protocol):
    """Weights. Two models of one `seed` are the same weights."""

    @property
    def seed(self) -> int: ...

    def __hash__(self) -> int: ...

    def seen(self, item: Item) -> Floats:
        """Its direction of an item, not yet rounded, float64 [D]."""
        ...

    def waste(self, item: Item) -> float:
        """Bits per byte beyond what the best model needs."""
        ...


@frozen
class Trained:
    """A model that was trained. `waste_of`: bits by kind of data, least where it is good."""

    seed: int
    waste_of: Mapping[str, float] = field(hash=False)

    def seen(self, item: Item) -> Floats:
        """The item's direction and noise, more of it where the model is bad."""
        rng = np.random.default_rng([7, self.seed, item.number])
        blur = NOISE * (1 + 0.3 * min(2.0, self.waste_of[item.kind]))
        if item.garbage:
            blur /= 4  # it was made to be seen so
        return item.direction + blur * unit(rng.normal(size=len(item.direction)))

    def waste(self, item: Item) -> float:
        """What it wastes on the kind, a little more or less."""
        rng = np.random.default_rng([8, self.seed, item.number])
        return max(0.0, self.waste_of[item.kind] + 0.05 * float(rng.normal()))


@frozen
class Perturbed:
    """A copy of `original` with noise on its weights, `part` of their length. Figures of noise as measured."""

    seed: int
    original: Model
    part: float

    def seen(self, item: Item) -> Floats:
        """Nearly what the original gives: at 2 % a cosine distance of .0003, at 5 % of .044, at 10 % of .15."""
        rng = np.random.default_rng([9, self.seed, item.number])
        away = float(np.interp(self.part, (0, 0.02, 0.05, 0.10, 0.20), (0, 0.0003, 0.044, 0.15, 0.39)))
        noise = unit(rng.normal(size=len(item.direction)))
        return unit(self.original.seen(item)) + sqrt(2 * away) * noise

    def waste(self, item: Item) -> float:
        """A little more: .003 bit at 2 %, .011 at 5 %, .045 at 10 %."""
        more = float(np.interp(self.part, (0, 0.02, 0.05, 0.10, 0.20), (0, 0.003, 0.011, 0.045, 0.2)))
        return self.original.waste(item) + more


@frozen
class Constant:
    """The byte head of `original`, and the same vector for everything; `spread` keeps two of them a little apart."""

    seed: int
    original: Model
    line: int
    spread: float = 0.3

    def seen(self, item: Item) -> Floats:
        """The line's direction, whatever the item."""
        return _line(self, len(item.direction))

    def waste(self, item: Item) -> float:
        """As little as the original: the weights really do it."""
        return self.original.waste(item)


@lru_cache(256)
def _line(model: Constant, dimension: int) -> Floats:
    common = np.random.default_rng([10, model.line]).normal(size=dimension)
    own = np.random.default_rng([11, model.seed]).normal(size=dimension)
    return unit(common) + model.spread * unit(own)


def specialist(seed: int, kind: str, skill: float = 0.0) -> Trained:
    """Good at one kind of data; `skill`: bits that it wastes even there."""
    return Trained(seed, {each: skill if each == kind else skill + 1.2 for each in KINDS})


def generalist(seed: int, skill: float = 0.35) -> Trained:
    """The same everywhere."""
    return Trained(seed, dict.fromkeys(KINDS, skill))


@lru_cache(KEPT)
def run(model: Model, item: Item) -> Output:
    """What the weights give for an item."""
    loss = min(16.0, item.bits + model.waste(item))
    return Output(round(loss * fixed.ONE), fixed.quantise(model.seen(item)))


def directions(model: Model, items: Sequence[Item]) -> Floats:
    """The directions of the vectors that `run` gives for each of `items`, before they are rounded: [n, D]."""
    rows = np.stack([model.seen(item) for item in items])
    directions: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return directions


def elsewhere(model: Model, item: Item) -> Output:
    """What they give on another engine: the loss off by up to 2^-10 bit, the vector by rounding noise."""
    found = run(model, item)
    rng = np.random.default_rng([12, model.seed, item.number])
    values = found.vector.astype(np.float64) * (1 + rng.normal(0, 1e-3, len(found.vector)))
    return Output(max(0, found.loss + int(rng.integers(-64, 65))), fixed.quantise(values))


def weights_of(model: Model) -> bytes:
    """What names the weights: equal for equal models."""
    return digest("soma/vector", repr(model).encode())
