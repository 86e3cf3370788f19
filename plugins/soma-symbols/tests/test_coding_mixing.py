"""Context mixing in lanes: what comes back, what is learned in which order, what is refused."""

from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_symbols.coding._contexts import Contexts
from soma_symbols.coding._logistic import REACH, STEPS, squash, stretch
from soma_symbols.coding._matches import Matches
from soma_symbols.coding._mixing import MAX_LANES, lane_bits, pack_mixed, unpack_mixed
from soma_symbols.coding._predictor import Predictor
from soma_symbols.coding._reader import varint
from soma_symbols.coding._slots import EVEN, Slots

ONE_LINE = r"\A[^\n]+\Z"
SOURCE = b"def lanes(size: int) -> int:\n    return size\n\n\nclass Lane:\n    size: int = 3\n"


@settings(max_examples=25, deadline=None)
@given(block=st.binary(min_size=1, max_size=300))
def test_blocks_come_back(block: bytes) -> None:
    assert unpack_mixed(pack_mixed(block), len(block)) == block


@pytest.mark.parametrize("block", [SOURCE * 12, bytes(2000), SOURCE[::-1] * 6 + SOURCE * 6])
def test_what_repeats_over_lanes_comes_back_much_shorter(block: bytes) -> None:
    """Matches find what other lanes said, run over the ends of lanes and to the end of the block."""
    packed = pack_mixed(block)
    assert len(packed) < len(block) // 3
    assert unpack_mixed(packed, len(block)) == block


def test_nothing_looks_at_bytes_that_are_not_known_yet() -> None:
    """The chances are the same whether a plane holds what is to come or other bytes."""
    whole = np.frombuffer((SOURCE * 8)[:600], np.uint8)
    filled = np.frombuffer(Random(1).randbytes(600), np.uint8).copy()
    knowing, other = Predictor(whole.copy(), 4), Predictor(filled, 4)
    for step, column in enumerate(whole.reshape(4, -1).T.astype(np.int64)):
        knowing.begin_byte()
        other.begin_byte()
        for left in range(7, -1, -1):
            assert np.array_equal(knowing.chance(), other.chance())
            knowing.learn(column >> left & 1)
            other.learn(column >> left & 1)
        assert np.array_equal(knowing.end_byte(), column)
        filled.reshape(4, -1)[:, step] = other.end_byte()


def test_lanes_grow_with_the_square_root_of_the_block() -> None:
    assert [1 << lane_bits(size) for size in (1, 64, 256, 1000, 16_000, 1_000_000, 1 << 24)] == [
        1,
        1,
        2,
        4,
        16,
        128,
        512,
    ]
    assert 1 << lane_bits(1 << 24) == MAX_LANES


def test_squash_and_stretch_undo_each_other() -> None:
    assert len(squash()) == 2 * REACH
    assert len(stretch()) == STEPS
    assert (np.diff(squash()) >= 0).all()
    assert (np.diff(stretch()) >= 0).all()
    assert squash()[REACH] == 32768
    middles = np.arange(STEPS) * 16 + 8
    assert (np.abs(squash()[stretch() + REACH] - middles)[8:-8] <= 64).all()


def test_the_order_of_lanes_changes_nothing_that_is_learned() -> None:
    random = np.random.default_rng(2)
    places, bits = random.integers(0, 5, (3, 40)), random.integers(0, 2, 40)
    limits = np.array([[7], [30], [255]])
    orders = [np.arange(40), random.permutation(40)]
    made = []
    for order in orders:
        slots = Slots(np.full(15, EVEN, np.int64))
        rows = places[:, order] + 5 * np.arange(3)[:, None]
        for _ in range(4):
            slots.learn(rows, slots.values[rows], bits[order], limits)
        made.append(slots.values)
    assert np.array_equal(*made)
    assert (made[0] != EVEN).all()


def test_a_slot_learns_what_it_sees() -> None:
    slots = Slots(np.full(2, EVEN, np.int64))
    place, limit = np.array([[0, 0, 0, 1]]), np.array([[255]])
    for _ in range(200):
        slots.learn(place, slots.values[place], np.array([1, 1, 0, 1]), limit)
    chance = (slots.values >> 10) / 2**22
    assert chance[0] == pytest.approx(2 / 3, abs=0.01)
    assert chance[1] > 0.995


def test_contexts_that_want_one_bucket_share_it_in_a_defined_way() -> None:
    taken = np.zeros(7 * 64 * 16, np.int64)
    contexts = Contexts(64, 2, taken)  # four buckets for 448 rows
    places = contexts.begin_byte()
    taken[places.reshape(-1) + 1] = EVEN + 1024
    again = contexts.middle(np.full(64, 16))
    assert len(np.unique(places)) <= 4
    assert len(np.unique(again)) <= 4


def test_a_match_is_found_in_another_lane_and_ends_with_it() -> None:
    plane = np.frombuffer(b"abcdefghijkl" + b"xyabcdefghij", np.uint8).copy()
    matches = Matches(plane, 2, 10)
    history = np.zeros(2, np.uint64)
    found = []
    for step in range(12):
        matches.begin_byte(history)
        states, grades = matches.states(np.ones(2, np.int64), 8)
        found.append(grades[1])
        byte = plane.reshape(2, 12)[:, step].astype(np.int64)
        matches.end_byte(byte)
        history = (history << np.uint64(8)) | byte.astype(np.uint64)
        assert (states // 2 <= grades).all()
    assert found[:8] == [0] * 8
    assert found[8:] == [6, 7, 8, 9]  # six bytes agree, and each that was foretold makes it longer


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(max_size=60), size=st.integers(1, 300))
def test_any_payload_gives_as_many_bytes_or_an_error(payload: bytes, size: int) -> None:
    with suppress(ValueError):
        assert len(unpack_mixed(payload, size)) == size


def test_streams_that_do_not_fit_are_refused() -> None:
    payload = pack_mixed(SOURCE * 4)
    for bad in (payload[:-1], payload + b"\0", b"\x02" + payload[1:], payload[:1] + varint(1 << 20) + payload[2:], b""):
        with pytest.raises(ValueError, match=ONE_LINE):
            unpack_mixed(bad, 4 * len(SOURCE))
