"""Every cheat with its defence and without, in long simulated economies: ``nox -s economy -- JOBS EPOCHS``.

SOMA_ECONOMY_EPOCHS: epochs of each, 120 if it is not set. Writes ``specs/results/economy-cheats.json``.
"""

import os
from typing import Final

import results

from soma_core.testing.economy import Setting
from soma_core.testing.economy.defences import CASES, table

EPOCHS: Final = int(os.environ.get("SOMA_ECONOMY_EPOCHS", "120"))
SEED: Final = 0
RULES: Final = ("scoring-soma", "scoring-balanced")


def test_each_cheat_against_the_defence_that_beats_it() -> None:
    rows = {rule: list(table(Setting(seed=SEED, rule=rule), EPOCHS)) for rule in RULES}
    paying = {rule: {row.case.name for row in found if not row.holds} for rule, found in rows.items()}
    assert paying == {rule: {case.name for case in CASES if rule in case.lacking} for rule in RULES}
    told = {rule: [row.told() for row in found] for rule, found in rows.items()}
    what = "cheats against the defences that beat them, in a simulated economy"
    results.write("economy-cheats", what, SEED, epochs=EPOCHS, cheats=told)
