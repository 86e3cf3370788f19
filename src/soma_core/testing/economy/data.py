"""Data of a made-up world, and what encoders make of it: no bytes, but what bytes come to.

An item has a *kind* (text, code, image, sound), a direction that a perfect encoder would give it, and a number of bits
that no model can save. Items of a kind lie near one another. Encoders see the direction through noise of their own;
how much, and how many bits they waste, depends on what they are good at. The noise is set so that honest vectors of
one item are as near as those of small trained models were: a cosine of about .6.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core import fixed
from soma_core.crypto import digest
from soma_core.genesis import SKETCH_SIZE

KINDS: Final[Sequence[str]] = ("text", "code", "image", "sound")
KIND_PART: Final = 0.5
"""Length of what the items of a kind have in common, where what is their own has 1."""
NOISE: Final = 0.8
"""Length of an encoder's own noise, where the direction has 1."""
ENTROPY: Final[Mapping[str, float]] = {"text": 2.2, "code": 1.9, "image": 4.5, "sound": 5.0}
"""Bits per byte that the best model of a kind needs."""
SHUFFLED: Final = 5.5
"""Bits per byte of bytes that are each as common as in text, but in no order that means anything."""
RANDOM: Final = 8.0
SIZE: Final = 1_000
"""Bytes of an item."""

Floats = NDArray[np.float64]
Vector = NDArray[np.int16]


@frozen(eq=False)
class Item:
    """`number`: of its own. `direction`: float64 [D], unit. `bits`: per byte, what the best model needs.

    `garbage`: bytes that nobody would call data.
    """

    number: int
    kind: str
    direction: Floats
    bits: float
    sketch: bytes
    garbage: bool = False

    @cached_property
    def blob(self) -> bytes:
        """What names its bytes."""
        return digest("soma/blob", b"economy", self.number.to_bytes(8, "big"), self.garbage.to_bytes(1, "big"))


class Source:
    """Items without end, the same ones for the same seed."""

    def __init__(self, seed: int, dimension: int, kinds: Sequence[str] = KINDS) -> None:
        self.dimension, self.kinds, self._seed = dimension, tuple(kinds), seed
        rng = np.random.default_rng([seed, 1])
        self._middles = {kind: KIND_PART * unit(rng.normal(size=dimension)) for kind in self.kinds}
        self._looks = {kind: rng.integers(40, 200, SKETCH_SIZE) for kind in self.kinds}

    def item(self, number: int, kind: str | None = None) -> Item:
        """The item of this number; of `kind`, or of the kind that its number draws."""
        rng = np.random.default_rng([self._seed, 2, number])
        drawn = self.kinds[int(rng.integers(len(self.kinds)))]
        chosen = kind or drawn
        direction = unit(self._middles[chosen] + unit(rng.normal(size=self.dimension)))
        bits = ENTROPY[chosen] + 0.3 * float(rng.normal())
        return Item(number, chosen, direction, max(0.2, bits), self._sketch(rng, chosen))

    def garbage(self, number: int, direction: Floats, bits: float) -> Item:
        """Bytes of no meaning that models give nearly this direction, and that the best predicts with so many bits."""
        rng = np.random.default_rng([self._seed, 3, number])
        kind = self.kinds[int(rng.integers(len(self.kinds)))]
        return Item(number, kind, unit(direction), bits, self._sketch(rng, kind), garbage=True)

    def _sketch(self, rng: np.random.Generator, kind: str) -> bytes:
        noisy = self._looks[kind] + rng.normal(0, 3, SKETCH_SIZE)
        return bytes(np.clip(np.rint(noisy), 0, 255).astype(np.uint8).tolist())


def unit(x: Floats) -> Floats:
    """A vector of length 1 in the same direction."""
    return x / float(np.linalg.norm(x))


def direction_of(data: bytes, dimension: int) -> Floats:
    """A vector of the chain as a direction."""
    return unit(fixed.vector_from_bytes(data, dimension).astype(np.float64))
