"""Normal noise from a seed, the same numbers everywhere: what the live network draws its slices from. Rules M23 to M26.

A seed of 64 bits gives a key, the key a stream of ChaCha with 12 rounds, and the stream standard normal numbers by a
ziggurat of 256 layers in float64.
"""

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROUNDS: Final = 12
LAYERS: Final = 256
BLOCK: Final = 8
"""64-bit words of one block of ChaCha."""
BASE: Final = 3.654152885361008796
"""Where the tail begins: R."""
AREA: Final = 0.00492867323399
"""Of each layer: V, cut off after so many digits."""
NUMBERS_MOST: Final = 1 << 28
"""Numbers of one draw: 2 GiB of them."""

_MULTIPLIER: Final = 6364136223846793005
_INCREMENT: Final = 11634580027462260723
_CONSTANTS: Final = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
PAGE: Final = 1 << 16
"""64-bit words of the stream that are made at a time."""


def normal(seed: int, count: int) -> NDArray[np.float64]:
    """`count` standard normal numbers. Raises `ValueError` for a seed that has not 64 bits or too large a count."""
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"a seed of {seed}; it must have 64 bits")
    if not 0 <= count <= NUMBERS_MOST:
        raise ValueError(f"{count} numbers; at most {NUMBERS_MOST} are drawn")
    key, edges = key_of(seed), _tables()[0]
    out = np.empty(count)
    filled = place = 0
    while filled < count:
        page = words(key, place, PAGE)
        layer = (page & np.uint64(LAYERS - 1)).astype(np.intp)
        x = _signed(page) * edges[layer]
        plain = np.abs(x) < edges[layer + 1]
        at = 0
        for stop in (*np.flatnonzero(~plain).tolist(), PAGE):
            if stop < at:  # a number before took this word as well
                continue
            run = min(stop - at, count - filled)
            out[filled : filled + run] = x[at : at + run]
            filled, at = filled + run, stop
            if filled == count or stop == PAGE:
                break
            number, used = _single(page[stop:], x[stop], int(layer[stop]))
            if not used:  # its words go on behind the page
                break
            at += used
            if number is not None:
                out[filled] = number
                filled += 1
        place += at
    return out


def key_of(seed: int) -> NDArray[np.uint32]:
    """The eight words of the key that a seed stands for."""
    words = []
    for _ in range(8):
        seed = (seed * _MULTIPLIER + _INCREMENT) & 0xFFFFFFFFFFFFFFFF
        mixed = (((seed >> 18) ^ seed) >> 27) & 0xFFFFFFFF
        turn = seed >> 59
        words.append((mixed >> turn | mixed << (32 - turn)) & 0xFFFFFFFF)
    return np.array(words, np.uint32)


def words(key: NDArray[np.uint32], start: int, count: int) -> NDArray[np.uint64]:
    """`count` 64-bit words of the stream of `key`, from word `start` on."""
    first = start // BLOCK
    blocks = np.arange(first, -(-(start + count) // BLOCK), dtype=np.uint64)
    state = np.zeros((16, len(blocks)), np.uint32)
    state[:4] = np.array(_CONSTANTS, np.uint32)[:, None]
    state[4:12] = key[:, None]
    state[12], state[13] = blocks & np.uint64(0xFFFFFFFF), blocks >> np.uint64(32)
    mixed = state.copy()
    for _ in range(ROUNDS // 2):
        for column in range(4):
            _quarter(mixed, column, 4 + column, 8 + column, 12 + column)
        for column in range(4):
            _quarter(mixed, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    mixed += state
    stream: NDArray[np.uint64] = np.ascontiguousarray(mixed.T, "<u4").reshape(-1).view("<u8")
    return stream[start - first * BLOCK :][:count]


def _quarter(state: NDArray[np.uint32], a: int, b: int, c: int, d: int) -> None:
    for to, by, over, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[to] += state[by]
        state[over] ^= state[to]
        state[over] = state[over] << np.uint32(turn) | state[over] >> np.uint32(32 - turn)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges x_0..x_256 and heights f(x) of the layers."""
    edges = np.zeros(LAYERS + 1)
    edges[0], edges[1] = AREA / np.exp(-BASE * BASE / 2), BASE
    for k in range(1, LAYERS - 1):
        edges[k + 1] = np.sqrt(-2 * np.log(AREA / edges[k] + np.exp(-edges[k] * edges[k] / 2)))
    return edges, np.exp(-edges * edges / 2)


def _signed(word: NDArray[np.uint64]) -> NDArray[np.float64]:
    """In [−1, 1): the top 52 bits as the digits of a number in [2, 4), less 3."""
    return (word >> np.uint64(12) | np.uint64(0x4000000000000000)).view(np.float64) - 3


def _single(page: NDArray[np.uint64], x: float, layer: int) -> tuple[float | None, int]:
    """The number that begins with the first word of `page`, or None if this try fails; and how many words it took.

    0 words: the page ends before it does.
    """
    if layer:
        if len(page) < 2:
            return None, 0
        _, heights = _tables()
        height = heights[layer + 1] + (heights[layer] - heights[layer + 1]) * (int(page[1]) >> 11) / (1 << 53)
        return (float(x) if height < math.exp(-x * x / 2) else None), 2
    used = 1
    while used + 2 <= len(page):
        first, second = (math.log(((int(word) >> 12) + 0.5) / (1 << 52)) for word in page[used : used + 2])
        used += 2
        if -2 * second >= (first / BASE) ** 2:
            beyond = first / BASE
            return (beyond - BASE if x < 0 else BASE - beyond), used
    return None, 0
