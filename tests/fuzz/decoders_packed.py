"""Decoders of what was packed: payloads of every method, behind checks that a forger computes as well, and files."""

import io
from collections.abc import Sequence

from decoder import Decoder, same

from soma_core.cli._container import pack, read_name, unpack
from soma_core.errors import DecodeError
from soma_symbols.coding._coder import SymbolsCoder
from soma_symbols.coding._envelope import _CHECK, _DIGEST, _digest, seal
from soma_symbols.coding._methods import ADAPTIVE, MODELLED, coder

_BLOCK = b"one two one two one one " * 2
_SHORT = b"aaabaa"
"""For context mixing, so that thousands can be tried."""


class _Plus:
    """A coder that puts a plus sign before a block."""

    def compress(self, block: bytes, /) -> bytes:
        return b"+" + block

    def decompress(self, packed: bytes, /) -> bytes:
        if packed[:1] != b"+":
            raise ValueError("no plus sign")
        return packed[1:]


_CODER: SymbolsCoder = coder("adaptive", "byte", "")


def _payload(data: bytes) -> bytes:
    """Unpacked: the first byte is the method, the rest its payload."""
    number = data[0] if data else 0
    if number not in _CODER._methods:
        raise ValueError("no method")
    return _CODER._methods[number].unpack(data[1:], len(_block_of(number)))


def _block_of(number: int) -> bytes:
    return _SHORT if number in {ADAPTIVE, MODELLED} else _BLOCK


def _as_long(block: bytes, data: bytes) -> None:
    assert len(block) == len(_block_of(data[0]))


def _payloads() -> Sequence[bytes]:
    methods = _CODER._methods
    return [bytes([number]) + methods[number].pack(_block_of(number)) for number in (1, 3, 4, 5)]


def _block(data: bytes) -> bytes:
    """Unpacked: all that stands behind the check."""
    return _CODER.decompress(_digest(data, _CHECK) + data)


def _blocks() -> Sequence[bytes]:
    made = [_CODER.compress(b""), _CODER.compress(_SHORT), seal(4, _BLOCK, _CODER._methods[4].pack(_BLOCK))]
    return [packed[_CHECK:] for packed in made]


def _block_again(block: bytes, data: bytes) -> None:
    """Methods and fillings of streams leave a choice, so the law is that of the block: it is the one that was named."""
    assert _digest(block, _DIGEST) in data


def _file(data: bytes) -> list[bytes]:
    source = io.BytesIO(data)
    return [read_name(source.read).encode(), *(block for block, _ in unpack(source.read, _Plus()))]


def _file_again(found: list[bytes], data: bytes) -> None:
    """Blocks of one size, but for the last, come from one writer; others are written one by one."""
    name, *blocks = found
    sizes = {len(block) for block in blocks[:-1]}
    if len(sizes) <= 1 and (not sizes or len(blocks[-1]) <= min(sizes)):
        out = io.BytesIO()
        size = len(blocks[0]) if blocks else 1
        pack(io.BytesIO(b"".join(blocks)).read, out, _Plus(), name.decode(), size, lambda _done, _packed: None)
        same(out.getvalue(), data)


def _files() -> Sequence[bytes]:
    made = []
    for block in (b"", b"0123456789" * 2):
        out = io.BytesIO()
        pack(io.BytesIO(block).read, out, _Plus(), "coder-plus", 10, lambda _done, _packed: None)
        made.append(out.getvalue())
    return made


DECODERS = (
    Decoder("packed-payload", _payload, (ValueError,), _as_long, _payloads, most=200),
    Decoder("packed-block", _block, (ValueError,), _block_again, _blocks, most=200),
    Decoder("packed-file", _file, (DecodeError,), _file_again, _files, most=400),
)
