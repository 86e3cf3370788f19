"""Rules C1 to C6, T1 to T7: ten thousand random transactions of every kind, and what must hold whatever happens.

After every commit of these lives all money is counted (`turmoil.Turmoil`), every record is read back within its bounds,
every receipt is added up, and whatever was refused has changed nothing (`refused`).
"""

import itertools
import logging
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from audit_world import flipped, sealed, shown, truth
from committee_world import address
from ledger_world import PlainRule
from replays import USER, answer, drawn, mixing, request, seal, show
from turmoil import MODEST, Turmoil, genesis_of
from turmoil_lives import FLAVOURS, check_receipts, live, replayed
from turmoil_moves import MOVES, anything

from soma_core import chain
from soma_core.api import LedgerContext
from soma_core.chain import lthash, machine, validators
from soma_core.chain.execution import Execution
from soma_core.chain.machine import ACTIONS
from soma_core.crypto import digest
from soma_core.records import unpack
from soma_scoring import Params, balanced, open_rule
from soma_sqlite import SqliteConfig, open_ledger

SEED = 5
EACH = 3_400
"""Transactions of a life: ten thousand in all."""


@cache
def lived(flavour: str) -> Turmoil:
    return live(flavour, SEED, EACH)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_no_money_is_made_or_lost_whatever_happens(flavour: str) -> None:
    world = lived(flavour)
    assert world.tried >= EACH
    assert world.epoch >= 10


def test_everything_that_can_be_done_was_done_and_refused() -> None:
    assert MOVES.keys() == ACTIONS.keys()
    worlds = [lived(flavour) for flavour in FLAVOURS]
    longest = worlds[-1]

    def missing() -> set[tuple[str, bool]]:
        """(kind, whether it was done) of what never was."""
        seen = {(kind, code == "applied") for world in worlds for kind, code in world.seen}
        return {(kind, done) for kind in MOVES for done in (True, False)} - seen

    while missing() and longest.tried < 3 * EACH:  # a canary has to be lucky
        longest.happen(anything)
    assert missing() == set()


@pytest.mark.parametrize("seed", range(3))
def test_an_epoch_whose_end_fails_makes_and_loses_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of an epoch's end fails now and then after it was done, those of safe mode as well."""

    def failing(step: Callable[[Execution], None], name: int) -> Callable[[Execution], None]:
        def done(run: Execution) -> None:
            step(run)
            if digest("soma/chunk", bytes([seed, name]), run.index.to_bytes(8, "big"))[0] < 12:
                raise ZeroDivisionError

        return done

    for way in ("BOUNDARY", "SAFE"):
        monkeypatch.setattr(machine, way, tuple(map(failing, getattr(machine, way), itertools.count())))
    world = Turmoil(genesis=genesis_of({**MODEST, "epoch_ms": 500}), random=Random(seed))
    world.observers.append(check_receipts)
    while world.tried < 600:
        world.happen(anything)
    failed = [
        event.epoch for applied in world.trace for event in applied.events if isinstance(event, chain.BoundaryFailed)
    ]
    assert len(failed) > 1
    assert world.epoch > min(failed)
    world.check_whole()


def test_the_same_history_has_the_same_records_from_genesis_and_from_any_state() -> None:
    world = lived("balanced")
    wanted = [applied.record for applied in world.trace[1:]]
    half = len(world.commits) // 2
    for number, (reader, applied) in enumerate(replayed(world.genesis, world.rule, world.commits)):
        assert applied.record == wanted[number]
        if number + 1 == half:
            later = replayed(world.genesis, world.rule, world.commits[half:], reader, applied.tip)
            assert [after.record for _, after in later] == wanted[half:]


