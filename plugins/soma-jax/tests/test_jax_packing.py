import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soma_jax._packing import SHORTEST, fitted, places, slabs

SEQ = 64


@given(st.lists(st.integers(1, SEQ), max_size=80))
def test_every_piece_lies_in_one_row_and_fits(lengths):
    rows = fitted(lengths, SEQ)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(1 <= len(row) <= SEQ // SHORTEST for row in rows)
    assert all(sum(lengths[number] for number in row) <= SEQ for row in rows)


def test_a_row_is_filled_before_another_begins():
    assert fitted([16] * 9 + [48], SEQ) == [[9, 0], [1, 2, 3, 4], [5, 6, 7, 8]]
    assert fitted([1] * 9, SEQ) == [[0, 1, 2, 3, 4, 5, 6, 7], [8]]


def test_rows_shorter_than_a_place_hold_one_chunk():
    assert places(SHORTEST - 1) == 1
    assert fitted([1, 2], SHORTEST - 1) == [[1], [0]]


def test_a_slab_says_where_everything_lies():
    (slab,) = slabs([b"ab", b"c" * 61, b"d"], SEQ, 2)
    assert slab.rows == [[1, 0, 2]]
    row = np.stack([slab.ids, slab.targets, slab.positions, slab.chunk])[:, 0]
    assert row[:, 60:].T.tolist() == [[99, 256, 60, 0], [97, 98, 0, 1], [98, 256, 1, 1], [100, 256, 0, 2]]
    assert (slab.ids[1] == 256).all()
    assert (slab.targets[1] == 256).all()
    assert (slab.chunk[1] == places(SEQ)).all()


@pytest.mark.parametrize(("count", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (4, [3])])
def test_slabs_are_of_one_size(count, sizes):
    found = list(slabs([b"x" * SEQ, b"y" * SEQ, b"z"], SEQ, count))
    assert [len(slab.rows) for slab in found] == sizes
    assert {slab.ids.shape for slab in found} == {(count, SEQ)}
