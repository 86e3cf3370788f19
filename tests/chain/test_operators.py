"""Rules A8 to A12: keys that act for an account in one role, with a purse (``specs/13-accounts.md``)."""

from typing import Any

import pytest
import replays
from committee_world import Committee, Signer, account, address
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import key

from soma_core import chain
from soma_core.chain import accounts
from soma_core.crypto import signing_digest

OWNER, OPERATOR = 1, 70
FEE = 10_000


def operator(world: Committee, owner: int = OWNER, number: int = OPERATOR) -> chain.Operator | None:
    return world.state.get(chain.OPERATORS, address(owner) + address(number))


def setting(world: Committee, owner: int = OWNER, number: int = OPERATOR, **changes: Any) -> chain.SetOperator:
    possession = Signer(number).sign(signing_digest("soma/possession", world.genesis.chain, 0, address(owner)))
    fields = {"key": key(number).public, "role": "encoder", "purse": 10 * FEE, "possession": possession, **changes}
    return chain.SetOperator(**fields)


def outcome(world: Committee, number: int, kind: str, action: Any, **changes: Any) -> tuple[str, str]:
    return world.outcomes(world.step(world.transaction(number, kind, action, **changes)))[0]


def signed(
    world: Committee, kind: str, action: Any, *, owner: int = OWNER, number: int = OPERATOR, **changes: Any
) -> bytes:
    """A transaction of `owner` that the operator key `number` has signed."""
    known = operator(world, owner, number)
    changes.setdefault("sequence", known.purse.sequence if known else 0)
    return world.transaction(owner, kind, action, signer=Signer(number), key=key(number).public, **changes)


def ready(**changes: Any) -> Committee:
    world = replays.begun()
    assert outcome(world, OWNER, "set_operator", setting(world, **changes)) == ("applied", "")
    return world


def test_an_operator_answers_for_its_encoder_and_pays_from_its_purse() -> None:
    world = ready()
    for number in (2, 3, 4):
        assert outcome(world, number, "set_operator", setting(world, number)) == ("applied", "")
    job, shard = replays.ask_and_draw(world)
    before = [world.balance(number) for number in shard]
    for number in shard:
        answer = replays.answer(number)
        seal = chain.commitment(job, address(number), replays.SALT, *answer)
        item = signed(world, "commit_embedding", chain.CommitEmbedding(job=job, commitment=seal), owner=number)
        assert world.outcomes(world.step(item)) == [("applied", "")]
    for number in shard:
        loss, vector = replays.answer(number)
        show = chain.RevealEmbedding(job=job, salt=replays.SALT, loss=loss, vector=vector)
        assert world.outcomes(world.step(signed(world, "reveal_embedding", show, owner=number))) == [("applied", "")]
    assert [world.balance(number) for number in shard] == before
    for number in shard:
        known = operator(world, number)
        assert known is not None
        assert (known.purse.balance, known.purse.sequence) == (8 * FEE, 2)


def test_an_operator_attests_for_its_validator() -> None:
    world = replays.begun()
    place = account(0)
    assert outcome(world, place, "set_operator", setting(world, place, role="validator")) == ("applied", "")
    job = chain.job_key(address(replays.USER), replays.BLOB, 0)
    world.step(replays.request(world))
    item = signed(world, "attest_data", chain.AttestData(job), owner=place)
    assert world.outcomes(world.step(item)) == [("applied", "")]
    assert world.state.need(chain.JOBS, job).stage == "drawing"


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("transfer", chain.Transfer(address(OPERATOR), 1)),
        ("unstake", chain.Unstake(address(OWNER), 1)),
        ("set_operator", {}),
        ("attest_data", chain.AttestData(bytes(32))),
    ],
)
def test_what_is_not_its_roles_is_skipped_and_costs_nothing(kind: str, action: Any) -> None:
    world = ready()
    before = world.balance(OWNER), operator(world)
    assert world.outcomes(world.step(signed(world, kind, action))) == [("skipped", "key")]
    assert (world.balance(OWNER), operator(world)) == before


def test_its_sequence_numbers_and_its_money_are_its_own() -> None:
    world = ready(purse=FEE)
    report = chain.ReportUnavailable(bytes(32))
    item = signed(world, "report_unavailable", report)
    assert world.outcomes(world.step(item)) == [("failed", "job")]
    assert world.outcomes(world.step(item)) == [("skipped", "sequence")]
    assert world.outcomes(world.step(signed(world, "report_unavailable", report))) == [("skipped", "fee")]
    assert outcome(world, OWNER, "transfer", chain.Transfer(address(2), 1)) == ("applied", "")  # its own next number


def test_a_key_that_was_dropped_gives_its_purse_back_and_repeats_nothing_when_it_returns() -> None:
    world = ready()
    report = chain.ReportUnavailable(bytes(32))
    item = signed(world, "report_unavailable", report)
    world.step(item)
    before = world.balance(OWNER)
    assert outcome(world, OWNER, "drop_operator", chain.DropOperator(key(OPERATOR).public)) == ("applied", "")
    assert world.balance(OWNER) == before - FEE + 9 * FEE
    assert outcome(world, OWNER, "drop_operator", chain.DropOperator(key(OPERATOR).public)) == ("failed", "operator")
    assert world.outcomes(world.step(signed(world, "report_unavailable", report))) == [("skipped", "key")]
    assert outcome(world, OWNER, "set_operator", setting(world)) == ("applied", "")
    assert world.outcomes(world.step(item)) == [("skipped", "sequence")]
    assert outcome(world, OWNER, "set_operator", setting(world, role="validator", purse=0)) == ("applied", "")
    assert operator(world) == chain.Operator(role="validator", purse=chain.Account(10 * FEE, 1, 0))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"role": "owner"}, "role"),
        ({"role": ""}, "role"),
        ({"possession": bytes(64)}, "possession"),
        ({"number": OWNER}, "possession"),
        ({"purse": 10**15}, "overdraft"),
    ],
)
def test_operators_that_are_refused(changes: dict[str, Any], code: str) -> None:
    world = replays.begun()
    assert outcome(world, OWNER, "set_operator", setting(world, **changes)) == ("failed", code)
    assert world.state.count(chain.OPERATORS) == 0


def test_an_account_names_so_many_keys_and_others_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "OPERATORS_MOST", 2)
    world = replays.begun()
    for owner in (OWNER, 2):
        for number in (OPERATOR, OPERATOR + 1):
            assert outcome(world, owner, "set_operator", setting(world, owner, number)) == ("applied", "")
        assert outcome(world, owner, "set_operator", setting(world, owner, OPERATOR + 2)) == ("failed", "full")
    assert outcome(world, 2, "set_operator", setting(world, 2, OPERATOR)) == ("applied", "")


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["set", "drop", "use", "own"]), st.integers(0, 2), st.integers(0, 5 * FEE)),
        max_size=15,
    )
)
def test_whatever_operators_do_all_money_is_there(steps: list[tuple[str, int, int]]) -> None:
    world = replays.begun()
    for kind, which, amount in steps:  # the world adds up all money after every commit
        number = OPERATOR + which
        match kind:
            case "set":
                world.step(world.transaction(OWNER, "set_operator", setting(world, number=number, purse=amount)))
            case "drop":
                world.step(world.transaction(OWNER, "drop_operator", chain.DropOperator(key(number).public)))
            case "use":
                report = chain.ReportUnavailable(bytes(32))
                world.step(signed(world, "report_unavailable", report, number=number, fee=FEE + amount))
            case "own":
                world.step(world.transaction(OWNER, "transfer", chain.Transfer(address(number), amount + 1)))
