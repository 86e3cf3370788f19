"""Every method by its number. A number is never given to another method. Rule CZ4."""

from typing import Final

import numpy as np

from ._coder import Method, SymbolsCoder
from ._mixing import pack_mixed, unpack_mixed
from ._modelled import Modelled, open_model
from ._slots import Integers
from ._tokenwise import Cut, Form, Frequency, Patterns, Runs, Tokenwise

ADAPTIVE: Final = 1
MODELLED: Final = 2
FORMS: Final[dict[str, tuple[int, Form]]] = {
    "rle": (3, Runs()),
    "pattern": (4, Patterns()),
    "frequency": (5, Frequency()),
}
"""The methods over tokens."""


class Adaptive:
    """Context mixing that knows nothing before."""

    def pack(self, block: bytes, /) -> bytes:
        return pack_mixed(block)

    def unpack(self, payload: bytes, size: int, /) -> bytes:
        return unpack_mixed(payload, size)


def coder(method: str, stream: str, model: str) -> SymbolsCoder:
    """A coder that packs by `method` and unpacks what any packed. Raises as `open_coder` says."""
    if model and method != "adaptive":
        raise ValueError(f"method {method} asks no model: leave the model away, or take method adaptive")
    cut = _cutter(stream if method in FORMS else "byte")
    methods: dict[int, Method] = {ADAPTIVE: Adaptive(), MODELLED: Modelled(open_model(model) if model else None)}
    methods.update((number, Tokenwise(form, cut)) for number, form in FORMS.values())
    if method in FORMS:
        return SymbolsCoder(methods, FORMS[method][0])
    return SymbolsCoder(methods, MODELLED if model else ADAPTIVE)


def _cutter(stream: str) -> Cut:
    if stream == "byte":
        return lambda block: np.arange(len(block) + 1)
    from soma_symbols.tokens import Config, open_tokenizer  # with tables that nobody else needs

    tokenizer = open_tokenizer(Config())
    if stream not in tokenizer.streams:
        raise ValueError(f"there is no stream {stream!r}; there are {', '.join(tokenizer.streams)}")

    def cut(block: bytes) -> Integers:
        ends = [tokens.bounds[1:] for tokens in tokenizer.tokenize(stream, [block])]
        return np.concatenate((np.zeros(1, np.int64), *ends))

    return cut
