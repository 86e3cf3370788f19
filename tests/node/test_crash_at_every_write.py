"""A validator that dies at each write of its ledgers keeps what it promised; and the trial notices one that does not.

Transfers, a job from request to receipt, checkpoints and the end of an epoch lie between the first write and the last.
``nox -s power`` tries every way of dying, and dying again while recovering, by the hundred.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count, takewhile
from random import Random

import pytest
from crash_world import BrokenPromiseError, Ending, story

from soma_core.node.store import TIP
from soma_core.testing import fault_ledger
from soma_core.testing.fault_ledger import DEATHS, Death, FaultLedger, Machine

LONG = 200_000
"""Milliseconds after which every deadline of a job is over."""


def at_every_write(how: Death, away: int) -> Iterator[Ending]:
    """A story for each write there is."""
    return takewhile(lambda ending: ending.struck, (story((at, how), away=away) for at in count(1)))


@pytest.mark.parametrize(
    ("how", "away", "jobs"), [("before", LONG, {"settled", "refunded"}), ("unsure", 10_000, {"settled"})]
)
def test_a_death_at_any_write_breaks_no_promise(how: Death, away: int, jobs: set[str]) -> None:
    endings = list(at_every_write(how, away))
    assert len(endings) >= 15
    assert {ending.struck for ending in endings} == {("chain",), ("consensus",)}
    assert {ending.job for ending in endings} == jobs


def test_dying_again_while_recovering_breaks_no_promise() -> None:
    died = 0
    for seed in range(8):
        random = Random(seed)
        died += len(story(*((random.randrange(1, 10), random.choice(DEATHS)) for _ in range(3))).struck)
    assert died > 12


# The trial notices. ---------------------------------------------------------------------------------------------------


def late(real: Callable[..., None]) -> Callable[..., None]:
    """A disk that says it has what it will have after the next write."""
    held: dict[tuple[Machine, str], Callable[[dict[bytes, bytes]], None]] = {}

    def store(self: Machine, name: str, change: Callable[[dict[bytes, bytes]], None]) -> None:
        before = held.pop((self, name), lambda _stored: None)
        held[self, name] = change
        real(self, name, before)

    return store


def test_notices_a_ledger_that_acknowledges_what_is_not_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Machine, "store", late(Machine.store))
    with pytest.raises(BrokenPromiseError, match="lost"):
        list(at_every_write("before", LONG))


def test_notices_a_commit_in_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FaultLedger.write

    def write(self: FaultLedger, batch: Mapping[bytes, bytes | None]) -> None:
        if TIP in batch:
            real(self, {TIP: batch[TIP]})
        real(self, batch)

    monkeypatch.setattr(FaultLedger, "write", write)
    with pytest.raises(BrokenPromiseError, match="crash"):
        list(at_every_write("after", LONG))


def test_notices_a_node_that_goes_on_after_a_failed_write(monkeypatch: pytest.MonkeyPatch) -> None:
    real = FaultLedger.write

    def write(self: FaultLedger, batch: Mapping[bytes, bytes | None]) -> None:
        with suppress(OSError):
            real(self, batch)
        fault_ledger._apply(self._seen, batch)

    monkeypatch.setattr(FaultLedger, "write", write)
    with pytest.raises(BrokenPromiseError, match="went on"):
        list(at_every_write("refused", LONG))
