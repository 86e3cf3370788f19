"""An engine as bytes, and back. Equal engines give equal bytes: whatever can be found again from the rest is left out.

What is loaded is given out again and compared, so that bytes which no engine gave are refused as a whole.
"""

from typing import Any, Final, final

from soma_core.api.encoding import decode, encode
from soma_core.errors import DecodeError

from ._block import Block, Format

SNAPSHOT_MOST: Final = 1 << 30
"""Bytes of a snapshot."""


@final
class Table:
    """The blocks of a snapshot; elsewhere in it they are named by their place here."""

    def __init__(self) -> None:
        self.wires: list[bytes] = []
        self._places: dict[bytes, int] = {}
        self._blocks: list[Block] = []

    def place(self, block: Block) -> int:
        """Where `block` stands; it is put there if it is new."""
        if block.wire not in self._places:
            self._places[block.wire] = len(self.wires)
            self.wires.append(block.wire)
        return self._places[block.wire]

    def read(self, format_: Format, wires: list[bytes]) -> None:
        """Take up the blocks of a snapshot. Raises `DecodeError`."""
        self._blocks = [format_.parse(wire) for wire in wires]

    def __getitem__(self, place: int) -> Block:
        return self._blocks[place]


def pack(table: Table, state: list[Any]) -> bytes:
    """A snapshot of `state`, whose blocks are in `table`."""
    return encode([table.wires, state])


def unpack(data: bytes) -> tuple[Table, list[Any], list[Any]]:
    """An empty table, the wires to be read into it, and the state of a snapshot. Raises `DecodeError`."""
    match decode(data, max_size=SNAPSHOT_MOST):
        case [[*wires], [*state]]:
            return Table(), wires, state
    raise refused()


def refused() -> DecodeError:
    """What is said of bytes that no engine gave."""
    return DecodeError("not a snapshot of consensus-dag", "take one from a running engine")
