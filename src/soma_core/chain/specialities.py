"""What an encoder is good at: the anchors that it embeds best, and the cells in which these lie.

An encoder names the quarter of the network's anchors of which its loss is lowest. Anybody who has its weights can
compute them again. Rules Y9 to Y11 of ``specs/23-routing.md``.
"""

from collections.abc import Sequence
from typing import Final

from soma_core.genesis import SKETCH_SIZE

from .execution import Execution
from .routing import CELLS

OWN_PART: Final = 4
"""A cell that holds one in so many of an encoder's best anchors is its own."""


def best_anchors(losses: Sequence[int]) -> bytes:
    """What an encoder names whose losses of the network's anchors, in their order, are these: a bit for each anchor.

    The lowest quarter is set, of equal losses the first. The first anchor's bit is the highest of the first byte.
    """
    places = sorted(range(len(losses)), key=lambda place: (losses[place], place))[: len(losses) // 4]
    bits = bytearray(-(-len(losses) // 8))
    for place in places:
        bits[place // 8] |= 0x80 >> place % 8
    return bytes(bits)


def are_own(run: Execution, cell: int | None, bests: Sequence[bytes]) -> tuple[bool, ...]:
    """Whether a cell, as it now is, is one of their own for encoders that name these `bests`."""
    if cell is None or not any(bests):
        return (False,) * len(bests)
    import numpy as np

    middles = np.array([list(found.middle[::2]) for _, found in run.state.scan(CELLS)], np.int64)
    joined = b"".join(run.genesis.sketches)
    anchors = np.frombuffer(joined, np.uint8).reshape(-1, SKETCH_SIZE).astype(np.int64)
    # The anchor's own square is the same for every cell; of equally near cells the lowest number.
    near = np.argmin((middles * middles).sum(1) - 2 * anchors @ middles.T, axis=1) == cell
    return tuple(
        bool(best)
        and OWN_PART * int(near[np.unpackbits(np.frombuffer(best, np.uint8))[: len(near)].astype(bool)].sum())
        >= len(near) // 4
        for best in bests
    )
