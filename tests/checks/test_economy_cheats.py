"""Every cheat against the defence that beats it, in a simulated economy, for both scoring rules: ``nox -s economy``.

SOMA_ECONOMY_EPOCHS: epochs of each economy; without it the economies are short, and none is tried without its defence.
With it a results file is written.
"""

import os
from collections.abc import Mapping
from typing import Final

import pytest
import results
from attrs import evolve

from soma_core.testing.economy import Setting
from soma_core.testing.economy.defences import CASES, Case, table

EPOCHS: Final = int(os.environ.get("SOMA_ECONOMY_EPOCHS", "0"))
SEED: Final = 0
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


def without_alternatives(*, racing: bool) -> list[Case]:
    """The cheats that race, or those that encode, as they fare against their defence alone."""
    return [evolve(case, constants={}, parameters={}) for case in CASES if (case.way is not None) is racing]


@pytest.mark.skipif(bool(EPOCHS), reason="the long table has these")
def test_no_cheat_among_encoders_pays() -> None:
    """Both rules judge and pay encoders alike."""
    cases = without_alternatives(racing=False)
    rows = list(table(Setting(seed=SEED, rule="scoring-balanced", jobs=SHORT_JOBS), SHORT_MARKET, cases))
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
    told = {rule: [row.told() for row in found] for rule, found in rows.items()}
    what = "cheats against the defences that beat them, in a simulated economy"
    results.write("economy-cheats", what, SEED, epochs=EPOCHS, cheats=told)
    paying = {rule: {row.case.name for row in found if not row.holds} for rule, found in rows.items()}
    assert paying == PAYS
