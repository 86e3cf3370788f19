"""The suite that holds scoring rules to their contract notices what breaks it."""

import random
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from soma_core.api import Answer, Difficulty, Limits, Payment, Settlement
from soma_core.api.fixed import quantise
from soma_core.testing import ScoringSuite
from soma_core.testing.component import component
from soma_core.testing.scoring import check_settlement, check_targets, fingerprint
from soma_scoring import Params, open_rule

POT = 10**9


def shard() -> list[Answer]:
    rng = np.random.default_rng(3)
    return [
        Answer(
            encoder=bytes([n]) * 32,
            stake=10**12,
            registered=n,
            opaque=False,
            own=True,
            gate=131072,
            loss=100_000 + 20_000 * n,
            vector=quantise(rng.normal(size=8) + 2) if n else None,
        )
        for n in range(4)
    ]


def settled() -> Settlement:
    return open_rule(Params()).settle(POT, shard(), [])


def test_a_settlement_of_the_rule_passes() -> None:
    check_settlement(settled(), POT, shard())
    assert settled().fines == {0: POT // 10, 3: POT // 10}


@pytest.mark.parametrize(
    "changed",
    [
        {"payments": (Payment(1, POT - 1, "won"),)},
        {"payments": (Payment(1, POT + 1, "won"), Payment("submitter", -1, "refund"))},
        {"payments": (Payment(1, float(POT), "won"),)},
        {"payments": (Payment(4, POT, "won"),)},
        {"payments": (Payment(1, POT, ""),)},
        {"outcome": "refunded"},
        {"vector": None},
        {"vector": np.ones(8, np.int16)},
        {"vector": np.full(8, 4096.0)},
        {"weights": {1: 65535}},
        {"weights": {0: 65536}},
        {"weights": {1: 65537, 2: -1}},
        {"weights": {1: 65536.0}},
        {"winner": 9},
        {"winner": 0},
        {"silent": (0, 0)},
        {"fines": {0: 10**13}},
        {"fines": {0: -1}},
        {"gates": {1: 0.5}},
        {"outlier_fines": {1: 1}},
        {"out": (3,), "outlier_fines": {3: 10**13}},
        {"reexecute": (7,)},
    ],
    ids=str,
)
def test_a_broken_settlement_is_noticed(changed: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        check_settlement(evolve(settled(), **changed), POT, shard())


class Targets:
    """Targets as plain as can be: a point of the beacon's bytes, the nearest by distance, a radius by a step."""

    def point(self, beacon: bytes, observed: Sequence[Any]) -> Any:
        return quantise(np.random.default_rng(list(beacon)).normal(size=len(observed[0])))

    def assign(
        self, points: Sequence[Any], positions: Sequence[Any], stakes: Sequence[int], k: int
    ) -> list[tuple[int, ...]]:
        near = [[-int(point.astype(np.int64) @ place.astype(np.int64)) for place in positions] for point in points]
        return [tuple(sorted(range(len(away)), key=lambda place: (away[place], place))[:k]) for away in near]

    def start(self, observed: Sequence[Any]) -> Difficulty:
        return Difficulty(1 << 15)

    def radius(self, old: Difficulty, hits: int, goal: int, observed: Sequence[Any]) -> Difficulty:
        return Difficulty(min(2 << 16, max(0, old.radius + (goal > hits) - (goal < hits))))

    def limits(self, point: Any, difficulty: Difficulty, observed: Sequence[Any], losses: Sequence[int]) -> Limits:
        return Limits(difficulty.radius, max(losses))

    def bond(self, reward: int, size: int) -> int:
        return reward + size


def test_targets_that_are_some_pass() -> None:
    check_targets(Targets())


@pytest.mark.parametrize(
    ("method", "lie"),
    [
        ("point", lambda beacon, observed: observed[0]),
        ("point", lambda beacon, observed: Targets().point(beacon, observed).astype(np.float32)),
        ("point", lambda beacon, observed: np.ones(len(observed[0]), np.int16)),
        ("point", lambda beacon, observed: Targets().point(secrets.token_bytes(32), observed)),
        ("assign", lambda points, positions, stakes, k: [(0,) * min(k, len(positions)) for _ in points]),
        ("assign", lambda points, positions, stakes, k: [tuple(range(k)) for _ in points]),
        ("assign", lambda points, positions, stakes, k: [tuple(random.sample(range(7), min(k, 7))) for _ in points]),
        ("assign", lambda points, positions, stakes, k: [tuple(range(min(k, 7))) for _ in points]),
        ("assign", lambda points, *given: Targets().assign(points, *given)[::-1]),
        ("start", lambda observed: Difficulty(secrets.randbelow(1 << 16))),
        ("start", lambda observed: Difficulty(1 << 18)),
        ("radius", lambda old, hits, goal, observed: Difficulty(old.radius * goal / max(hits, 1))),
        ("radius", lambda old, hits, goal, observed: Difficulty(old.radius + hits - goal)),
        ("radius", lambda old, hits, goal, observed: Difficulty(old.radius * goal // max(hits, 1))),
        ("radius", lambda old, hits, goal, observed: Difficulty(max(0, old.radius - hits))),
        ("radius", lambda old, hits, goal, observed: Difficulty(Targets().radius(old, hits, goal, ()).radius, -1)),
        ("limits", lambda point, difficulty, observed, losses: Limits(difficulty.radius, -1)),
        ("limits", lambda point, difficulty, observed, losses: Limits(difficulty.radius, max(losses) / 1)),
        ("limits", lambda point, difficulty, observed, losses: Limits(1 << 18, 0)),
        ("bond", lambda reward, size: reward - size),
        ("bond", lambda reward, size: size / 2),
    ],
    ids=str,
)
def test_targets_that_are_none_are_noticed(method: str, lie: Callable[..., object]) -> None:
    targets = Targets()
    setattr(targets, method, lie)
    with pytest.raises(AssertionError):
        check_targets(targets)


def test_a_feature_declared_and_absent_is_noticed_and_so_is_one_that_is_not_declared() -> None:
    chosen = component("scoring-soma")
    suite = ScoringSuite()
    rule = open_rule(Params())
    suite.test_features_are_those_declared(chosen, rule)
    without = SimpleNamespace(draw=rule.draw, settle=rule.settle)
    with pytest.raises(AssertionError):
        suite.test_features_are_those_declared(chosen, without)
    silent = evolve(chosen, spec=evolve(chosen.spec, features=frozenset()))
    suite.test_features_are_those_declared(silent, without)
    with pytest.raises(AssertionError):
        suite.test_features_are_those_declared(silent, rule)


def test_a_fingerprint_is_that_of_the_rule() -> None:
    assert fingerprint("scoring-soma") == fingerprint("scoring-soma")
    assert len(fingerprint("scoring-soma")) == 128


@pytest.mark.parametrize("module", ["soma_scoring", "soma_scoring.balanced"])
def test_importing_the_plugin_imports_no_numpy(module: str) -> None:
    code = f"import sys, {module}; {module}.soma_scoring(); sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
