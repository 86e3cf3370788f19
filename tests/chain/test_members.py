"""Rules V13 to V27: who validates, what it costs to be false (``specs/14-validators.md``)."""

from collections.abc import Sequence
from typing import Any

import pytest
import replays
from attrs import evolve
from committee_world import Committee, Signer, account, address, committee_genesis
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import key

from soma_core import chain, codec
from soma_core.chain import faults, members, race, stakes, validators
from soma_core.crypto import signing_digest
from soma_core.genesis import Genesis, check
from soma_core.records import pack

SOMA = 10**9
NEW = replays.USER
SHORT = {"epoch_ms": 1_000, "unbonding_ms": 9_000, "evidence_ms": 5_000, "audit_ms": 1_000}


def staked_genesis(stakes_: Sequence[int] = (100, 200, 300, 400), **changes: Any) -> Genesis:
    genesis = committee_genesis((1,) * len(stakes_), **{**SHORT, **changes})
    founders = zip(genesis.validators, stakes_, strict=True)
    return check(evolve(genesis, validators=tuple(evolve(v, stake=stake * SOMA) for v, stake in founders)))


def world_of(stakes_: Sequence[int] = (100, 200, 300, 400), **changes: Any) -> Committee:
    return Committee(genesis=staked_genesis(stakes_, **changes))


def powers(world: Committee) -> list[int]:
    return [validator.power for validator in chain.committee(world.state)]


def names(world: Committee) -> list[str]:
    return [validator.name for validator in chain.committee(world.state)]


def act(world: Committee, number: int, kind: str, action: Any, **step: Any) -> str:
    step.setdefault("system", b"")
    ((_, code),) = world.outcomes(world.step(world.transaction(number, kind, action), **step))
    return code


def end_epoch(world: Committee) -> chain.Applied:
    return world.step(after=1_000, system=b"")


def proof_of(world: Committee, owner: int, number: int) -> bytes:
    return Signer(number).sign(signing_digest("soma/possession", world.genesis.chain, 0, address(owner)))


def keys(world: Committee, owner: int, place: int) -> dict[str, Any]:
    """The keys that the validator at `place` has in this world, shown to be `owner`'s."""
    return {
        "key": key(100 + place).public,
        "node": key(200 + place).public,
        "possession": proof_of(world, owner, 100 + place),
        "node_possession": proof_of(world, owner, 200 + place),
        "anchor": world.chain_of(place, world.epoch + 1).anchor,
    }


def signed_by(signature: chain.RecordSignature) -> bytes:
    return pack(chain.System(link=None, anchors=(), signatures=(signature,)))


def registration(world: Committee, owner: int = NEW, place: int = 4, **changes: Any) -> chain.RegisterValidator:
    fields = {"name": f"v{place}", "stake": 500 * SOMA, "commission": 1_000, **keys(world, owner, place), **changes}
    return chain.RegisterValidator(**fields)


# Joining. -------------------------------------------------------------------------------------------------------------


def test_validators_of_genesis_have_pools_and_from_the_first_epochs_end_power_by_stake() -> None:
    world = world_of()
    assert powers(world) == [1, 1, 1, 1]
    assert [chain.stake_of(world.state, address(account(place))) for place in range(4)] == [
        stake * SOMA for stake in (100, 200, 300, 400)
    ]
    assert world.state.need(chain.STAKES, address(account(0))).commission == members.COMMISSION_GENESIS
    end_epoch(world)
    assert powers(world) == [1500, 2500, 3000, 3000]


def test_rewards_of_validators_reach_who_staked_with_them() -> None:
    world = world_of(emission=0)
    act(world, NEW, "stake", chain.Stake(address(account(0)), 100 * SOMA))
    end_epoch(world)
    fees = world.state.need(chain.POOLS).validators
    before = chain.stake_of(world.state, address(account(0)))
    for _ in range(5):
        act(world, NEW, "transfer", chain.Transfer(address(NEW), 1))
    fees = world.state.need(chain.POOLS).validators
    assert fees == 5 * world.genesis.parameters.fee
    power = powers(world)[0]
    end_epoch(world)
    part = fees * power // 10_000
    assert chain.stake_of(world.state, address(account(0))) == before + part - part * 200 // 10_000


