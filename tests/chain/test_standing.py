"""What nodes say of stake, validators, audits and operators is what the chain's state says."""

from typing import Any

import check_world as checks_world
import pytest
import replays
from attrs import evolve
from audit_world import audit_of, audited, deliver, hear_all
from committee_world import Committee, Signer, account, address, committee_genesis
from ledger_world import key

from soma_core import chain
from soma_core.chain import members
from soma_core.crypto import signing_digest
from soma_core.genesis import check
from soma_core.node import standing

SOMA = 10**9
OWNER, STAKER = address(1), replays.USER
SHORT = {"epoch_ms": 1_000, "unbonding_ms": 9_000, "evidence_ms": 5_000, "audit_ms": 1_000, "emission": 0}


def world_of(*, staked: bool = True) -> Committee:
    genesis = committee_genesis((1, 1), **SHORT)
    if staked:
        genesis = evolve(genesis, validators=tuple(evolve(v, stake=100 * SOMA) for v in genesis.validators))
    return Committee(genesis=check(genesis))


def done(world: Committee, number: int, kind: str, action: Any, **step: Any) -> None:
    step.setdefault("system", b"")
    assert world.outcomes(world.step(world.transaction(number, kind, action), **step)) == [("applied", "")]


def end_epoch(world: Committee) -> None:
    world.step(after=1_000, system=b"")


def test_a_pool_is_told_with_what_joins_and_leaves_it() -> None:
    world = world_of()
    assert standing.pool_of(world.state, address(STAKER), OWNER) is None
    done(world, STAKER, "stake", chain.Stake(OWNER, 7 * SOMA))
    told = standing.pool_of(world.state, OWNER, address(STAKER))
    assert told is not None
    assert (told.active, told.mine, told.joining, told.departures) == (100 * SOMA, 0, 7 * SOMA, ())
    assert (told.commission, told.next_commission) == (10_000, 10_000)
    end_epoch(world)
    done(world, 1, "set_commission", chain.SetCommission(300))
    done(world, STAKER, "unstake", chain.Unstake(OWNER, 2 * SOMA))
    told = standing.pool_of(world.state, OWNER, address(STAKER))
    assert told is not None
    assert (told.active, told.leaving, told.mine, told.joining) == (105 * SOMA, 2 * SOMA, 5 * SOMA, 0)
    assert (told.commission, told.next_commission, told.since) == (10_000, 300, world.epoch + 1)
    (leaving,) = told.departures
    assert (leaving.amount, leaving.until) == (2 * SOMA, world.tip.time + SHORT["unbonding_ms"])
    other = standing.pool_of(world.state, OWNER, OWNER)
    assert other is not None
    assert (other.mine, other.departures) == (100 * SOMA, ())


def test_validators_are_told_by_place_and_then_who_waits() -> None:
    world = world_of()
    first, second = (account(place) for place in (0, 1))
    done(world, first, "report_validator", chain.ReportValidator(address(second)))
    proof = signing_digest("soma/possession", world.genesis.chain, 0, address(STAKER))
    registration = chain.RegisterValidator(
        name="v9",
        key=key(109).public,
        node=key(209).public,
        possession=Signer(109).sign(proof),
        node_possession=Signer(209).sign(proof),
        anchor=bytes(32),
        stake=50 * SOMA,
        commission=500,
    )
    done(world, STAKER, "register_validator", registration)
    done(world, second, "leave_validator", chain.LeaveValidator())
    told = standing.validators(world.state)
    assert told.epoch == world.epoch
    assert [(v.name, v.state, v.power) for v in told.validators] == [
        ("v0", "seated", 1),
        ("v1", "leaving", 1),
        ("v9", "waiting", 0),
    ]
    assert [v.reports for v in told.validators] == [(), (address(first),), ()]
    assert [v.stake for v in told.validators] == [100 * SOMA, 100 * SOMA, 0]
    end_epoch(world)
    assert [(v.name, v.state) for v in standing.validators(world.state).validators] == [
        ("v0", "seated"),
        ("v9", "seated"),
    ]


