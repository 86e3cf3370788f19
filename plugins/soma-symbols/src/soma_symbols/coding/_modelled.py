"""Packing with a byte transformer beside the adaptive orders. Rules CZ38 to CZ40."""

from contextlib import suppress
from typing import Final

from attrs import frozen

from soma_core.errors import SomaError
from soma_core.model import bundled, load_weights, locate

from ._advice import ModelAdvice
from ._engine import IntegerTransformer
from ._mixing import pack_mixed, unpack_mixed
from ._reader import Reader

_WEIGHTS: Final = 32
_ENGINE: Final = 8


@frozen(eq=False)
class CodingModel:
    """A model ready to code with. `digest` is that of its weights, `size` the bytes of their file."""

    digest: bytes
    size: int
    transformer: IntegerTransformer

    @property
    def mark(self) -> bytes:
        """What a payload begins with: the digest of weights, and that of the engine with its tables."""
        return self.digest + self.transformer.digest


def open_model(weights: str) -> CodingModel:
    """The model of a bundled name or a path.

    Raises `SettingsError` or `DecodeError` if it is none, and `ValueError` if it does not fit the integer engine.
    """
    loaded = load_weights(weights)
    return CodingModel(loaded.digest, locate(weights).stat().st_size, IntegerTransformer(loaded.config, loaded.tensors))


class Modelled:
    """Context mixing with the advice of `model`; without one it only unpacks.

    What any bundled model packed unpacks without its being named.
    """

    def __init__(self, model: CodingModel | None) -> None:
        self._model = model
        self._opened = {} if model is None else {model.digest: model}

    def pack(self, block: bytes, /) -> bytes:
        model = self._model
        if model is None:
            raise ValueError("no model to pack with: name one")
        return model.mark + pack_mixed(block, lambda lanes: ModelAdvice(model.transformer, lanes))

    def unpack(self, payload: bytes, size: int, /) -> bytes:
        reader = Reader(payload)
        model = self._find(reader.take(_WEIGHTS))
        if reader.take(_ENGINE) != model.transformer.digest:
            raise ValueError("packed bytes: packed by another engine: unpack them with the version that packed them")
        return unpack_mixed(reader.rest(), size, lambda lanes: ModelAdvice(model.transformer, lanes))

    def _find(self, digest: bytes) -> CodingModel:
        if digest not in self._opened:
            with suppress(SomaError):  # where none is installed it is none of them
                self._opened |= {model.digest: model for model in map(open_model, bundled())}
        if digest not in self._opened:
            raise ValueError(
                f"packed bytes: packed with the weights {digest.hex()[:16]}…, which are not here: name them"
            )
        return self._opened[digest]