def test_who_registers_sits_in_the_next_committee_with_its_anchor() -> None:
    world = world_of()
    assert act(world, NEW, "register_validator", registration(world)) == ""
    assert names(world) == ["v0", "v1", "v2", "v3"]
    applied = end_epoch(world)
    assert names(world) == ["v0", "v1", "v2", "v3", "v4"]
    assert sum(powers(world)) == 10_000
    rows = chain.committee(world.state)
    assert rows[4].link == world.chain_of(4, 1).anchor
    assert rows[0].link is None  # nobody announced an anchor
    digest = chain.receipts.committee_digest([(v.key, v.power) for v in rows])
    assert applied.record.committee == digest
    links = world.state.need(chain.BEACON).links
    world.step(leader=4)
    assert world.state.need(chain.BEACON).links == links + 1


def test_anchors_that_were_announced_are_taken_up_by_who_stays() -> None:
    world = world_of()
    world.announce()
    act(world, NEW, "register_validator", registration(world))
    end_epoch(world)
    assert [v.link for v in chain.committee(world.state)] == [world.chain_of(p, 1).anchor for p in range(5)]
    world.step(leader=2)
    assert world.state.need(chain.BEACON).links >= 1


def test_too_little_of_all_stake_waits_until_others_stake_with_it() -> None:
    world = world_of()
    assert act(world, NEW, "register_validator", registration(world, stake=SOMA)) == ""
    end_epoch(world)
    assert len(names(world)) == 4
    act(world, replays.OTHER, "stake", chain.Stake(address(NEW), SOMA))
    end_epoch(world)
    assert names(world)[4:] == ["v4"]  # 2 of 1002 are more than 12 of 10000
    assert chain.committee(world.state)[4].link is None  # its anchor was for an earlier epoch


def test_a_committee_has_a_largest_size() -> None:
    world = world_of(committee_most=3)
    end_epoch(world)
    assert names(world) == ["v1", "v2", "v3"]


def test_a_network_without_stake_keeps_its_validators() -> None:
    world = Committee(genesis=committee_genesis((5, 7), **SHORT))
    assert act(world, NEW, "register_validator", registration(world)) == "fixed"
    end_epoch(world)
    assert powers(world) == [5, 7]


REFUSED = {
    "a second one": ({"owner": account(0)}, "exists"),
    "an encoder's account": ({"owner": 1}, "exists"),
    "a name that is taken": ({"name": "v3"}, "name"),
    "no name": ({"name": "a b"}, "name"),
    "another's key": ({"key": key(100).public}, "key"),
    "another's node": ({"node": key(203).public}, "key"),
    "no possession of the key": ({"possession": bytes(64)}, "possession"),
    "no possession of the node": ({"node_possession": bytes(64)}, "possession"),
    "too little": ({"stake": SOMA - 1}, "stake"),
    "more than there is": ({"stake": 10**13}, "overdraft"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_registrations_that_are_refused(changes: dict[str, Any], code: str) -> None:
    world = world_of()
    owner = changes.get("owner", NEW)
    fields = {name: value for name, value in changes.items() if name != "owner"}
    before = list(world.state.scan(chain.MEMBERS)), list(world.state.scan(chain.STAKES))
    assert act(world, owner, "register_validator", registration(world, owner, **fields)) == code
    assert (list(world.state.scan(chain.MEMBERS)), list(world.state.scan(chain.STAKES))) == before


def test_no_more_than_so_many_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "MEMBERS_MOST", 4)
    world = world_of()
    assert act(world, NEW, "register_validator", registration(world)) == "full"


def test_a_validator_is_no_encoder() -> None:
    world = world_of()
    act(world, NEW, "register_validator", registration(world))
    action = chain.RegisterEncoder(
        name="mine", stake=10**9, weights=bytes(32), frame=bytes(32), architecture="byte-transformer-1"
    )
    assert act(world, NEW, "register_encoder", action) == "exists"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"stakes": (100, 0)}, "some validators have stake and others have none"),
        ({"account": address(1)}, "shares its account"),
        ({"account": address(account(0))}, "shares its account"),
    ],
)
def test_geneses_of_stake_that_are_refused(changes: dict[str, Any], problem: str) -> None:
    genesis = staked_genesis((100, 100))
    second = evolve(genesis.validators[1], account=changes.get("account", address(account(1))))
    second = evolve(second, stake=changes.get("stakes", (1, 1))[1])
    with pytest.raises(Exception, match=problem):
        check(evolve(genesis, validators=(genesis.validators[0], second)))