def test_validators_that_are_down_or_barred_are_told_so() -> None:
    world = world_of()
    state = world.state
    for place, changes in enumerate(({"down": True}, {"barred": True, "down": True})):
        name = address(account(place))
        state.put(members.MEMBERS, name, evolve(state.need(members.MEMBERS, name), **changes))
    assert [v.state for v in standing.validators(state).validators] == ["down", "barred"]


def test_a_committee_without_stake_is_seated() -> None:
    told = standing.validators(world_of(staked=False).state).validators
    assert [(v.name, v.state, v.stake) for v in told] == [("v0", "seated", 0), ("v1", "seated", 0)]


def test_operators_are_told_while_they_act() -> None:
    world = world_of()
    proof = signing_digest("soma/possession", world.genesis.chain, 0, OWNER)
    operator = chain.SetOperator(key=key(70).public, role="encoder", purse=9, possession=Signer(70).sign(proof))
    done(world, 1, "set_operator", operator)
    (told,) = standing.operators(world.state, OWNER).operators
    assert (told.address, told.role, told.purse) == (address(70), "encoder", 9)
    assert standing.operators(world.state, address(2)).operators == ()
    done(world, 1, "drop_operator", chain.DropOperator(key(70).public))
    assert standing.operators(world.state, OWNER).operators == ()


def test_audits_are_told_and_then_the_window_in_which_they_can_be_disputed() -> None:
    world = audited(pot=10 * SOMA)
    job, shard = deliver(world, liars=1)
    told = standing.audits(world.state, address(account(0)), 7)
    (audit,) = told.audits
    assert (told.bond, told.failures, told.left_out) == (7, 0, 0)
    assert (audit.kind, audit.key, audit.stage, audit.appeal) == ("embed", job, "sealing", False)
    open_audit = audit_of(world, job)
    assert [each.encoder for each in audit.answers] == [item.encoder for item in open_audit.items]
    assert {each.word for each in audit.answers} == {"none"}
    assert [(each.account, each.state) for each in audit.panel] == [(a.account, "drawn") for a in open_audit.panel]
    hear_all(world, job)
    (window,) = standing.audits(world.state, address(account(0)), 7).audits
    assert (window.key, window.stage, window.panel) == (job, "window", ())
    for begins, count in ((job[:3], 1), (job, 1), (bytes([job[0] ^ 1]), 0)):
        assert len(standing.audits(world.state, address(account(0)), 7, begins).audits) == count
    words = {each.encoder: each.word for each in window.answers}
    assert words[address(max(shard))] == "false"
    assert set(words.values()) <= {"none", "honest", "false"}


def test_checks_of_encoders_are_told_with_what_is_asked() -> None:
    world = checks_world.founded()
    checks_world.settle(world)
    checks_world.end(world)
    told = standing.audits(world.state, address(account(0)), 7, address(1))
    (check,) = told.audits
    assert (check.kind, check.key, check.stage) == ("encoder", address(1), "sealing")
    assert [each.name for each in check.answers] == ["e1 position", "e1 best", "e1 frame"]
    assert {each.word for each in check.answers} == {"none"}


def test_no_more_audits_are_told_than_one_answer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    world = audited(pot=10 * SOMA)
    jobs = [deliver(world, nonce=nonce)[0] for nonce in range(3)]
    monkeypatch.setattr(standing, "AUDITS_MOST", 2)
    told = standing.audits(world.state, address(account(0)), 7)
    assert {each.key for each in told.audits} <= set(jobs)
    assert (len(told.audits), told.left_out) == (2, 1)


def test_failures_of_an_auditor_are_counted() -> None:
    world = audited(pot=10 * SOMA)
    job, _ = deliver(world)
    silent = audit_of(world, job).panel[0].account
    world.step(after=world.genesis.parameters.audit_seal_ms + 1)
    world.step(after=1)
    assert standing.audits(world.state, silent, 0).failures == 1
