"""Blocks coded by context mixing, in lanes that keep step. Rules CZ16 to CZ19."""

from collections.abc import Callable
from typing import Final

import numpy as np

from ._arithmetic import ArithmeticDecoder, ArithmeticEncoder
from ._predictor import Advice, Predictor
from ._reader import Reader, varint
from ._slots import Bytes

MAX_LANES: Final = 512

Adviser = Callable[[int], Advice]
"""Number of lanes → what predicts their bytes."""


def lane_bits(size: int) -> int:
    """log2 of the lanes for a block of `size` bytes: 1 up to 64 bytes, twice as many for four times the bytes."""
    return min(max(size.bit_length() - 6, 0) // 2, MAX_LANES.bit_length() - 1)


def _plane(size: int, lanes: int) -> Bytes:
    return np.zeros(-(-size // lanes) * lanes, np.uint8)


def pack_mixed(block: bytes, adviser: Adviser | None = None) -> bytes:
    """`block`, not empty, as lanes' streams."""
    exponent = lane_bits(len(block))
    lanes = 1 << exponent
    plane = _plane(len(block), lanes)
    plane[: len(block)] = np.frombuffer(block, np.uint8)
    predictor = Predictor(plane, lanes, adviser(lanes) if adviser else None)
    coder = ArithmeticEncoder(lanes)
    for column in plane.reshape(lanes, -1).T.astype(np.int64):
        predictor.begin_byte()
        for left in range(7, -1, -1):
            bits = column >> left & 1
            coder.code(predictor.chance(), bits)
            predictor.learn(bits)
        predictor.end_byte()
    streams = coder.streams()
    return b"".join((bytes([exponent]), *(varint(len(stream)) for stream in streams), *streams))


def unpack_mixed(payload: bytes, size: int, adviser: Adviser | None = None) -> bytes:
    """The block of `size` bytes, more than none, again. Raises `ValueError` if `payload` has not the form of one."""
    reader = Reader(payload)
    exponent = reader.byte()
    if exponent != lane_bits(size):
        raise ValueError(f"packed bytes: 2^{exponent} lanes for a block of {size} bytes")
    lanes = 1 << exponent
    lengths = [reader.varint(len(payload)) for _ in range(lanes)]
    streams = [reader.take(length) for length in lengths]
    reader.end()
    plane = _plane(size, lanes)
    columns = plane.reshape(lanes, -1)
    predictor = Predictor(plane, lanes, adviser(lanes) if adviser else None)
    coder = ArithmeticDecoder(streams)
    for step in range(columns.shape[1]):
        predictor.begin_byte()
        for _ in range(8):
            predictor.learn(coder.code(predictor.chance()))
        columns[:, step] = predictor.end_byte()
    return plane[:size].tobytes()
