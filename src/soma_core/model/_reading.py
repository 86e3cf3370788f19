"""What a model says of one item, whatever its architecture."""

from typing import Any

from attrs import frozen
from numpy.typing import NDArray

from ._contract import MAX_LOSS

Array = NDArray[Any]
"""float32 or float64, as the model computes."""


@frozen(eq=False)
class Reading:
    """What a model says of one item.

    `vector`: [dim], summed in float64 and rounded to the model's dtype. `bits`: all that was charged. `bytes`: how many
    were encoded.
    """

    vector: Array
    bits: float
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """The loss: bits charged, divided by the bytes that were encoded; at most `MAX_LOSS`."""
        return min(self.bits / self.bytes, MAX_LOSS)
