"""What a report measures, against cases whose answer is plain."""

import lzma
from pathlib import Path

import numpy as np
import pytest

from soma_core.quality import (
    auc,
    collapse,
    isotropy,
    knn_accuracy,
    neighbour_overlap,
    ngrams,
    pair_cosines,
    retrieval,
    xz,
)

RNG = np.random.default_rng(7)
CLOUD = RNG.standard_normal((300, 16))


def test_each_finds_its_own_at_once() -> None:
    found = retrieval(CLOUD, CLOUD * 3)
    assert (found.first, found.ten, found.reciprocal) == (1, 1, 1)


def test_places_are_counted() -> None:
    """Answers at 0°, 30° and 60°; the queries stand at 0°, at 0° and at 90°."""
    at = np.radians([[0, 30, 60], [0, 0, 90]])
    answers, queries = np.stack([np.cos(at), np.sin(at)], axis=-1)
    found = retrieval(queries, answers)
    assert found.first == pytest.approx(2 / 3)
    assert found.ten == 1
    assert found.reciprocal == pytest.approx((1 + 1 / 2 + 1) / 3)


def test_unrelated_vectors_find_by_chance() -> None:
    found = retrieval(RNG.standard_normal((1000, 32)), RNG.standard_normal((1000, 32)))
    assert found.first < 0.005
    assert 0.002 < found.ten < 0.025


def test_vectors_that_are_all_one_find_as_if_in_the_middle() -> None:
    found = retrieval(np.ones((41, 4)), np.ones((41, 4)))
    assert (found.first, found.ten) == (0, 0)
    assert found.reciprocal == pytest.approx(1 / 21)


def test_neighbours_of_other_folds_vote() -> None:
    labels = np.arange(60) % 3
    clouds = np.eye(3)[labels] * 10 + RNG.standard_normal((60, 3)) * 0.1
    assert knn_accuracy(clouds, labels) == 1
    # Each fold has a place of its own: its own items would give the label away, those of others never do.
    blocks = np.arange(60) // 12
    assert knn_accuracy(np.eye(5)[blocks], blocks) == 0
    assert 0.15 < knn_accuracy(RNG.standard_normal((600, 4)), RNG.integers(0, 4, 600)) < 0.35


def test_of_labels_with_as_many_votes_the_smallest_wins() -> None:
    points = np.array([[0.0], [0.1], [0.2], [0.3]])
    assert knn_accuracy(points, [0, 1, 1, 0], k=3, folds=4) == 0
    assert knn_accuracy(points[:3], [0, 1, 0], k=2, folds=3) == pytest.approx(2 / 3)  # 1 0, 0 0, 1 0


def test_the_rank_statistic_counts_ties_half() -> None:
    assert auc([3, 4], [1, 2]) == 1
    assert auc([1, 2], [3, 4]) == 0
    assert auc([1, 1], [1, 1, 1]) == 0.5
    assert auc([1, 2], [1, 3]) == pytest.approx((0.5 + 0 + 1 + 0) / 4)


def test_pairs_stand_against_all_that_are_none() -> None:
    same, others = pair_cosines(np.eye(3), np.eye(3)[[0, 1, 0]])
    assert same.tolist() == [1, 1, 0]
    assert sorted(others.tolist()) == [0, 0, 0, 0, 0, 1]


def test_an_encoder_agrees_with_itself() -> None:
    turned = CLOUD @ np.linalg.qr(RNG.standard_normal((16, 16)))[0]
    assert neighbour_overlap(CLOUD, CLOUD) == 1
    assert neighbour_overlap(CLOUD, 2 * turned) > 0.999
    assert neighbour_overlap(CLOUD, RNG.standard_normal((300, 9))) == pytest.approx(5 / 299, abs=0.02)


def test_the_overlap_of_few_is_counted() -> None:
    """On a line of four, two nearest each: {1,2} {0,2} {3,1} {2,1} against {1,2} {0,2} {1,0} {2,1}."""
    one = np.radians([0, 10, 21, 30])
    other = np.radians([0, 10, 19, 40])
    vectors = [np.stack([np.cos(at), np.sin(at)], axis=1) for at in (one, other)]
    assert neighbour_overlap(*vectors, k=2) == pytest.approx((2 + 2 + 1 + 2) / 8)


def test_a_cloud_is_even_and_a_line_is_not() -> None:
    even = isotropy(RNG.standard_normal((4000, 16)))
    assert abs(even.cosine) < 0.01
    assert even.rank == pytest.approx(16, rel=0.02)
    assert even.rank_share == pytest.approx(1, rel=0.02)
    assert even.spectrum.sum() == pytest.approx(1)
    line = isotropy(np.outer(np.arange(1, 9), np.ones(5)))
    assert (line.cosine, line.rank, line.first) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))


def test_the_rank_of_two_equal_components_is_two() -> None:
    found = isotropy([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
    assert found.rank == pytest.approx(2)
    assert found.rank_share == pytest.approx(2 / 3)
    assert found.first == pytest.approx(1 / 2)
    assert found.cosine == pytest.approx(-4 / 12)  # two pairs of six are opposite


def test_vectors_that_are_all_one_have_rank_one() -> None:
    found = isotropy(np.full((50, 8), np.float32(0.1)))
    assert (found.rank, found.first, found.cosine) == (1, 1, pytest.approx(1))


def test_a_collapse_is_seen_whatever_the_length() -> None:
    cloud, one = RNG.standard_normal((200, 32)), np.tile(RNG.standard_normal(32), (200, 1))
    assert 0.7 < collapse(cloud).times < 1.4
    assert collapse(cloud * 1000).statistic == pytest.approx(collapse(cloud).statistic)
    assert collapse(one).times > 50
    assert collapse(one, seed=1).statistic != collapse(one, seed=2).statistic


def test_runs_of_bytes_are_counted() -> None:
    table = ngrams([b"", b"a", b"aaa", b"abcd", b"dcba"])
    assert table.shape == (5, 2048)
    assert not table[:2].any()
    assert np.expm1(table[2:]).sum(1) == pytest.approx([3, 6, 6])
    assert np.expm1(table[2]).max() == pytest.approx(2)  # "aa" twice
    assert (table[3] != table[4]).any()


def test_xz_is_what_the_program_writes() -> None:
    for data in (b"a", b"the same again " * 900, RNG.bytes(5000), Path(__file__).read_bytes()):
        assert xz([data]).each == 8 * len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) / len(data)


def test_xz_of_items_and_of_all() -> None:
    found = xz([b"the same again " * 8] * 4)
    assert found.joined < found.each / 3
    assert xz([RNG.bytes(5000)]).each == pytest.approx(8, rel=0.02)
