"""A validator that dies at each write of its ledgers keeps what it promised; and the trial notices one that does not.

Transfers, a job from request to receipt, one that nobody answers, checkpoints and the end of an epoch lie between the
first write and the last. A follower dies at its writes, too.
``nox -s power`` tries every way of dying, and dying again while recovering, by the hundred.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import count, takewhile
from random import Random
from typing import Any

import pytest
from crash_world import BrokenPromiseError, Ending, story
from driver_world import InlineThread, Setting, drive, quiet
from ledger_world import key

from soma_core import api, chain
from soma_core.crypto import signing_digest
from soma_core.node._recorder import Recorder, Writer
from soma_core.node._shell import Shell
from soma_core.node.applying import Applying
from soma_core.node.backing import Backing
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source
from soma_core.node.store import COMMITS, TIP, Store, key_of, pack_commit
from soma_core.testing import fault_ledger
from soma_core.testing.fault_ledger import DEATHS, Death, FaultLedger, Machine

SHORT, LONG = 50, 10_000
"""Milliseconds: within every deadline of a job, and beyond all."""


def at_every_write(how: Death, away: int, first: int = 1, step: int = 1) -> Iterator[Ending]:
    """A story for each write there is, or each of a stride."""
    return takewhile(lambda ending: ending.struck, (story((at, how), away=away) for at in count(first, step)))


# Every write is met once with the batch gone and once with it there. Writes come in threes, so strides of two meet
# every kind.
@pytest.mark.parametrize(
    ("how", "first", "away", "jobs"),
    [
        ("before", 1, LONG, {"settled", "refunded"}),
        ("after", 1, SHORT, {"settled"}),
        ("refused", 2, SHORT, {"settled"}),
        ("unsure", 2, LONG, {"settled", "refunded"}),
    ],
)
def test_a_death_at_any_write_breaks_no_promise(how: Death, first: int, away: int, jobs: set[str]) -> None:
    endings = list(at_every_write(how, away, first, 2))
    assert len(endings) >= 15
    assert {ending.struck for ending in endings} == {("chain",), ("consensus",)}
    assert {ending.job for ending in endings} == jobs


def test_dying_again_while_recovering_breaks_no_promise() -> None:
    died = 0
    for seed in range(6):
        random = Random(seed)
        died += len(story(*((random.randrange(1, 10), random.choice(DEATHS)) for _ in range(3))).struck)
    assert died > 9


@pytest.mark.parametrize("how", ["before", "unsure"])
async def test_a_follower_that_dies_at_any_write_comes_to_the_same_state(how: Death, autojump_clock: Any) -> None:
    setting, thread = Setting(), InlineThread()
    leader = await drive(setting, 2, [], feed=2)
    for index in range(1, leader.tip.index + 1):
        record = leader.record(index)
        assert record is not None
        signed = signing_digest("soma/checkpoint", leader.genesis.chain, record.epoch, chain.record_digest(record))
        leader.backing.keep(index, ((0, key(100).sign(signed)),))
    entries = list(await Source(leader, thread, Hub()).entries(1, 256, 1 << 19))  # type: ignore[arg-type]

    async def live(machine: Machine) -> Store:
        store = Store(leader.genesis, setting.world.rule, machine.open("chain"))
        following = Following(Applying(store, thread, quiet), lambda: False)  # type: ignore[arg-type]  # the same calls, in this thread
        await following.apply([entry for entry in entries if entry.index >= following.next()])
        return store

    writes = 1 + 2 * leader.tip.index  # the founding; of each commit the state, and what its signatures prove
    spared = Machine()
    spared.die(writes + 1, how)
    await live(spared)
    for at in range(1, writes + 1):
        machine = Machine()
        machine.die(at, how)
        with pytest.raises(OSError, match="planned"):
            await live(machine)
        machine.restart()
        store = await live(machine)
        assert (store.tip, store.entries()) == (leader.tip, leader.entries())
        assert store.proved >= leader.tip.index - 1  # the last signatures may be lost; those of a later commit serve


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


def test_notices_a_tip_that_is_shown_before_it_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(self: Store, commit: api.Commit, _proved: object = None) -> chain.Applied:
        applied = chain.apply(self.genesis, self._rule, self._ledger, self.tip, commit)
        self.tip = applied.tip
        self._write(applied, {key_of(COMMITS, commit.index): pack_commit(commit)})
        return applied

    monkeypatch.setattr(Store, "apply", apply)
    with pytest.raises(BrokenPromiseError, match="lost: the node had shown"):
        list(at_every_write("refused", SHORT))


def test_notices_a_checkpoint_that_is_shown_before_it_is_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Backing.keep

    def keep(self: Backing, index: int, signatures: tuple[tuple[int, bytes], ...]) -> None:
        self.proved = max(self.proved, index)
        real(self, index, signatures)

    monkeypatch.setattr(Backing, "keep", keep)
    with pytest.raises(BrokenPromiseError, match="lost: the node had shown"):
        list(at_every_write("before", SHORT))


def test_notices_a_driver_that_delivers_before_it_persists(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Recorder.put
    behind: dict[Recorder, list[Mapping[bytes, bytes | None]]] = {}

    def put(self: Recorder, writer: Writer, barrier: int, values: Mapping[bytes, bytes | None]) -> int:
        waiting = behind.setdefault(self, [])
        while waiting:
            real(self, Deaf(), 0, waiting.pop())
        waiting.append(values)
        writer.recorded(barrier, 0)
        return 0

    monkeypatch.setattr(Recorder, "put", put)
    with pytest.raises(BrokenPromiseError, match="lost: commit 1 was applied before its order was on disk"):
        story()


class Deaf:
    """Wants nothing to be said."""

    def recorded(self, barrier: int, size: int) -> None:
        pass


def test_notices_an_order_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Shell.run

    async def run(self: Shell, _records: Mapping[bytes, bytes], applied: int) -> None:
        await real(self, {}, applied)

    monkeypatch.setattr(Shell, "run", run)
    with pytest.raises(BrokenPromiseError, match="was ordered"):
        list(at_every_write("before", LONG))
