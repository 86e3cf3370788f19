"""A validator that dies at every write in every way, and again while it recovers, by the thousand.

``nox -s power`` runs it and writes ``specs/results/power-loss-node.json``.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from random import Random
from typing import Any

import pytest
from crash_world import BrokenPromiseError, story
from results import write

from soma_core.testing.fault_ledger import DEATHS, Death

SEED = 20_261_121
STORIES = 1_000
"""Of up to three deaths, besides those that die once: at each write, in each way."""


AWAY = (50, 800, 10_000)
"""Milliseconds until it is up again: within a job's deadlines, beyond some, beyond all."""


def at_every_write(how: Death, endings: Counter[str]) -> Iterable[str]:
    """A verdict for each write there is, and each time away."""
    for away in AWAY:
        for at in count(1):
            try:
                ending = story((at, how), away=away)
            except BrokenPromiseError as error:
                yield error.verdict
                continue
            if not ending.struck:
                break
            endings[ending.job] += 1
            yield "held"


def again_and_again(endings: Counter[str]) -> Iterable[str]:
    """A verdict for each story of up to three deaths, the later ones early in a life, which is when it recovers."""
    for seed in range(SEED, SEED + STORIES):
        random = Random(seed)
        planned = [(random.randrange(1, most), random.choice(DEATHS)) for most in (20, 8, 8)]
        try:
            ending = story(*planned, away=random.choice(AWAY))
        except BrokenPromiseError as error:
            yield error.verdict
        else:
            endings[ending.job] += 1
            endings.update(f"died at a write of {ledger}" for ledger in ending.struck)
            yield "held"


def row(fault: str, trial: Callable[[Counter[str]], Iterable[str]]) -> dict[str, Any]:
    """One line of the table."""
    endings: Counter[str] = Counter()
    found = Counter(trial(endings))
    broken = {name: found[name] for name in ("lost", "double", "crash")}
    return {"fault": fault, "tried": found.total(), **broken, "endings": dict(sorted(endings.items()))}


def test_no_death_of_a_validator_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row(f"{how}: at every write", partial(at_every_write, how)) for how in DEATHS]
    rows.append(row("any of them: up to three times", again_and_again))
    with capsys.disabled():
        print(*rows, sep="\n")  # noqa: T201  # the table is what the session is run for
    write(
        "power-loss-node",
        "a validator in virtual time that dies at writes of its ledgers, is away, and recovers: the power goes before "
        "the write or after it, the write is refused, or it is unsure whether it is on disk",
        SEED,
        faults=rows,
    )
    assert [line for line in rows if line["lost"] or line["double"] or line["crash"]] == []
    assert all(line["tried"] >= 15 and line["endings"]["settled"] and line["endings"]["refunded"] for line in rows)
