"""How the figures and the table of cheats are made: small ones here, those that count by ``nox -s economy``."""

from math import inf

import pytest

from soma_core.testing.economy import Account, Income, Report, Setting, defences, figures
from soma_core.testing.economy.figures import Steadiness


def test_so_many_alike_count_as_so_many() -> None:
    assert figures.perplexity([5, 5, 5, 5]) == pytest.approx(4)
    assert figures.perplexity([7, 0, 0]) == pytest.approx(1)
    assert 2 < figures.perplexity([8, 1, 1, 1]) < 4


def test_hits_are_steady_within_twice_and_half_of_the_goal_after_the_third_epoch() -> None:
    assert Steadiness(hits=(0, 0, 0, 24, 12, 48, 49, 11), step=4, goal=24).within == 3 / 5


def test_distance_over_stake_gives_the_work_to_few_and_the_tilted_draw_to_many() -> None:
    found = {
        rule: figures.effective_encoders(Setting(rule=rule), encoders=40, points=300)
        for rule in ("scoring-soma", "scoring-balanced")
    }
    assert found["scoring-soma"] < 12
    assert found["scoring-balanced"] > 24


def test_a_row_says_what_the_cheat_earns_and_what_it_would_without_the_defence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defences, "BEFORE", 0)
    named = {case.name: case for case in defences.CASES}
    chosen = [named[name] for name in ("copier of answers", "loss liar", "made-up hit")]
    told: list[str] = []
    rows = list(defences.table(Setting(rule="scoring-balanced", jobs=2), 2, chosen, told.append))
    assert told == [row.case.name for row in rows] == [case.name for case in chosen]
    copier, liar, maker = rows
    assert copier.without is None
    assert copier.seen["silent"] == copier.seen["draws"] > 0
    assert copier.cheat.mean < 0 <= copier.honest.mean
    assert copier.holds
    assert liar.without is not None
    assert maker.without is not None
    assert maker.seen["false"] > 0
    assert maker.cheat.mean < 0 < maker.without.mean
    assert maker.told()["defence"] == "re-execution by auditors"
    assert maker.holds


def test_an_income_exceeds_another_where_luck_does_not_explain_it() -> None:
    assert Income(4.0, 0.3).exceeds(Income(2.0, 0.4))
    assert not Income(3.4, 0.3).exceeds(Income(2.0, 0.4))
    assert not Income(3.4, inf).exceeds(Income(2.0, 0.0))


def test_an_income_is_of_the_epochs_after_the_first_fifth() -> None:
    accounts = tuple(
        Account(name=name, what="encoder", earned=earned, seen={})
        for name, earned in (("one", (9.0, 10.0, 12.0, 15.0, 16.0)), ("other", (0.0, 1.0, 1.0, 1.0, 2.0)))
    )
    report = Report(
        setting=Setting(),
        epochs=5,
        accounts=accounts,
        hits=(),
        settled=0,
        refunded=0,
        refused={},
        commits=0,
        transactions=0,
        cpu_ms=0,
    )
    assert report.income(["one", "other"]) == Income(2.25, 0.25)  # 2, 2, 3, 2


def test_every_cheat_of_the_cast_has_its_row() -> None:
    from soma_core.testing.economy import cheats, hunters

    named = [case.name for case in defences.CASES]
    assert set(cheats(Setting().source)) == {case.name for case in defences.CASES if case.way is None}
    assert {hunter.way for hunter in hunters()} - {"honest"} == {case.way for case in defences.CASES if case.way}
    assert len(set(named)) == len(named)
