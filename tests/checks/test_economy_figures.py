"""What the scoring rules have to show in a simulated economy: ``nox -s economy``.

SOMA_ECONOMY_JOBS: jobs in which no honest encoder may be slashed, 2,000 if it is not set. SOMA_ECONOMY_EPOCHS: epochs
of each economy of the table of cheats; without it the economies are short, and none is tried without its defence. With
it a results file is written.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

import pytest
import results
from attrs import evolve

from soma_core.testing.economy import Setting, figures
from soma_core.testing.economy.defences import CASES, Case, table

JOBS: Final = int(os.environ.get("SOMA_ECONOMY_JOBS", "2000"))
EPOCHS: Final = int(os.environ.get("SOMA_ECONOMY_EPOCHS", "0"))
SEED: Final = 0
BALANCED: Final = Setting(seed=SEED, rule="scoring-balanced")
RULES: Final = ("scoring-soma", "scoring-balanced")
PAYS: Final[Mapping[str, frozenset[str]]] = {
    "scoring-soma": frozenset({"garbage optimiser"}),
    "scoring-balanced": frozenset(),
}
"""Cheats that pay, by rule, as the documents say."""

SHORT_RACE: Final = 12
"""Epochs of a short economy whose cheat is a hunter: what hunters earn is far apart."""
SHORT_MARKET: Final = 20
SHORT_JOBS: Final = 16
"""Epochs, and jobs in each, where it is an encoder: after some hundred jobs luck explains little."""

_found: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _written() -> Any:
    """Keep what was found, if it was all looked for."""
    yield
    if EPOCHS and len(_found) == 6:
        what = "cheats against the defences that beat them, and the figures of scoring-balanced, in a simulated economy"
        results.write("economy", what, SEED, epochs=EPOCHS, **_found)


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
    found = [figures.splitting(BALANCED, share, epochs=EPOCHS or 60) for share in (0.05, 0.2)]
    _found["splitting"] = [one.told() for one in found]
    assert all(one.equal.draws < one.whole.draws for one in found)
    assert not [one for one in found if one.equal.income.exceeds(one.whole.income)]
    assert not [one for one in found if one.noisy.income.exceeds(one.whole.income)]


def test_no_honest_encoder_is_slashed() -> None:
    found = figures.honest_slashes(BALANCED, JOBS)
    _found["honest"] = found
    assert found["jobs"] >= JOBS
    assert (found["slashes"], found["false"]) == (0, 0)


def test_routed_shards_are_a_quarter_better_than_random_ones() -> None:
    found = figures.routing(BALANCED)
    _found["routing"] = {name: round(value, 4) for name, value in found.items()}
    assert found["better"] >= 0.25


def without_alternatives(*, racing: bool) -> list[Case]:
    """The cheats that race, or those that encode, as they fare against their defence alone."""
    return [evolve(case, constants={}, parameters={}) for case in CASES if (case.way is not None) is racing]


@pytest.mark.skipif(bool(EPOCHS), reason="the long table has these")
def test_no_cheat_among_encoders_pays() -> None:
    """Both rules judge and pay encoders alike."""
    cases = without_alternatives(racing=False)
    rows = list(table(evolve(BALANCED, jobs=SHORT_JOBS), SHORT_MARKET, cases))
    assert len(rows) == 12
    assert {row.case.name: (row.cheat, row.honest) for row in rows if not row.holds} == {}


@pytest.mark.skipif(bool(EPOCHS), reason="the long table has these")
@pytest.mark.parametrize("rule", RULES)
def test_no_cheat_in_the_race_pays_but_those_that_the_documents_name(rule: str) -> None:
    rows = list(table(Setting(seed=SEED, rule=rule), SHORT_RACE, without_alternatives(racing=True)))
    assert len(rows) == 5
    assert {row.case.name for row in rows if not row.holds} == PAYS[rule]


@pytest.mark.skipif(not EPOCHS, reason="a long run of its own: nox -s economy -- JOBS EPOCHS")
def test_each_cheat_against_the_defence_that_beats_it() -> None:
    rows = {rule: list(table(Setting(seed=SEED, rule=rule), EPOCHS)) for rule in RULES}
    _found["cheats"] = {rule: [row.told() for row in found] for rule, found in rows.items()}
    paying = {rule: {row.case.name for row in found if not row.holds} for rule, found in rows.items()}
    assert paying == PAYS
