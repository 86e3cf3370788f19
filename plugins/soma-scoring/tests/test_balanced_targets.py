"""Rules TR11 to TR20: the targets of ``scoring-balanced``, and what they are for."""

from collections import Counter
from math import sqrt
from typing import Any

import numpy as np
import pytest
from shards import shard_of_outlier

from soma_core.api import Difficulty, Limits
from soma_core.api.draws import draw_seed
from soma_core.api.fixed import ONE, cosq, is_vector, quantise, squared_norm
from soma_scoring import Params as SomaParams
from soma_scoring import open_rule as open_soma
from soma_scoring._cells import ceiling
from soma_scoring._points import direction, follows
from soma_scoring._tilt import _closeness
from soma_scoring.balanced import Params, open_rule

RULE = open_rule(Params())
DIM = 64


def seed(turn: int) -> bytes:
    return draw_seed(bytes(32), b"%d" % turn)


def data(count: int, seed_: int = 0, dim: int = DIM) -> list[Any]:
    """Vectors as data have them: a few directions hold most of the variance, none of it in a mean."""
    spread = 1 / np.sqrt(1 + np.arange(dim))
    return [quantise(row) for row in np.random.default_rng(seed_).normal(size=(count, dim)) * spread]


OBSERVED = data(200)


def cosine(a: Any, b: Any) -> float:
    return cosq(int(a.astype(int) @ b.astype(int)), squared_norm(a), squared_norm(b)) / ONE


def test_the_shard_rule_is_the_same_without_the_fine() -> None:
    answers, settled, outlier = shard_of_outlier()
    soma, balanced = open_soma(SomaParams()).settle(10**9, answers, settled), RULE.settle(10**9, answers, settled)
    assert soma.out == balanced.out == (outlier,)
    assert soma.weights == balanced.weights
    assert soma.vector is not None
    assert balanced.vector is not None
    assert soma.vector.tolist() == balanced.vector.tolist()
    assert soma.payments == balanced.payments
    assert balanced.outlier_fines == {}


# Points. --------------------------------------------------------------------------------------------------------------


def test_few_observed_vectors_leave_points_anywhere() -> None:
    few = OBSERVED[:63]
    for turn in range(20):
        assert RULE.point(seed(turn), few).tolist() == direction(seed(turn), DIM).tolist()


def test_four_fifths_of_the_points_follow_the_observed_vectors() -> None:
    points = [RULE.point(seed(turn), OBSERVED) for turn in range(500)]
    assert all(is_vector(point, DIM) for point in points)
    anywhere = sum(p.tolist() == direction(seed(turn), DIM).tolist() for turn, p in enumerate(points))
    assert abs(anywhere - 100) < 5 * sqrt(80)
    assert anywhere == sum(not follows(seed(turn), 8000) for turn in range(500))
    # Where the data's variance is, theirs is: the first direction of the data holds about a fifth of it.
    of_data = np.stack(data(500, 1)).astype(float)
    followed = np.stack([p for turn, p in enumerate(points) if follows(seed(turn), 8000)]).astype(float)
    shares = [(rows[:, :4] ** 2).sum() / (rows**2).sum() for rows in (of_data, followed)]
    assert shares[1] == pytest.approx(shares[0], abs=0.08)
    assert shares[1] > 3 * 4 / DIM


def test_no_point_is_near_what_was_observed_by_more_than_new_data_are() -> None:
    """Otherwise who submits what is known already would hit."""
    points = [RULE.point(seed(turn), OBSERVED) for turn in range(100)]
    fresh = data(200, 2)
    known = np.quantile([cosine(p, x) for p in points for x in OBSERVED], 0.999)
    new = np.quantile([cosine(p, x) for p in points for x in fresh], 0.999)
    assert known < new + 0.1


def test_observed_vectors_that_cancel_out_leave_a_direction() -> None:
    flat = [np.zeros(DIM, np.int16)] * 64
    always = open_rule(Params(manifold_share=10_000))
    assert always.point(seed(1), flat).tolist() == direction(seed(1), DIM).tolist()


# Assignment. ----------------------------------------------------------------------------------------------------------


def assigned(rule: Any, count: int, dim: int, turns: int) -> Counter[int]:
    """How often each of `count` encoders of uneven stake is assigned, of three places a target."""
    rng = np.random.default_rng(3)
    positions = [quantise(row) for row in rng.normal(size=(count, dim))]
    stakes = [int(x) for x in 10**12 * np.exp(0.5 * rng.normal(size=count))]
    points = [direction(seed(turn), dim) for turn in range(turns)]
    return Counter(place for places in rule.assign(points, positions, stakes, 3) for place in places)


