"""What encoders say of data: the honest run their weights, each of the others cheats in one way.

A strategy sees the item, its own weights and how many of its own party sit in the shard; never another's sealed answer.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from attrs import frozen

from soma_core import fixed

from .data import ENTROPY, Item, Source, unit
from .models import Model, Output, run

ANCHORS_FROM: Final = 1 << 40
"""Items that everybody has embedded long ago have numbers from here on."""


class Strategy(Protocol):
    """How an encoder answers."""

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:
        """What it seals; None: it does not answer. `mates`: members of its party in the shard, itself included."""
        ...

    def shows(self, own: Output, others: Sequence[int]) -> bool:
        """Whether it shows what it sealed. `others`: losses that were shown before, if it waits for them."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it shows after the others."""
        ...

    @property
    def copies(self) -> bool:
        """Whether it seals what another member has sealed."""
        ...


@frozen
class Honest:
    """Runs its weights and says what they gave."""

    waits = False
    copies = False

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:  # noqa: ARG002
        """The output."""
        return run(model, item)

    def shows(self, own: Output, others: Sequence[int]) -> bool:  # noqa: ARG002
        """Always."""
        return True


@frozen
class Lazy(Honest):
    """Runs nothing: a random vector, and the loss that data of the kind usually have."""

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:  # noqa: ARG002
        """Made up."""
        rng = np.random.default_rng([20, model.seed, item.number])
        vector = fixed.quantise(rng.normal(size=len(item.direction)))
        return Output(round(ENTROPY[item.kind] * fixed.ONE), vector)


@frozen
class Liar(Honest):
    """The honest vector, and a loss that is lower by `bits`."""

    bits: float = 0.5

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:  # noqa: ARG002
        """The output, made better."""
        found = run(model, item)
        return Output(max(0, found.loss - round(self.bits * fixed.ONE)), found.vector)


@frozen
class Copying(Honest):
    """Seals what another member has sealed, to show what that one shows."""

    copies = True


@frozen
class Cached(Honest):
    """Runs nothing: what its weights gave for the most similar of `kept` items that it embedded long ago."""

    source: Source
    kept: int = 256

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:  # noqa: ARG002
        """The neighbour's output. That it knows which is nearest flatters it."""
        known = [self.source.item(ANCHORS_FROM + number, item.kind) for number in range(8)]
        nearest = max(known, key=lambda other: float(other.direction @ item.direction))
        return run(model, nearest)


@frozen
class Colluder(Honest):
    """Honest alone. With one of its party in the shard: the same false vector, and a loss that wins."""

    def claim(self, model: Model, item: Item, mates: int) -> Output | None:
        """The false answer that the party has agreed on."""
        if mates < 2:
            return run(model, item)
        rng = np.random.default_rng([21, item.number])
        near = 0.05 * unit(np.random.default_rng([22, model.seed]).normal(size=len(item.direction)))
        vector = fixed.quantise(unit(rng.normal(size=len(item.direction))) + near)
        return Output(max(0, round((item.bits - 0.3) * fixed.ONE)), vector)


@frozen
class Withholder(Honest):
    """Seals the truth, waits for the others, and shows only what would win."""

    waits = True

    def shows(self, own: Output, others: Sequence[int]) -> bool:
        """Whether its loss is the lowest."""
        return own.loss <= min(others, default=own.loss)
