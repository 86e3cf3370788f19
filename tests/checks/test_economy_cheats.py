"""Every cheat against its defence, in short simulated economies: ``nox -s economy``. ``-- JOBS EPOCHS``: long ones."""

from typing import Final

import pytest
from attrs import evolve

from soma_core.testing.economy import Setting
from soma_core.testing.economy.defences import CASES, Case, table

RACE: Final = 12
"""Epochs of an economy whose cheat is a hunter: what hunters earn is far apart."""
MARKET: Final = 20
JOBS: Final = 16
"""Epochs, and jobs in each, where it is an encoder: after some hundred jobs luck explains little."""


def without_alternatives(*, racing: bool) -> list[Case]:
    """The cheats that race, or those that encode, as they fare against their defence alone."""
    return [evolve(case, constants={}, parameters={}) for case in CASES if (case.way is not None) is racing]


def test_no_cheat_among_encoders_pays() -> None:
    """Both rules judge and pay encoders alike."""
    cases = without_alternatives(racing=False)
    rows = list(table(Setting(rule="scoring-balanced", jobs=JOBS), MARKET, cases))
    assert len(rows) == 12
    assert {row.case.name: (row.cheat, row.honest) for row in rows if not row.holds} == {}


@pytest.mark.parametrize("rule", ["scoring-soma", "scoring-balanced"])
def test_no_cheat_in_the_race_pays_but_those_that_the_rule_lacks_a_defence_for(rule: str) -> None:
    rows = list(table(Setting(rule=rule), RACE, without_alternatives(racing=True)))
    assert len(rows) == 5
    assert {row.case.name for row in rows if not row.holds} == {c.name for c in CASES if rule in c.lacking}
