"""When a validator hurries its engine on: while somebody waits for commits, whatever is in them."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
from driver_world import InlineThread

from soma_core import chain
from soma_core.node.validating import Validating

JOB = b"j" * 32


class Chain:
    """As much of a store as is looked at."""

    def __init__(self, *stages: str) -> None:
        self.proved = 0
        self.jobs = [(bytes([place]) * 32, SimpleNamespace(stage=stage)) for place, stage in enumerate(stages)]

    def read(self, look: Any) -> Any:
        return look(SimpleNamespace(scan=lambda _table: iter(self.jobs)))


def validating(store: Chain) -> Validating:
    nobody: Any = None
    return Validating(store, InlineThread(), nobody, nobody, nobody, nobody)  # type: ignore[arg-type]  # never asked here


def applied(index: int, *events: Any) -> Any:
    return SimpleNamespace(record=SimpleNamespace(index=index), events=events)


def test_nothing_hurries_where_no_job_is() -> None:
    validator = validating(Chain())
    validator.note(applied(1, chain.EpochBegan(1), chain.TransactionDone(JOB, "applied", "", "")))
    assert not validator.hurries


@pytest.mark.parametrize("stage", ["attesting", "committing", "revealing"])
def test_a_new_stage_hurries_until_a_quorum_has_signed_it(stage: str) -> None:
    store = Chain()
    validator = validating(store)
    validator.note(applied(4, chain.JobChanged(JOB, stage)))
    assert validator.hurries
    store.proved = 3
    assert validator.hurries
    store.proved = 4
    assert not validator.hurries


@pytest.mark.parametrize("stage", ["drawing", "closing"])
def test_a_job_that_waits_for_randomness_hurries_until_it_has_it(stage: str) -> None:
    store = Chain()
    validator = validating(store)
    validator.note(applied(4, chain.JobChanged(JOB, stage)))
    store.proved = 9
    assert validator.hurries
    validator.note(applied(9, chain.Settled(JOB, "settled", b"")))
    assert not validator.hurries


async def test_jobs_that_were_open_at_the_start_hurry_as_well(autojump_clock: Any) -> None:
    for stages, hurries in ((("committing", "drawing"), True), (("committing", "revealing"), False)):
        validator = validating(Chain(*stages))
        with trio.move_on_after(1):
            await validator.run()
        assert validator.hurries is hurries