def effective(slots: Counter[int]) -> float:
    total = slots.total()
    return 1 / sum((count / total) ** 2 for count in slots.values())


def test_most_of_a_hundred_encoders_are_assigned_where_the_published_rule_knows_few() -> None:
    """At least 60 effective encoders of 100; by distance² / stake a handful."""
    tilted = assigned(RULE, 100, 512, 1500)
    assert tilted.total() == 4500
    assert effective(tilted) >= 60
    assert effective(assigned(open_soma(SomaParams()), 100, 512, 300)) < 15


def test_near_encoders_are_assigned_more_often() -> None:
    positions = [quantise(row) for row in np.random.default_rng(4).normal(size=(50, DIM))]
    points = [direction(seed(turn), DIM) for turn in range(600)]
    places = RULE.assign(points, positions, [10**9] * 50, 3)
    near = [cosine(point, positions[x]) for point, found in zip(points, places, strict=True) for x in found]
    assert np.mean(near) * sqrt(DIM) > 1


def test_dividing_an_encoder_changes_nobodys_chance() -> None:
    """The weights of its parts sum to its own, to what rounding each of them loses."""
    cosines, stakes = [900, -4000, 7000, 100], [10**12, 2 * 10**12, 4 * 10**12, 10**12]
    whole = _closeness(Params(), cosines, stakes)
    divided = _closeness(Params(), [*cosines, *[7000] * 9], [*stakes[:2], 4 * 10**11, stakes[3], *[4 * 10**11] * 9])
    assert divided[:4] == whole
    assert set(divided[4:]) == {whole[2]}


def test_a_divided_encoder_is_no_more_often_among_the_assigned() -> None:
    """With the same weights one hit is paid once, so what counts is whether any part is assigned. Same to 2 %."""
    positions = [quantise(row) for row in np.random.default_rng(5).normal(size=(20, 16))]
    stakes = [10**12] * 16 + [4 * 10**12] + [0] * 3  # place 16 has a fifth of all
    parts = [positions[16]] * 9
    points = [direction(seed(turn), 16) for turn in range(6000)]
    whole = sum(16 in found for found in RULE.assign(points, positions, stakes, 3))
    divided = [*stakes[:16], 4 * 10**11, *[0] * 3, *[4 * 10**11] * 9]
    found = RULE.assign(points, [*positions, *parts], divided, 3)
    split = sum(any(place == 16 or place >= 20 for place in places) for places in found)
    assert abs(split - whole) < 4 * sqrt(2 * 6000 * 0.25)
    assert split < whole * 1.05


def test_who_has_no_stake_is_not_assigned_and_equal_ones_have_equal_chances() -> None:
    same = [OBSERVED[0]] * 4
    points = [direction(seed(turn), DIM) for turn in range(400)]
    slots = Counter(place for (place,) in RULE.assign(points, same, [5, 5, 0, -1], 1))
    assert set(slots) == {0, 1}
    assert abs(slots[0] - 200) < 5 * 10
    assert RULE.assign(points[:2], same, [0] * 4, 3) == [(), ()]


# Difficulty. ----------------------------------------------------------------------------------------------------------


def chance(point: Any, radius: int, pool: Any) -> float:
    """How much of a `pool` of unit vectors lies within the radius."""
    return float((pool @ (point / np.sqrt((point.astype(float) ** 2).sum())) >= 1 - radius / ONE).mean())


def units(rows: list[Any]) -> Any:
    pool = np.stack(rows).astype(float)
    return pool / np.linalg.norm(pool, axis=1)[:, None]


POOL = units(data(5_000, 9))


def test_a_target_costs_about_its_work_on_the_manifold_and_off_it() -> None:
    """By one radius for all, those on it are hit several times as often."""
    points = [RULE.point(seed(turn), OBSERVED) for turn in range(150)]
    at = Difficulty(0, 6 << 16)
    usual = RULE.radius(at, 1, 1, OBSERVED).radius
    own, alike = (
        [
            np.mean([chance(p, r, POOL) for p, r, f in zip(points, radii, followed, strict=True) if f is on])
            for on in (True, False)
        ]
        for followed in [[follows(seed(turn), 8000) for turn in range(150)]]
        for radii in ([RULE.limits(p, at, OBSERVED, [0] * 200).radius for p in points], [usual] * 150)
    )
    assert 0.3 < own[0] * 64 < 2
    assert 0.3 < own[1] * 64 < 2
    assert alike[0] > 3 * alike[1]


