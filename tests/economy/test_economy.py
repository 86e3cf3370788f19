"""The simulated economy: the real chain pays the honest and not the others, and a seed is the same run."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from soma_core.cli import main
from soma_core.genesis import SHANNONS
from soma_core.testing.economy import Hunter, Seat, Setting, cheats, everybody, honest, hunters, simulate
from soma_core.testing.economy.models import specialist

RULES = ("scoring-soma", "scoring-balanced")


def seats(setting: Setting, *names: str) -> list[Seat]:
    """Two specialists of each kind, two generalists, and cheats."""
    return [*honest(2), *(seat for name in names for seat in cheats(setting.source)[name])]


def losses(found: Sequence[Seat]) -> list[str]:
    return [seat.name for seat in found if seat.seen["slashes"]]


@pytest.mark.parametrize("rule", RULES)
def test_a_seed_is_the_same_run(rule: str) -> None:
    """Supply is checked by the chain itself in every commit."""
    setting = Setting(seed=3, rule=rule, jobs=2)
    told = [simulate(setting, seats(setting, "loss liar"), [Hunter("h", tries=100)], epochs=2).told() for _ in range(2)]
    assert told[0] == told[1]
    assert told[0]["jobs"]["settled"] == 4
    assert json.loads(json.dumps(told[0])) == told[0]


@pytest.mark.parametrize("rule", RULES)
def test_liars_lose_and_the_honest_do_not(rule: str) -> None:
    """Where every winner is audited a lie about the loss never pays."""
    setting = Setting(rule=rule, jobs=4, parameters={"pot": 20 * 10**9})
    cast = seats(setting, "loss liar", "lazy")
    report = simulate(setting, cast, epochs=4)
    assert set(losses(cast)) == {"loss_liar", "lazy"}
    assert report.of("loss_liar").total < 0
    assert report.of("lazy").total < 0
    assert sum(report.of(name).total for name in ("text0", "code0", "image0", "sound0")) > 0


def test_who_copies_an_answer_cannot_show_it() -> None:
    setting = Setting(jobs=3)
    cast = seats(setting, "copier of answers")
    report = simulate(setting, cast, epochs=2)
    copier = report.of("answer_copier")
    assert copier.seen["silent"] == copier.seen["draws"] > 0
    assert report.refused["reveal_embedding: seal"] == copier.seen["draws"]
    assert copier.total < 0


def test_the_race_pays_hunters_and_nobody_else() -> None:
    """Whoever sealed first hits: what a front-runner has seen shown was sealed before. False hits are found."""
    setting = Setting(jobs=1)
    racing = [
        Hunter("hunter", tries=600),
        Hunter("runner", "front-runner"),
        Hunter("liar", "made-up hit"),
        Hunter("withholder", "withholder", tries=600),
    ]
    report = simulate(setting, seats(setting), racing, epochs=3)
    by_name = {hunter.name: hunter for hunter in racing}
    assert report.of("hunter").total > 0
    assert by_name["runner"].seen["sealed"] > 0
    assert by_name["runner"].seen["hits"] == 0
    assert by_name["liar"].seen["false"] > 0
    assert by_name["liar"].seen["claimed"] == 0
    assert max(report.of(name).total for name in ("runner", "liar", "withholder")) < 0


def test_everybody_is_told_apart() -> None:
    setting = Setting()
    names = [one.name for one in (*everybody(setting.source), *hunters())]
    assert len(set(names)) == len(names)


def test_command_prints_draws_and_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = tmp_path / "economy.png"
    assert main(["simulate", "economy", "--epochs", "1", "--jobs", "1", "--png", str(drawn), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["rule"] == "scoring-balanced"
    assert {"loss_liar", "front_runner", "text0"} <= {one["name"] for one in told["accounts"]}
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert str(drawn) in err
    assert main(["simulate", "economy", "--epochs", "1", "--jobs", "1", "--rule", "scoring-soma"]) == 0
    assert "scoring-soma, seed 0: 1 epochs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--rule", "ledger-sqlite"], "ledger-sqlite scores nothing"),
        (["--epochs", "1", "--jobs", "1", "--png", "/nonexistent/a.png"], "/nonexistent/a.png"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "economy", *arguments]) == 2
    assert what in capsys.readouterr().err


def test_two_versions_share_the_work_as_their_stakes_do_until_one_is_seen_to_be_better() -> None:
    """What an operator does who tries new weights beside the present ones: both registered, each with a stake."""
    draws = {}
    for name, worse in (("alike", 0.0), ("worse", 3.0)):
        setting = Setting(seed=1, jobs=24, kinds=("text",), parameters={"shard_size": 2, "emission": 0})
        present = Seat("present", specialist(1, "text"), stake=3_000 * SHANNONS)
        new = Seat("new", specialist(2, "text", worse), stake=1_000 * SHANNONS)
        others = [Seat(f"other{place}", specialist(3 + place, "text"), stake=3_000 * SHANNONS) for place in range(4)]
        simulate(setting, [present, new, *others], epochs=6)
        draws[name] = new.seen["draws"] / present.seen["draws"]
    assert 0.15 < draws["alike"] < 0.7, "a third, and luck of some thirty draws"
    assert draws["worse"] < 0.75 * draws["alike"]
