"""Rules TR1 to TR10, and R25: the targets of ``scoring-soma`` and its fine for outliers."""

from collections import Counter
from functools import cmp_to_key
from math import isqrt, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shards import shard_of_outlier

from soma_core.api import Difficulty, Limits
from soma_core.api.draws import draw_seed
from soma_core.api.fixed import ONE, cosq, is_vector, quantise, squared_norm
from soma_scoring import Params, open_rule
from soma_scoring._nearest import Positions
from soma_scoring._normal import normal_table, normals
from soma_scoring._published import deviation, next_

RULE = open_rule(Params())


def vectors(count: int, dim: int, seed: int = 0) -> list[Any]:
    return [quantise(row) for row in np.random.default_rng(seed).normal(size=(count, dim))]


def seed(turn: int) -> bytes:
    return draw_seed(bytes(32), b"%d" % turn)


# Points. --------------------------------------------------------------------------------------------------------------


def test_the_normal_table_is_that_of_the_normal_distribution() -> None:
    table = normal_table()
    exact = [NormalDist().inv_cdf((2 * level + 1) / 512) * 4096 for level in range(256)]
    assert max(abs(a - b) for a, b in zip(table, exact, strict=True)) < 0.5
    assert min(abs(value % 1 - 0.5) for value in exact) > 0.001
    assert [table[255 - level] for level in range(256)] == [-entry for entry in table]


def test_normal_numbers_are_the_bytes_of_the_seeds_stream() -> None:
    first = normals(b"seed", 40)
    assert normals(b"seed", 33) == first[:33]
    assert normals(b"", 0) == []
    many = Counter(number for turn in range(200) for number in normals(seed(turn), 64))
    assert len(many) == 256
    assert max(abs(count - 50) for count in many.values()) < 6 * sqrt(50)


@pytest.mark.parametrize("dim", [1, 2, 8, 128, 2048])
def test_points_lie_where_vectors_lie_and_in_every_direction_alike(dim: int) -> None:
    observed = vectors(2, dim)
    points = np.stack([RULE.point(seed(turn), observed) for turn in range(200 if dim < 2048 else 20)])
    assert all(is_vector(point, dim) for point in points)
    mean = points.astype(np.float64).mean(axis=0) / 4096
    assert abs(mean).max() < 6 / sqrt(len(points))


# Assignment. ----------------------------------------------------------------------------------------------------------


def plainly(point: Any, positions: Any, stakes: Any, k: int) -> tuple[int, ...]:
    """TR5 word for word."""
    away = [ONE - cosq(int(point.astype(int) @ x.astype(int)), squared_norm(point), squared_norm(x)) for x in positions]

    def compare(i: int, j: int) -> int:
        if (stakes[i] > 0) != (stakes[j] > 0):
            return -1 if stakes[i] > 0 else 1
        return (stakes[i] > 0 and away[i] ** 2 * stakes[j] - away[j] ** 2 * stakes[i]) or i - j

    return tuple(sorted(range(len(stakes)), key=cmp_to_key(compare))[:k])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 8, 64]),
    st.lists(st.sampled_from([0, 1, 2, 4, 10**9, 10**9 + 1, 10**17]), min_size=1, max_size=40),
    st.integers(0, 50),
    st.integers(0, 3),
)
@example(0, 8, [1] * 5, 3, 3)
def test_the_fast_assignment_is_the_plain_one(draw: int, dim: int, stakes: list[int], k: int, odd: int) -> None:
    """Copies, opposites, the point itself, and rows that are no vectors at all among the positions."""
    positions = vectors(len(stakes), dim, draw)
    points = np.stack([*vectors(2, dim, draw + 1), positions[0], np.zeros(dim, np.int16)])
    for place in range(min(odd, len(stakes) - 1)):
        positions[place + 1] = [positions[0], -positions[0], np.eye(1, dim, dtype=np.int16)[0]][place]
    wanted = [plainly(point, positions, stakes, k) for point in points]
    assert Positions(positions, stakes).nearest(points, k) == wanted
    assert Positions(np.stack(positions), stakes).nearest(points, k) == wanted
    assert list(RULE.assign(list(points), positions, stakes, k)) == wanted
    assert list(RULE.assign([], positions, stakes, k)) == []


@pytest.mark.parametrize("stakes", ["alike", "spread"])
def test_more_encoders_than_a_block_are_assigned_exactly(stakes: str) -> None:
    rng = np.random.default_rng(5)
    positions = (rng.normal(size=(5000, 16)) * 4096).astype(np.int16)
    held = [10**9] * 5000 if stakes == "alike" else [int(x) for x in 10**9 * np.exp(rng.normal(size=5000))]
    points = np.stack(vectors(4, 16, 9))
    assert Positions(positions, held).nearest(points, 7) == [plainly(point, positions, held, 7) for point in points]


def test_distances_that_differ_by_less_than_a_float_tells_are_decided_by_integers() -> None:
    """Two thousand encoders whose distances are within a few units of the last place, of nearly equal stakes."""
    rng = np.random.default_rng(6)
    base = quantise(rng.normal(size=64)).astype(int)
    positions = [(base + rng.integers(-1, 2, size=64)).astype(np.int16) for _ in range(2000)]
    held = [10**15 + int(extra) for extra in rng.integers(0, 3, size=2000)]
    point = vectors(1, 64, 7)[0]
    assert Positions(positions, held).nearest(point[None], 5) == [plainly(point, positions, held, 5)]


def two(*rows: tuple[float, float]) -> list[Any]:
    return [np.array([round(4096 * x) for x in row], np.int16) for row in rows]


