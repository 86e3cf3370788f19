"""What a scoring rule has to show in a simulated economy: ``nox -s economy``.

SOMA_ECONOMY_JOBS: jobs in which no honest encoder may be slashed, 2,000 if it is not set. With it a results file is
written.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

import pytest
import results

from soma_core.testing.economy import Setting, figures

JOBS: Final = int(os.environ.get("SOMA_ECONOMY_JOBS", "0"))
SEED: Final = 0
BALANCED: Final = Setting(seed=SEED, rule="scoring-balanced")

_found: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _written(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep what was found, if all of it held."""
    failed = request.session.testsfailed
    yield
    if JOBS and len(_found) == 5 and request.session.testsfailed == failed:
        results.write("economy", "the figures of scoring-balanced in a simulated economy", SEED, **_found)


def test_hits_stay_within_twice_their_goal_after_a_fourfold_demand() -> None:
    found = figures.steadiness(BALANCED)
    _found["steadiness"] = {
        "within": round(found.within, 4),
        "goal": found.goal,
        "step": found.step,
        "hits": found.hits,
    }
    assert found.within >= 0.95


def test_sixty_of_a_hundred_encoders_share_the_work() -> None:
    found = figures.effective_encoders(BALANCED)
    _found["effective_encoders"] = round(found, 1)
    assert found >= 60


def test_dividing_an_encoder_gains_nothing() -> None:
    """Equal weights are drawn less often; with a little noise, which nobody can refuse, they earn more by luck only."""
    found = [figures.splitting(BALANCED, share, epochs=200 if JOBS else 60) for share in (0.05, 0.2)]
    _found["splitting"] = [one.told() for one in found]
    assert all(one.equal.draws < one.whole.draws for one in found)
    assert not [one for one in found if one.equal.income.exceeds(one.whole.income)]
    assert not [one for one in found if one.noisy.income.exceeds(one.whole.income)]


def test_no_honest_encoder_is_slashed() -> None:
    found = figures.honest_slashes(BALANCED, JOBS or 2_000)
    _found["honest"] = found
    assert found["jobs"] >= (JOBS or 2_000)
    assert (found["slashes"], found["false"]) == (0, 0)


def test_routed_shards_are_a_quarter_better_than_random_ones() -> None:
    found = figures.routing(BALANCED)
    _found["routing"] = {name: round(value, 4) for name, value in found.items()}
    assert found["better"] >= 0.25