@pytest.mark.parametrize("how", ["closed", "restored"])
def test_a_real_ledger_that_is_closed_or_restored_goes_on_with_the_same_records(tmp_path: Path, how: str) -> None:
    world = lived("soma")
    ledger = opened(tmp_path / "0")
    tip = write(ledger, chain.found(world.genesis, ledger))
    for number, commit in enumerate(world.commits[:200], 1):
        tip = write(ledger, chain.apply(world.genesis, world.rule, ledger, tip, commit))
        assert tip == world.trace[number].tip
        if number % 40 == 0:
            ledger = reopened(ledger, tmp_path / "0") if how == "closed" else restored(ledger, tmp_path / str(number))
            assert lthash.total(ledger.scan(chain.STATE_FLOOR, chain.STATE_CEILING)) == tip.lthash
    ledger.close()


def opened(directory: Path) -> Any:
    """A ledger in a directory of its own."""
    directory.mkdir(exist_ok=True)
    return open_ledger(SqliteConfig(), LedgerContext("ledger-sqlite", directory, logging.getLogger(), "state"))


def reopened(ledger: Any, directory: Path) -> Any:
    ledger.close()
    return opened(directory)


def restored(ledger: Any, directory: Path) -> Any:
    other = opened(directory)
    with ledger.snapshot() as view:
        other.write(dict(view.scan(chain.STATE_FLOOR, chain.STATE_CEILING)))
    ledger.close()
    return other


def write(ledger: Any, applied: chain.Applied) -> chain.Tip:
    ledger.write({name: now for name, (_, now) in applied.changes.items()})
    return applied.tip


# Order. ---------------------------------------------------------------------------------------------------------------

LONG = {"audit_ms": 100_000, "evidence_ms": 200_000, "unbonding_ms": 400_000, "epoch_ms": 1_000_000}


def settled(rule: Any, order: Random) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Four jobs side by side, each step of all of them in one commit, in `order`: the state, and the receipts."""
    world = Turmoil(genesis=genesis_of({**MODEST, **LONG, "beacon_rounds": 4096}), rule=rule)

    def together(items: Iterable[bytes]) -> chain.Applied:
        shuffled = list(items)
        order.shuffle(shuffled)
        return world.step(*shuffled)

    world.announce()
    blobs = [bytes([n]) * 32 for n in range(4)]
    jobs = [chain.job_key(address(USER), blob, nonce) for nonce, blob in enumerate(blobs)]
    together(request(world, nonce=nonce, blob=blob) for nonce, blob in enumerate(blobs))
    voters = world.sitting()
    together(world.transaction(n, "attest_data", chain.AttestData(job)) for job in jobs for n in voters)
    mixing(world)
    pairs = [(job, number) for job in jobs for number in drawn(world, job)]
    said = {pair: flipped(pair[1]) if pair in pairs[::5] else answer(pair[1]) for pair in pairs}
    together(seal(world, *pair, *said[pair]) for pair in pairs)
    together(show(world, *pair, *said[pair]) for pair in pairs)
    mixing(world)
    assert not list(world.state.scan(chain.JOBS))
    while audits := [audit for _, audit in world.state.scan(chain.AUDITS)]:
        words = [(audit.key, auditor.account, truth(audit)) for audit in audits for auditor in audit.panel]
        together(sealed(world, *word) for word in words)
        together(shown(world, *word) for word in words)
    paid = world.step(after=200_000)
    receipts = {event.job: event.receipt for event in paid.events if isinstance(event, chain.Paid)}
    assert receipts.keys() == set(jobs)
    assert any(member.slash for receipt in receipts.values() for member in unpack(chain.JobReceipt, receipt).shard)
    return state_of(world), receipts


def state_of(world: Turmoil) -> dict[bytes, bytes]:
    """All but what is gathered under records: these tell of the order, as they should."""
    tallies = chain.State(world.reader).scan(validators.TALLIES)
    names = {validators.TALLIES.key(name) for name, _ in tallies}
    return {name: value for name, value in world.reader.data.items() if name not in names}


@pytest.mark.parametrize(
    "rule", [PlainRule(), open_rule(Params()), balanced.open_rule(balanced.Params())], ids=FLAVOURS
)
def test_settlement_does_not_depend_on_the_order_inside_a_commit(rule: Any) -> None:
    first = settled(rule, Random(0))
    for seed in range(1, 6):
        assert settled(rule, Random(seed)) == first
