"""Wrong versions of `consensus-dag` are words changed in its files: they must stand there still."""

from dag_mutants import MUTANTS


def test_every_mutant_can_be_planted_and_is_another_program() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40
    planted = {mutant.planted() for mutant in MUTANTS}
    assert len(planted) == len(MUTANTS)
