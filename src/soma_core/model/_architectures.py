"""The architectures there are: for each its config, and the referee that computes it. The one place that lists them.

Whoever reads weights, registers, founds or audits asks here; a new architecture is a new row.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.api import Evaluation
from soma_core.errors import DecodeError

from ._config import ModelConfig
from ._contract import MAX_CHUNKS
from ._json import read_json
from ._reading import Reading
from ._shape import Shape
from ._symbol_encoder import ReferenceSymbols
from ._symbols_config import SymbolsConfig
from ._transformer import ReferenceTransformer


class Referee(Protocol):
    """A model on NumPy alone, that decides audits."""

    def read(self, data: bytes, max_chunks: int = MAX_CHUNKS, /) -> Reading:
        """Vector and loss of one item. Raises `ValueError` if it is empty or larger than any item may be."""
        ...


@frozen
class _Architecture:
    """`referee`: of a config, its tensors and the numbers to compute in."""

    config: type[Shape]
    referee: Callable[[Any, Mapping[str, NDArray[Any]], type[Any]], Referee]


_KNOWN: Final = {
    each.config.architecture: each
    for each in (_Architecture(ModelConfig, ReferenceTransformer), _Architecture(SymbolsConfig, ReferenceSymbols))
}
ARCHITECTURES: Final = tuple(_KNOWN)
"""Their names, as a genesis lists them."""


def read_config(text: str | bytes) -> Shape:
    """The config in the JSON `text`, of whichever architecture it names. Raises `DecodeError`."""
    try:
        parsed = read_json(text)
    except ValueError:
        parsed = None  # the config that is named first says what is wrong with it
    name = parsed.get("architecture") if isinstance(parsed, dict) else None
    if isinstance(name, str) and name not in _KNOWN:
        raise DecodeError(
            f"model config: the architecture is {name!r:.60}, none of {', '.join(ARCHITECTURES)}",
            "a newer soma-core may know it",
        )
    known = _KNOWN[name] if isinstance(name, str) else _KNOWN[ARCHITECTURES[0]]
    return known.config.from_json(text)


def referee(config: Shape, tensors: Mapping[str, NDArray[Any]], dtype: type[Any] = np.float32) -> Referee:
    """The model of these tensors, computing in `dtype`, float32 or float64. Raises `DecodeError` if they do not fit."""
    return _KNOWN[config.architecture].referee(config, tensors, dtype)


def evaluate(model: Referee, batch: Sequence[bytes], dim: int, go_on: Callable[[], None] = lambda: None) -> Evaluation:
    """Vectors [B, dim] and bits per byte [B] of the items, each read by itself; `go_on` is called before each.

    Raises `ValueError` naming the position of an empty or too large item, and whatever `go_on` raises.
    """
    vectors = np.empty((len(batch), dim), np.float32)
    bits = np.empty(len(batch))
    for place, data in enumerate(batch):
        go_on()
        try:
            reading = model.read(data)
        except ValueError as error:
            raise ValueError(f"item {place}: {error}") from error
        vectors[place], bits[place] = reading.vector, reading.bits_per_byte
    return Evaluation(vectors, bits)