def test_at_the_start_one_pair_of_a_thousand_hits() -> None:
    start = RULE.start(OBSERVED)
    assert start.memory == 10 << 16
    assert start.radius == pytest.approx(ONE * (1 - 3.0971 / sqrt(DIM)), abs=4)
    few = RULE.limits(OBSERVED[0], start, OBSERVED[:63], [0] * 63)
    assert few == Limits(start.radius, Params().hit_loss)


def test_the_work_moves_by_half_of_what_surprised_and_at_most_by_two_bits() -> None:
    at = Difficulty(0, 12 << 16)
    moved = {hits: RULE.radius(at, hits, 100, OBSERVED).memory / ONE - 12 for hits in (0, 1, 25, 100, 400, 10**6)}
    assert moved[100] == 0
    assert moved[400] == pytest.approx(1, abs=1e-3)
    assert moved[25] == pytest.approx(-1, abs=1e-3)
    assert moved[0] == moved[1] == -2
    assert moved[10**6] == 2
    low, high = Difficulty(0, 1 << 16), Difficulty(0, 64 << 16)
    assert RULE.radius(low, 0, 100, OBSERVED).memory == 1 << 16
    assert RULE.radius(high, 10**6, 100, OBSERVED).memory == 64 << 16
    assert RULE.radius(at, 5, 0, OBSERVED).memory > at.memory


def within_twice(rule: Any, epochs: int, goal: int) -> list[bool]:
    """Whether the hits of each epoch are within twice the goal. Tries rise fourfold in the middle.

    Ten targets are open; who hits one is given the next. A try is a vector of data against each of them.
    """
    rng = np.random.default_rng(8)
    difficulty, held, drawn = rule.start(OBSERVED), [], 0
    for epoch in range(epochs):
        tries, hits = 1000 * (4 if epoch >= epochs // 2 else 1), 0
        for _ in range(10):
            time = 0.0
            while time < 1 and hits <= 8 * goal:
                point, drawn = rule.point(seed(drawn), OBSERVED), drawn + 1
                radius = rule.limits(point, difficulty, OBSERVED, [0] * len(OBSERVED)).radius
                time += rng.exponential(1 / max(1e-9, tries * chance(point, radius, POOL)))
                hits += time < 1
        held.append(goal / 2 <= hits <= 2 * goal)
        difficulty = rule.radius(difficulty, hits, goal, OBSERVED)
    return held


def test_hits_stay_within_twice_their_goal_when_tries_rise_fourfold() -> None:
    """In at least 95 of a hundred epochs after the third; by the published step in far fewer."""
    held = within_twice(RULE, 23, 50)[3:]
    assert sum(held) >= 0.95 * len(held)
    published = within_twice(open_soma(SomaParams()), 15, 50)[3:]
    assert sum(published) / len(published) < 0.8


# Ceiling and bond. ----------------------------------------------------------------------------------------------------


def test_the_ceiling_is_what_three_quarters_of_the_cell_keep() -> None:
    """Two halves of the data, far from one another, with losses of their own."""
    rng = np.random.default_rng(10)
    centre = rng.normal(size=DIM)
    rows = [quantise(side * centre + 0.3 * rng.normal(size=DIM)) for side in (1, -1) for _ in range(100)]
    losses = [*range(1000, 1100), *range(5000, 5100)]
    assert 1000 <= ceiling(Params(), quantise(centre), rows, losses) < 1100
    assert 5000 <= ceiling(Params(), quantise(-centre), rows, losses) < 5100
    everyone = Params(cell_neighbours=200)
    assert ceiling(everyone, quantise(centre), rows, losses) == sorted(losses)[149]
    assert ceiling(Params(), quantise(centre), rows[:63], losses[:63]) == Params().hit_loss
    assert ceiling(Params(), quantise(centre), rows, [-5] * 200) == 0
    assert ceiling(Params(), quantise(centre), rows, [1 << 40] * 200) == Params().hit_loss


def test_of_equally_near_vectors_the_first_make_the_cell() -> None:
    losses = [*range(64), *[10**5] * 64]
    assert ceiling(Params(), OBSERVED[1], [OBSERVED[0]] * 128, losses) == 47


def test_a_bond_is_the_larger_of_bytes_and_reward() -> None:
    assert RULE.bond(10**9, 10) == 10**8
    assert RULE.bond(10**3, 10**6) == 65 * 10**6
