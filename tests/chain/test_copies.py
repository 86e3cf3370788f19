"""Rules L18 to L24: copies are refused, and encoders that validators report (``specs/15-encoders.md``)."""

from collections.abc import Callable
from typing import Any

import pytest
import replays
from attrs import evolve
from audit_world import audit_of, audited, claims, deliver, hear, pay_day
from committee_world import Committee, account, address
from replays import answer

from soma_core import chain
from soma_core.chain import copies, objections
from soma_core.chain.copies import COPY_JOBS, Pair

Answer = tuple[int, bytes]


def world_of(**changes: int) -> Committee:
    """All four encoders answer each job, whose winner is audited."""
    return audited(**{"pot": 10**9, "shard_size": 4, **changes})


def copying(number: int) -> Answer:
    """The encoder of key 3 has the weights of that of key 1, and says so little as to be another loss."""
    return (number << 16, answer(1 if number == 3 else number)[1])


def round_of(
    world: Committee, nonce: int, honestly: Callable[[int], Answer] = copying, says: str = "honest"
) -> tuple[bytes, set[int]]:
    """A job from request to payment, of whose answers every auditor says this. Returns it, and who was audited."""
    job, shard = deliver(world, nonce=nonce, honestly=honestly)
    audited_: set[int] = set()
    while world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
        audit = audit_of(world, job)
        audited_ |= {shard[item.member] for item in audit.items}
        results = (
            claims(audit)
            if says == "honest"
            else tuple(chain.Result(loss=99 << 16, vector=r.vector) for r in claims(audit))
        )
        hear(world, job, {auditor.account: results for auditor in audit.panel})
    pay_day(world, job)
    return job, audited_


def pairs(world: Committee) -> list[tuple[bytes, Pair]]:
    return list(world.state.scan(copies.PAIRS))


def until(world: Committee, number: int) -> int | None:
    return world.state.need(chain.ENCODERS, address(number)).until


def test_who_answers_as_earlier_weights_do_is_audited_with_them_and_drawn_no_more() -> None:
    world = world_of()
    for nonce in range(COPY_JOBS):
        round_of(world, nonce)
    ((name, pair),) = pairs(world)
    assert name == address(1) + address(3)
    assert (pair.first, pair.second, pair.near, pair.far) == (0, 2, COPY_JOBS, 0)
    stakes = [chain.stake_of(world.state, address(number)) for number in (1, 3)]
    assert until(world, 3) is None
    _, seen = round_of(world, COPY_JOBS)
    assert {1, 3} <= seen
    assert (until(world, 1), until(world, 3)) == (None, world.epoch + 1)
    assert pairs(world) == []
    now = [chain.stake_of(world.state, address(number)) for number in (1, 3)]
    assert now >= stakes  # it costs no stake


def test_who_is_found_false_in_that_job_has_nobody_refused() -> None:
    """Else one could answer what a later encoder will, and be rid of it."""
    world = world_of()
    for nonce in range(COPY_JOBS):
        round_of(world, nonce)
    round_of(world, COPY_JOBS, says="false")
    assert (until(world, 1), until(world, 3)) == (None, None)
    ((_, pair),) = pairs(world)
    assert pair.near == COPY_JOBS  # who is false is near nobody


def test_who_is_near_now_and_then_is_no_copy() -> None:
    world = world_of()
    for nonce in range(2 * COPY_JOBS):
        round_of(world, nonce, copying if nonce % 2 else answer)
    ((_, pair),) = pairs(world)
    assert (pair.near, pair.far) == (COPY_JOBS, COPY_JOBS - 1)
    assert until(world, 3) is None


def test_honest_encoders_are_no_pairs_and_new_weights_begin_anew() -> None:
    world = world_of()
    round_of(world, 0, answer)
    assert pairs(world) == []
    round_of(world, 1)
    state = world.state
    state.put(chain.ENCODERS, address(3), evolve(state.need(chain.ENCODERS, address(3)), registered=9))
    _write(world, state)
    round_of(world, 2)
    ((_, pair),) = pairs(world)
    assert (pair.second, pair.near) == (9, 1)


def test_other_weights_than_those_found_to_be_a_copy_are_drawn_on() -> None:
    world = world_of()
    for nonce in range(COPY_JOBS):
        round_of(world, nonce)
    job, _ = deliver(world, nonce=COPY_JOBS, honestly=copying)
    state = world.state
    state.put(chain.ENCODERS, address(3), evolve(state.need(chain.ENCODERS, address(3)), registered=9))
    _write(world, state)
    while world.state.get(chain.AUDITS, chain.subject("embed", job)) is not None:
        audit = audit_of(world, job)
        hear(world, job, {auditor.account: claims(audit) for auditor in audit.panel})
    pay_day(world, job)
    assert until(world, 3) is None


def test_pairs_of_long_ago_are_forgotten() -> None:
    world = world_of()
    round_of(world, 0)
    run = chain.machine.Execution(world.genesis, world.rule, world.state, 9, 9, copies.COPY_EPOCHS)
    copies.on_epoch(run)
    assert run.state.count(copies.PAIRS) == 1
    run.epoch += 1
    copies.on_epoch(run)
    assert run.state.count(copies.PAIRS) == 0


def _write(world: Committee, state: chain.State) -> None:
    changes = state.changes()
    for name, (_, now) in changes.items():
        assert now is not None
        world.reader.data[name] = now
    tip = evolve(world.tip, lthash=chain.lthash.updated(world.tip.lthash, changes))
    world.trace.append(evolve(world.trace[-1], tip=tip))


# Reports. -------------------------------------------------------------------------------------------------------------


def say(world: Committee, number: int, action: Any, kind: str = "report_encoder") -> str:
    ((_, code),) = world.outcomes(world.step(world.transaction(number, kind, action)))
    return code


@pytest.mark.parametrize("places", [(0, 1), (0, 1, 2), (1, 2, 3), (0,), ()])
def test_a_quorum_of_power_ends_the_draws_of_an_encoder_and_takes_nothing(places: tuple[int, ...]) -> None:
    world = replays.begun((4, 4, 3, 1), epoch_ms=1_000)
    powers = [validator.power for validator in chain.committee(world.state)]
    goes = sum(powers[place] for place in places) >= chain.quorum(tuple(powers))
    stake = chain.stake_of(world.state, address(2))
    for place in places:
        assert say(world, account(place), chain.ReportEncoder(address(2))) == ""
    world.step(after=1_000)
    assert until(world, 2) == (1 if goes else None)
    assert chain.stake_of(world.state, address(2)) == stake
    assert world.state.count(objections.OBJECTIONS) == 0


def test_reports_that_are_refused_and_one_that_is_taken_back() -> None:
    world = replays.begun((1, 1))
    assert say(world, replays.USER, chain.ReportEncoder(address(2))) == "sender"
    assert say(world, account(0), chain.ReportEncoder(address(9))) == "encoder"
    undo = chain.UndoEncoderReport(address(2))
    assert say(world, account(0), undo, "undo_encoder_report") == "encoder"
    assert say(world, account(0), chain.ReportEncoder(address(2))) == ""
    assert say(world, account(0), chain.ReportEncoder(address(2))) == "exists"
    assert say(world, account(0), undo, "undo_encoder_report") == ""
    assert world.state.count(objections.OBJECTIONS) == 0
