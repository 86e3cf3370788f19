"""The arithmetic coder: bits come back, and cost what their chances say."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_symbols.coding._arithmetic import ArithmeticDecoder, ArithmeticEncoder

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, lanes=st.integers(1, 5), count=st.integers(0, 120), honest=st.booleans())
def test_bits_come_back(seed: int, lanes: int, count: int, honest: bool) -> None:  # noqa: FBT001
    random = np.random.default_rng(seed)
    chances = random.choice([1, 2, 40, 32768, 65000, 65534, 65535], (count, lanes))
    bits = (random.integers(0, 65536, (count, lanes)) < (chances if honest else 65536 - chances)).astype(np.int64)
    encoder = ArithmeticEncoder(lanes)
    for row, set_ in zip(chances, bits, strict=True):
        encoder.code(row, set_)
    streams = encoder.streams()
    assert len(streams) == lanes
    decoder = ArithmeticDecoder(streams)
    assert all(np.array_equal(decoder.code(row), set_) for row, set_ in zip(chances, bits, strict=True))


def test_a_lane_takes_no_more_than_its_chances_say() -> None:
    random = np.random.default_rng(1)
    chances = random.integers(100, 65436, (4000, 2))
    bits = (random.integers(0, 65536, (4000, 2)) < chances).astype(np.int64)
    encoder = ArithmeticEncoder(2)
    for row, set_ in zip(chances, bits, strict=True):
        encoder.code(row, set_)
    said = np.where(bits, chances, 65536 - chances) / 65536
    for lane, stream in enumerate(encoder.streams()):
        ideal = -sum(map(math.log2, said[:, lane])) / 8
        assert ideal - 1 <= len(stream) <= 1.001 * ideal + 2


def test_what_is_behind_the_end_is_zeros() -> None:
    decoder = ArithmeticDecoder([b"", b"\xff"])
    for _ in range(100):
        assert decoder.code(np.array([30000, 30000]))[0] == 1
