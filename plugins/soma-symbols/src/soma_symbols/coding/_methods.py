"""Every method by its number and name. A number is never given to another method. Rule Z4."""

from typing import Final

from ._coder import Method, SymbolsCoder
from ._mixing import pack_mixed, unpack_mixed

NUMBERS: Final = {"adaptive": 1}


class Adaptive:
    """Context mixing, with nothing known before."""

    def pack(self, block: bytes, /) -> bytes:
        return pack_mixed(block)

    def unpack(self, payload: bytes, size: int, /) -> bytes:
        return unpack_mixed(payload, size)


def coder(method: str) -> SymbolsCoder:
    """A coder that packs by `method`."""
    methods: dict[int, Method] = {NUMBERS["adaptive"]: Adaptive()}
    return SymbolsCoder(methods, NUMBERS[method])