@pytest.mark.parametrize(
    ("point", "rows", "stakes", "order"),
    [
        ((0, 1), ((1, 0), (-1, 0)), (100, 1000), (1, 0)),
        ((1, 0), ((1, 0.1), (-1, 0.1)), (100, 1000), (0, 1)),
        ((1, 0), ((0, 1), (0, 1), (0, 1)), (100, 400, 900), (2, 1, 0)),
        ((1, 0), ((0, 1), (-1, 0)), (100, 400), (0, 1)),
        ((1, 0), ((0, 1), (-1, 0)), (100, 401), (1, 0)),
        ((1, 0), ((0, 1), (1, 0), (1, 0)), (100, 0, 0), (0, 1, 2)),
    ],
)
def test_published_cases_of_assignment(point: Any, rows: Any, stakes: Any, order: Any) -> None:
    assert list(RULE.assign(two(point), two(*rows), stakes, 3)) == [order]


# Difficulty, ceiling, bond. -------------------------------------------------------------------------------------------

GOAL = 86_400


@pytest.mark.parametrize(
    ("rate", "least", "radius", "hits", "wanted"),
    [
        (10_000, 2.0, 1.05, 5_000, 1.10),
        (10_000, 2.0, 1.05, 100_000, 1.00),
        (10_000, 2.0, 0.978, 5_000, 1.022),
        (200, 2.0, 1.0, 100_000, 0.956),
        (200, 0.1, 1.0, 100_000, 0.9978),
        (10_000, 0.1, 0.982, 100, 1.0),
        (200, 0.1, 0.978, 100_000, 0.9758),
    ],
)
def test_published_cases_of_the_radius(rate: int, least: float, radius: float, hits: int, wanted: float) -> None:
    """To within what the published unit, 0.022, differs from 1/√2048."""
    params = Params(step_rate=rate, step_least=round(least * ONE))
    found = next_(params, Difficulty(round(radius * ONE)), hits, GOAL, 2048)
    assert found.radius / ONE == pytest.approx(wanted, abs=4e-4)
    assert found.memory == hits << 16


@pytest.mark.parametrize(
    ("kept", "before", "hits", "after"),
    [(9000, 0, 8, 8), (9000, 20, 10, 19), (9000, 20, 0, 18), (9000, 0, 0, 0), (7000, 20, 10, 17)],
)
def test_published_cases_of_the_average(kept: int, before: int, hits: int, after: int) -> None:
    found = next_(Params(hits_kept=kept), Difficulty(ONE, before << 16), hits, 16, 128)
    assert found.memory == after << 16


def test_the_average_follows_small_numbers_too() -> None:
    """An average of whole hits would stay at 1 for ever."""
    difficulty = Difficulty(ONE, 1 << 16)
    for _ in range(100):
        difficulty = RULE.radius(difficulty, 5, 5, vectors(1, 128))
    assert 4.9 < difficulty.memory / ONE <= 5


@pytest.mark.parametrize("dim", [8, 128, 2048])
def test_one_of_a_thousand_pairs_hits_at_the_start(dim: int) -> None:
    start = RULE.start(vectors(1, dim))
    pairs = np.random.default_rng(1).normal(size=(2, 200_000 if dim < 2048 else 20_000, dim)).astype(np.float32)
    cosines = np.einsum("nd,nd->n", *pairs) / np.sqrt((pairs**2).sum(axis=2)).prod(axis=0)
    share = float((1 - cosines <= start.radius / ONE).mean())
    assert start == Difficulty(start.radius, 0)
    assert share < 0.0016
    assert share > 0.0003 or dim == 8  # of few dimensions, directions without relation are rarely so near
    assert deviation(dim) == isqrt((1 << 32) // dim)


def test_without_hits_it_gets_easier_and_the_radius_stays_within_bounds() -> None:
    observed, params = vectors(1, 128), Params()
    difficulty, radii = RULE.start(observed), []
    for _ in range(100):
        difficulty = RULE.radius(difficulty, 0, 10, observed)
        radii.append(difficulty.radius)
    assert radii == sorted(radii)
    assert radii[-1] == params.radius_most
    for _ in range(100):
        difficulty = RULE.radius(difficulty, 1000, 10, observed)
    assert difficulty.radius == params.radius_least
    assert RULE.radius(Difficulty(7000, 10 << 16), 10, 10, observed) == Difficulty(7000, 10 << 16)


def test_a_hit_is_better_predicted_than_random_bytes_and_the_bond_is_by_the_byte() -> None:
    observed = vectors(3, 8)
    limits = RULE.limits(observed[0], Difficulty(77, 5), observed, [1, 2, 3])
    assert limits == Limits(77, Params().hit_loss)
    assert limits.loss < 8 * ONE, "what bytes without any order cost"
    assert RULE.bond(10**12, 10_000) == 650_000


# The fine. ------------------------------------------------------------------------------------------------------------


def test_an_outlier_is_fined_at_once_unless_it_is_proven_honest() -> None:
    answers, settled, outlier = shard_of_outlier()
    found = RULE.settle(10**9, answers, settled)
    assert found.out == (outlier,)
    assert found.outlier_fines == {outlier: answers[outlier].stake // 1000}
    assert outlier not in {**found.fines, **found.slashes}
    for verdict, fines in (("honest", {}), ("false", {})):
        answers[outlier] = evolve(answers[outlier], verdict=verdict)
        assert RULE.settle(10**9, answers, settled).outlier_fines == fines