# Going. ---------------------------------------------------------------------------------------------------------------


def test_who_leaves_sits_until_the_epoch_ends_and_places_move_up() -> None:
    world = world_of(emission=0, fee=0)
    assert act(world, account(1), "leave_validator", chain.LeaveValidator()) == ""
    assert len(names(world)) == 4
    end_epoch(world)
    assert names(world) == ["v0", "v2", "v3"]
    assert world.state.get(chain.MEMBERS, address(account(1))) is None
    assert chain.stake_of(world.state, address(account(1))) == 200 * SOMA
    assert act(world, account(1), "leave_validator", chain.LeaveValidator()) == "sender"
    again = registration(world, account(1), 1, stake=SOMA)
    assert act(world, account(1), "register_validator", again) == ""
    end_epoch(world)
    assert names(world) == ["v0", "v2", "v3", "v1"]


def test_the_last_committee_stays_if_nobody_can_follow_it() -> None:
    world = world_of((100,))
    end_epoch(world)
    act(world, account(0), "leave_validator", chain.LeaveValidator())
    end_epoch(world)
    assert (names(world), powers(world)) == (["v0"], [10_000])


def test_very_little_stake_is_out_at_once_and_little_after_some_epochs() -> None:
    world = world_of((10_000, 6, 3), validator_grace=2)
    end_epoch(world)
    assert names(world) == ["v0", "v1"]
    for low in (2, 0):
        assert len(names(world)) == 2
        end_epoch(world)
        assert world.state.need(chain.MEMBERS, address(account(1))).low == low
    assert names(world) == ["v0"]


@pytest.mark.parametrize(("goes", "attested", "then"), [(1, (1, 2), (1,)), (3, (0, 3), (0,)), (3, (0, 1), (0, 1))])
def test_open_jobs_and_openings_follow_validators_to_their_new_places(
    goes: int, attested: tuple[int, ...], then: tuple[int, ...]
) -> None:
    world = world_of((300, 300, 300, 300), attest_ms=60_000)
    job = chain.job_key(address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world), *replays.attest(world, job, attested), system=b"")
    act(world, account(goes), "leave_validator", chain.LeaveValidator())
    state = world.state
    state.put(race.OPENINGS, bytes(8), race.Opening(count=1, leaders=attested))
    run = chain.execution.Execution(world.genesis, world.rule, state, 9, world.tip.time, world.epoch)
    members.on_epoch(run)
    assert state.need(chain.JOBS, job).attested == then
    assert state.need(race.OPENINGS, bytes(8)).leaders == then


def test_who_has_attested_before_an_epochs_end_has_said_the_same_after_it() -> None:
    world = world_of((300, 300, 300, 300), attest_ms=60_000)
    job = chain.job_key(address(replays.USER), replays.BLOB, 0)

    def attest(place: int, sketch: bytes) -> str:
        return act(world, account(place), "attest_data", chain.AttestData(job, sketch))

    ours, other = (chain.sketch_of(data) for data in (b"some words", bytes(range(256))))
    world.step(replays.request(world), system=b"")
    assert [attest(0, other), attest(1, ours)] == ["", ""]
    act(world, account(0), "leave_validator", chain.LeaveValidator())
    end_epoch(world)
    record = world.state.need(chain.JOBS, job)
    assert (record.attested, record.sketches) == ((0,), (ours,))
    assert attest(1, ours) == "exists"
    assert attest(2, ours) == ""
    assert attest(3, ours) == ""
    assert world.state.need(chain.JOBS, job).stage == "drawing"


def test_a_record_of_the_former_committee_is_signed_at_the_places_of_then() -> None:
    world = world_of((300, 100, 300, 300))
    act(world, account(1), "leave_validator", chain.LeaveValidator())
    last = end_epoch(world).record
    signature = world.record_signature(2, last)
    item = signed_by(signature)
    applied = world.step((1, item), system=b"")  # who sat at 2 sits at 1
    assert [(e.index, e.place) for e in applied.events if isinstance(e, chain.RecordSigned)] == [(last.index, 2)]
    record = applied.record
    signature = world.record_signature(2, record)
    item = signed_by(signature)
    applied = world.step((1, item), system=b"")
    assert [e.place for e in applied.events if isinstance(e, chain.RecordSigned)] == [1]


