"""What every scoring rule must do. Inherit `ScoringSuite` and name the plugin."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core.api import Answer, Candidate, Difficulty, ScoringRule, Settlement
from soma_core.api.draws import draw_seed
from soma_core.api.fixed import is_vector, quantise

from .component import NOTHING, Component, component
from .suite import Suite

if TYPE_CHECKING:
    from numpy.typing import NDArray

ONE = 1 << 16
_DIM = 8
_SOMA = 10**9
_TARGETS = ("point", "assign", "start", "radius", "limits", "bond")

_FEW = settings(max_examples=60, deadline=None, database=None)


def _vectors() -> st.SearchStrategy[Any]:
    """Vectors of honest, odd and impossible kinds, and nothing at all."""
    good = st.integers(0, 2**32 - 1).map(lambda seed: quantise(np.random.default_rng(seed).normal(size=_DIM)))
    return st.one_of(
        good,
        good,
        good.map(lambda z: (-z).astype(np.int16)),
        st.just(np.full(_DIM, 4096, np.int16)),
        st.sampled_from(
            [
                None,
                np.zeros(_DIM, np.int16),
                np.full(_DIM, -32768, np.int16),
                np.full(_DIM - 1, 4096, np.int16),
                np.full(_DIM + 1, 4096, np.int16),
                np.zeros(0, np.int16),
                np.full((_DIM, 1), 4096, np.int16),
            ]
        ),
    )


def _answers() -> st.SearchStrategy[list[Answer]]:
    answer = st.builds(
        Answer,
        encoder=st.binary(min_size=32, max_size=32),
        stake=st.sampled_from([0, 1, 999, 100 * _SOMA, 10**17]),
        registered=st.integers(0, 5),
        opaque=st.booleans(),
        own=st.booleans(),
        gate=st.integers(-2 * ONE, 4 * ONE),
        loss=st.integers(0, 8 * ONE) | st.sampled_from([-1, 16 * ONE + 1, 2**63 - 1]),
        vector=_vectors(),
        verdict=st.sampled_from(["none", "none", "none", "honest", "false"]),
    )
    return st.lists(answer, max_size=9)


def _settled(count: int = 7) -> "list[NDArray[np.int16]]":
    return [quantise(np.random.default_rng(seed).normal(size=_DIM)) for seed in range(count)]


def _candidates(weights: Sequence[tuple[int, int]]) -> list[Candidate]:
    return [Candidate(n.to_bytes(32, "big"), stake, routing) for n, (stake, routing) in enumerate(weights)]


def fingerprint(name: str, config: Mapping[str, object] = NOTHING) -> str:
    """A digest of what the rule called `name` makes of a hundred drawn and settled shards."""
    rule = _open(component(name, config))
    rng = np.random.default_rng(1)
    state = hashlib.blake2b()
    for turn in range(100):
        candidates = _candidates([(int(rng.integers(1, 10**12)), ONE) for _ in range(20)])
        answers = [
            Answer(
                encoder=candidates[place].encoder,
                stake=candidates[place].stake,
                registered=int(rng.integers(5)),
                opaque=bool(rng.integers(6) == 0),
                own=bool(rng.integers(2)),
                gate=int(rng.integers(0, 3 * ONE)),
                loss=int(rng.integers(0, 8 * ONE)),
                vector=quantise(rng.normal(size=_DIM) + 1),
            )
            for place in rule.draw(7, candidates, draw_seed(bytes(32), b"%d" % turn))
        ]
        settled = rule.settle(10**9, answers, _settled())
        state.update(repr(_plain(settled)).encode())
    return state.hexdigest()


def _plain(value: Any) -> Any:
    """A settlement as tuples and lists, ready to be compared or hashed; maps in order of their keys."""
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, Mapping):
        return sorted((key, _plain(entry)) for key, entry in value.items())
    if attrs.has(type(value)):
        return [(a.name, _plain(getattr(value, a.name))) for a in attrs.fields(type(value))]
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _open(chosen: Component) -> ScoringRule:
    rule: ScoringRule = chosen.spec.open(chosen.spec.params())
    return rule


class ScoringSuite(Suite):
    """Inherit, and set `plugin` to the component's name. A scoring rule has no settings, only parameters."""

    capabilities = frozenset({"targets"})

    @pytest.fixture
    def chosen(self) -> Component:
        """The component under test."""
        return component(self.plugin, self.config)

    @pytest.fixture
    def rule(self, chosen: Component) -> ScoringRule:
        """The rule under its default parameters."""
        return _open(chosen)

    def test_parameters_are_integers_with_defaults(self, chosen: Component) -> None:
        params = chosen.spec.params()
        for attribute in attrs.fields(chosen.spec.params):
            assert type(getattr(params, attribute.name)) is int, f"{attribute.name} is not an integer"

    def test_rule_has_an_id_and_a_version(self, chosen: Component) -> None:
        assert chosen.spec.rule_id
        assert chosen.spec.rule_version >= 1

    def test_features_are_those_declared(self, chosen: Component, rule: ScoringRule) -> None:
        declared = "targets" in chosen.spec.features
        assert [name for name in _TARGETS if hasattr(rule, name)] == (list(_TARGETS) if declared else [])
        if declared:
            check_targets(rule)

    def test_every_shard_has_a_settlement(self) -> None:
        rule = _open(component(self.plugin, self.config))

        @_FEW
        @given(_answers(), st.integers(0, 10**17), st.sampled_from([0, 1, 7]))
        def check(answers: list[Answer], pot: int, count: int) -> None:
            check_settlement(rule.settle(pot, answers, _settled(count)), pot, answers)

        check()

    def test_the_same_answers_come_to_the_same(self) -> None:
        rule, again = (_open(component(self.plugin, self.config)) for _ in range(2))

        @_FEW
        @given(_answers(), st.integers(0, 10**17))
        def check(answers: list[Answer], pot: int) -> None:
            first = _plain(rule.settle(pot, answers, _settled()))
            rule.settle(pot + 1, answers[::-1], _settled())  # which leaves nothing behind
            assert _plain(rule.settle(pot, answers, _settled())) == first
            assert _plain(again.settle(pot, answers, _settled())) == first

        check()

    def test_answers_are_only_read(self) -> None:
        rule = _open(component(self.plugin, self.config))

        @_FEW
        @given(_answers())
        def check(answers: list[Answer]) -> None:
            settled = _settled()
            before = [_plain(answer) for answer in answers], _plain(tuple(settled))
            for array in (*settled, *(answer.vector for answer in answers)):
                if array is not None:
                    array.flags.writeable = False
            rule.settle(1000, answers, settled)
            assert ([_plain(answer) for answer in answers], _plain(tuple(settled))) == before

        check()

    def test_other_processes_and_hash_seeds_agree(self) -> None:
        code = f"from soma_core.testing.scoring import fingerprint; print(fingerprint({self.plugin!r}))"
        found = {fingerprint(self.plugin, self.config)}
        for seed in ("1", "2"):
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120
            )
            found.add(done.stdout.strip())
        assert len(found) == 1, "the rule depends on the process it runs in"

    def test_draw_is_without_replacement(self, rule: ScoringRule) -> None:
        candidates = _candidates([(stake, ONE) for stake in (1, 10**17, 5, 5, 10**9, 3)])
        for turn in range(50):
            drawn = rule.draw(4, candidates, b"%d" % turn * 8)
            assert len(drawn) == len(set(drawn)) == 4
            assert all(type(place) is int and 0 <= place < 6 for place in drawn)

    @pytest.mark.parametrize("size", [0, 1, 3, 7, 100])
    def test_draw_gives_at_most_who_is_there(self, rule: ScoringRule, size: int) -> None:
        assert rule.draw(size, [], bytes(32)) == ()
        candidates = _candidates([(5, ONE)] * 3)
        assert len(rule.draw(size, candidates, bytes(32))) == min(size, 3)

    def test_no_weight_is_never_drawn(self, rule: ScoringRule) -> None:
        candidates = _candidates([(0, ONE), (5, ONE), (5, 0)])
        assert all(rule.draw(3, candidates, b"%d" % turn * 8) == (1,) for turn in range(20))

    def test_draw_depends_on_the_beacon_alone(self, rule: ScoringRule) -> None:
        candidates = _candidates([(5, ONE)] * 30)
        drawn = {rule.draw(7, candidates, draw_seed(bytes(32), b"%d" % turn)) for turn in range(20)}
        assert len(drawn) == 20, "different beacons give the same shard"
        assert {rule.draw(7, candidates, bytes(32)) for _ in range(5)} == {rule.draw(7, candidates, bytes(32))}

    def test_draw_is_in_proportion_to_stake_and_routing(self, rule: ScoringRule) -> None:
        """Over 3,000 beacons the first place and the second lie within five standard deviations of their chances."""
        weights = [(1, ONE), (4, ONE), (10, ONE // 2), (10, ONE), (20, ONE)]
        candidates = _candidates(weights)
        share = [stake * routing for stake, routing in weights]
        total, times = sum(share), 3000
        drawn = [rule.draw(2, candidates, draw_seed(bytes(32), b"%d" % turn)) for turn in range(times)]
        first, second = (Counter(places[at] for places in drawn) for at in (0, 1))
        for place, weight in enumerate(share):
            chance = weight / total
            assert abs(first[place] - times * chance) <= 5 * sqrt(times * chance * (1 - chance))
            later = sum(w / total * weight / (total - w) for other, w in enumerate(share) if other != place)
            assert abs(second[place] - times * later) <= 5 * sqrt(times * later * (1 - later))


def check_targets(rule: Any) -> None:
    """What holds of any rule's targets (`HasTargets`), with few observed vectors and with many."""
    for count in (7, 100):
        _check_points(rule, _settled(count))
        _check_difficulty(rule, _settled(count))
    bonds = [rule.bond(10**9, size) for size in (1, 1000, 1 << 20)]
    assert all(type(bond) is int and bond >= 0 for bond in bonds)
    assert bonds == sorted(bonds), "more bytes never put less at stake"


def _check_points(rule: Any, observed: "list[NDArray[np.int16]]") -> None:
    positions, stakes = _settled(), [1, 5, 5, 10**12, 10**17, 3, 7]
    start, points = rule.start(observed), []
    single: dict[int, list[tuple[int, ...]]] = {}
    for turn in range(100):
        beacon = draw_seed(bytes(32), b"%d" % turn)
        point = rule.point(beacon, observed)
        assert point.dtype == np.int16
        assert is_vector(point, _DIM), "a point lies where vectors lie"
        assert _plain(rule.point(beacon, observed)) == _plain(point), "the same beacon gives the same point"
        points.append(point)
        for count in (0, 1, 3, 7, 20):
            (places,) = rule.assign([point], positions, stakes, count)
            assert len(places) == len(set(places)) == min(count, 7)
            assert all(type(place) is int and 0 <= place < 7 for place in places)
            single.setdefault(count, []).append(tuple(places))
        limits = rule.limits(point, start, observed, [turn * 1000 + place for place in range(len(observed))])
        assert type(limits.radius) is type(limits.loss) is int
        assert 0 <= limits.radius <= 2 * ONE
        assert limits.loss >= 0
    assert len({point.tobytes() for point in points}) == len(points), "different beacons give the same point"
    for count, wanted in single.items():
        found = [tuple(places) for places in rule.assign(points, positions, stakes, count)]
        assert found == wanted, "many points at a time are assigned as each by itself is"
    assert [tuple(places) for places in rule.assign(points[:2], [], [], 3)] == [(), ()]
    assert not len(rule.assign([], positions, stakes, 3))


def _check_difficulty(rule: Any, observed: "list[NDArray[np.int16]]") -> None:
    start = rule.start(observed)
    assert start == rule.start(observed)
    for old in (start, Difficulty(1, start.memory), Difficulty(ONE, start.memory), Difficulty(2 * ONE, start.memory)):
        following = [rule.radius(old, hits, 50, observed) for hits in (0, 1, 49, 50, 51, 500)]
        radii = [difficulty.radius for difficulty in following]
        assert all(type(radius) is int and 0 <= radius <= 2 * ONE for radius in (old.radius, *radii))
        assert radii == sorted(radii, reverse=True), "more hits never make it wider"
        assert all(type(d.memory) is int and 0 <= d.memory < 1 << 63 for d in following), "it is kept in a record"
    idle = start
    for _ in range(200):
        idle = rule.radius(idle, 0, 50, observed)
    assert idle.radius > start.radius, "where nobody hits it gets easier"


def check_settlement(found: Settlement, pot: int, answers: Sequence[Answer]) -> None:
    """What holds of any settlement of these answers, whatever the rule."""
    places = range(len(answers))
    assert [type(payment.amount) for payment in found.payments] == [int] * len(found.payments)
    assert all(payment.amount >= 0 for payment in found.payments)
    assert sum(payment.amount for payment in found.payments) == pot, "payments, the refund included, sum to the pot"
    assert all(payment.to == "submitter" or payment.to in places for payment in found.payments)
    assert all(payment.reason for payment in found.payments)
    assert (found.vector is None) == (found.outcome == "refunded")
    if found.vector is not None:
        assert found.vector.dtype == np.int16
        assert is_vector(found.vector, len(found.vector))
        assert sum(found.weights.values()) == ONE
    assert sum(found.weights.values()) in (0, ONE)
    for place in (found.winner, found.weakest):
        assert place is None or (type(place) is int and place in places and place not in found.silent)
    for several in (found.silent, found.out, found.reexecute):
        assert len(set(several)) == len(several)
        assert all(type(place) is int and place in places for place in several)
    for amounts in (found.weights, found.gates, found.fines, found.slashes, found.outlier_fines):
        assert all(type(place) is int and place in places for place in amounts)
        assert all(type(amount) is int for amount in amounts.values())
    for amounts in (found.weights, found.fines, found.slashes, found.outlier_fines):
        assert all(amount >= 0 for amount in amounts.values())
    for amounts in (found.fines, found.slashes, found.outlier_fines):
        assert all(amount <= answers[place].stake for place, amount in amounts.items()), "more than the stake is taken"
    assert set(found.outlier_fines) <= set(found.out)
    assert not set(found.weights) & {*found.silent, *found.out, *found.slashes}