def test_a_newcomer_signs_nothing_of_the_former_committee() -> None:
    world = world_of()
    act(world, NEW, "register_validator", registration(world))
    last = end_epoch(world).record
    signature = world.record_signature(4, last)
    item = signed_by(signature)
    applied = world.step((4, item), system=b"")
    assert not [e for e in applied.events if isinstance(e, chain.RecordSigned)]
    world.step(system=b"")


# Reports. -------------------------------------------------------------------------------------------------------------


def test_who_a_quorum_reports_loses_half_of_its_reward_to_the_treasury() -> None:
    world = world_of((100, 100, 100, 100), emission=0)
    end_epoch(world)
    accused = address(account(3))
    for place in (0, 1, 2):
        assert act(world, account(place), "report_validator", chain.ReportValidator(accused)) == ""
    assert act(world, account(0), "report_validator", chain.ReportValidator(accused)) == "exists"
    pools = world.state.need(chain.POOLS)
    before = [chain.stake_of(world.state, address(account(place))) for place in range(4)]
    end_epoch(world)
    part = pools.validators // 4
    kept = part - part // 2
    earned = [chain.stake_of(world.state, address(account(p))) - before[p] for p in range(4)]
    assert earned == [part - part // 50] * 3 + [kept - kept // 50]
    assert world.state.need(chain.POOLS).treasury - pools.treasury == part // 2
    assert act(world, account(0), "undo_report", chain.UndoReport(accused)) == ""
    assert act(world, account(0), "undo_report", chain.UndoReport(accused)) == "validator"
    assert faults.reported_by(_running(world))[accused] == sum(powers(world)[1:3])


def test_reports_that_are_refused_and_reports_of_who_left() -> None:
    world = world_of()
    report = "report_validator"
    assert act(world, NEW, report, chain.ReportValidator(address(account(0)))) == "sender"
    assert act(world, account(0), report, chain.ReportValidator(address(account(0)))) == "validator"
    assert act(world, account(0), report, chain.ReportValidator(address(NEW))) == "validator"
    assert act(world, account(0), report, chain.ReportValidator(address(account(1)))) == ""
    end_epoch(world)
    assert world.state.count(faults.REPORTS) == 1
    act(world, account(1), "leave_validator", chain.LeaveValidator())
    end_epoch(world)
    assert world.state.count(faults.REPORTS) == 0


# Two headers of one slot. ---------------------------------------------------------------------------------------------


def header(*, round_: int = 7, author: int = 3, epoch: int = 0, rest: bytes = b"") -> bytes:
    return codec.encode([1, epoch, round_, author, rest])


def accusation(world: Committee, place: int = 3, *, epoch: int = 0, **changes: Any) -> chain.AccuseValidator:
    first = changes.pop("first", header(epoch=epoch, rest=b"a"))
    second = changes.pop("second", header(epoch=epoch, rest=b"b"))

    def signed(body: bytes) -> bytes:
        return Signer(100 + place).sign(signing_digest("soma/block", world.genesis.chain, epoch, body))

    return chain.AccuseValidator(
        **{
            "key": key(100 + place).public,
            "epoch": epoch,
            "first": first,
            "first_signature": signed(first),
            "second": second,
            "second_signature": signed(second),
            **changes,
        }
    )


def test_two_headers_of_one_slot_cost_a_twentieth_and_the_seat_until_there_is_another_key() -> None:
    world = world_of(emission=0)
    treasury = world.state.need(chain.POOLS).treasury
    mine, nobodys = accusation(world).key, key(140).public
    assert [chain.can_accuse(world.state, 0, each) for each in (mine, nobodys)] == [True, False]
    assert act(world, NEW, "accuse_validator", accusation(world)) == ""
    assert [chain.can_accuse(world.state, epoch, mine) for epoch in (0, 1)] == [False, True]
    assert chain.stake_of(world.state, address(account(3))) == 380 * SOMA
    assert world.state.need(chain.POOLS).treasury == treasury + 20 * SOMA
    assert act(world, NEW, "accuse_validator", accusation(world, first=header(rest=b"c"))) == "exists"
    end_epoch(world)
    assert names(world) == ["v0", "v1", "v2"]
    same = chain.UpdateValidator(**keys(world, account(3), 3))
    assert act(world, account(3), "update_validator", same) == ""
    end_epoch(world)
    assert names(world) == ["v0", "v1", "v2"]
    other = chain.UpdateValidator(**keys(world, account(3), 30))
    assert act(world, account(3), "update_validator", other) == ""
    end_epoch(world)
    assert names(world) == ["v0", "v1", "v2", "v3"]
    assert chain.committee(world.state)[3].key == key(130).public
    assert act(world, NEW, "register_validator", registration(world, NEW, 3, name="x")) == "key"  # once his, never mine


def test_who_is_false_together_with_others_loses_more() -> None:
    world = world_of(emission=0)
    end_epoch(world)
    for place in (3, 2):
        action = accusation(world, place, epoch=1)
        assert act(world, NEW, "accuse_validator", action) == ""
    assert chain.stake_of(world.state, address(account(3))) == 380 * SOMA
    assert chain.stake_of(world.state, address(account(2))) == 300 * SOMA * (10_000 - 500 - 3 * 3_000) // 10_000
    for _ in range(8):
        end_epoch(world)
    assert world.state.count(faults.EQUIVOCATIONS) == 0
    assert act(world, NEW, "accuse_validator", accusation(world, 1)) == "late"


def test_leaving_stake_is_slashed_too() -> None:
    world = world_of(emission=0)
    act(world, account(3), "leave_validator", chain.LeaveValidator())
    act(world, account(3), "unstake", chain.Unstake(address(account(3)), 1 << 60))
    end_epoch(world)
    assert act(world, NEW, "accuse_validator", accusation(world)) == ""
    assert stakes.at_risk(world.state, address(account(3))) == 380 * SOMA


FALSE = {
    "one header twice": ({"second": header(rest=b"a")}, "evidence"),
    "two slots": ({"second": header(round_=8)}, "evidence"),
    "two authors": ({"second": header(author=2)}, "evidence"),
    "no encoding": ({"first": b"\xff", "second": b"\xfe"}, "evidence"),
    "no header": ({"first": codec.encode([1]), "second": codec.encode({})}, "evidence"),
    "no numbers": ({"first": codec.encode([1, 0, 7, b""]), "second": codec.encode([1, 0, 7, "3"])}, "evidence"),
    "no signature of the first": ({"first_signature": bytes(64)}, "evidence"),
    "no signature of the second": ({"second_signature": bytes(64)}, "evidence"),
    "nobody's key": ({"key": key(1).public}, "key"),
    "an epoch to come": ({"epoch": 1}, "late"),
}


@pytest.mark.parametrize(("changes", "code"), FALSE.values(), ids=FALSE)
def test_accusations_that_are_refused_cost_their_maker_a_fee_and_nobody_else_anything(
    changes: dict[str, Any], code: str
) -> None:
    world = world_of()
    before = list(world.state.scan(chain.STAKES)), list(world.state.scan(chain.MEMBERS))
    assert act(world, NEW, "accuse_validator", accusation(world, **changes)) == code
    assert (list(world.state.scan(chain.STAKES)), list(world.state.scan(chain.MEMBERS))) == before


def test_updates_that_are_refused() -> None:
    world = world_of()
    theirs = chain.UpdateValidator(**keys(world, account(0), 1))
    assert act(world, account(0), "update_validator", theirs) == "key"
    assert act(world, NEW, "update_validator", chain.UpdateValidator(**keys(world, NEW, 9))) == "sender"
    wrong = evolve(chain.UpdateValidator(**keys(world, account(0), 9)), possession=bytes(64))
    assert act(world, account(0), "update_validator", wrong) == "possession"


# Absence. -------------------------------------------------------------------------------------------------------------


def sit_through(world: Committee, *present: int, commits: int) -> None:
    """So many commits, each signed by those `present` and led by the first of them."""
    for _ in range(commits):
        signed_ = [(place, signed_by(world.record_signature(place, world.trace[-1].record))) for place in present]
        world.step(*signed_, leader=present[0], system=b"", after=1)


def test_who_is_absent_loses_its_reward_a_little_stake_and_its_seat_until_it_is_back() -> None:
    world = world_of((100, 100, 100, 100), emission=10**9)
    sit_through(world, 0, 1, 2, commits=140)
    assert [v.absent for v in chain.committee(world.state)] == [0, 0, 0, 75]
    before = [chain.stake_of(world.state, address(account(place))) for place in range(4)]
    treasury = world.state.need(chain.POOLS).treasury
    end_epoch(world)
    after = [chain.stake_of(world.state, address(account(place))) for place in range(4)]
    assert after[3] == before[3] - before[3] // 10_000
    assert all(now > then for now, then in zip(after[:3], before[:3], strict=True))
    assert world.state.need(chain.POOLS).treasury - treasury == 10**9 // 5 // 4 + before[3] // 10_000 + 2 * 10**8
    assert names(world) == ["v0", "v1", "v2"]
    back = chain.UpdateValidator(**keys(world, account(3), 3))
    assert act(world, account(3), "update_validator", back) == ""
    end_epoch(world)
    assert names(world) == ["v0", "v1", "v2", "v3"]
    assert [v.absent for v in chain.committee(world.state)] == [0, 0, 0, 0]


@pytest.mark.parametrize(("present", "commits"), [((0, 1, 2), 127), ((0, 1), 140)], ids=["too soon", "too many"])
def test_nobody_is_called_absent(present: tuple[int, ...], commits: int) -> None:
    world = world_of((100, 100, 100, 100))
    sit_through(world, *present, commits=commits)
    end_epoch(world)
    assert len(names(world)) == 4


def test_without_stake_absence_costs_the_reward_alone() -> None:
    world = Committee(genesis=committee_genesis((1, 1, 1, 1), **SHORT))
    sit_through(world, 0, 1, 2, commits=140)
    before = world.balance(account(3)), world.balance(account(2))
    end_epoch(world)
    assert world.balance(account(3)) == before[0]
    assert world.balance(account(2)) > before[1]


def _running(world: Committee) -> chain.execution.Execution:
    return chain.execution.Execution(world.genesis, world.rule, world.state, 1, world.tip.time, world.epoch)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.integers(4, 7), st.integers(1, 600)),
        st.tuples(st.just("stake"), st.integers(0, 7), st.integers(1, 300)),
        st.tuples(st.just("unstake"), st.integers(0, 7), st.integers(1, 500)),
        st.tuples(st.just("leave"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("report"), st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.just("accuse"), st.integers(0, 7), st.integers(0, 3)),
        st.tuples(st.just("epoch"), st.just(0), st.just(0)),
    ),
    min_size=4,
    max_size=16,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_validators_do_there_is_a_committee_with_all_power_and_all_money_is_there(
    steps: list[tuple[str, int, int]],
) -> None:
    world = world_of(validator_grace=1)
    owner_of = {place: account(place) if place < 4 else place for place in range(8)}
    for kind, place, number in [*steps, ("epoch", 0, 0), ("epoch", 0, 0)]:
        owner = owner_of[place]
        match kind:
            case "register":
                act(world, owner, "register_validator", registration(world, owner, place, stake=number * SOMA))
            case "stake":
                act(world, 0, "stake", chain.Stake(address(owner), number * SOMA))
            case "unstake":
                act(world, owner, "unstake", chain.Unstake(address(owner), number * SOMA))
            case "leave":
                act(world, owner, "leave_validator", chain.LeaveValidator())
            case "report":
                act(world, owner, "report_validator", chain.ReportValidator(address(owner_of[number])))
            case "accuse":
                act(world, 0, "accuse_validator", accusation(world, place, epoch=max(0, world.epoch - number)))
            case "epoch":  # the world adds up all money after every commit
                end_epoch(world)
                assert sum(powers(world)) == 10_000 or powers(world) == [1] * 4  # nobody could follow the founders
                assert min(powers(world)) > 0
                assert len({v.account for v in chain.committee(world.state)}) == len(names(world))
    assert validators.place_key(len(names(world))) not in {place for place, _ in world.state.scan(chain.VALIDATORS)}
