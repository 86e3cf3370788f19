"""Rules A and X: what a transaction may do, and that nothing else changes (``specs/12``, ``specs/13``)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_world import World, key

from soma_core import chain, codec
from soma_core.crypto import address_of
from soma_core.records import pack

ALICE, BOB = 5, 6


def transfer(amount: int, to: int = BOB) -> chain.Transfer:
    return chain.Transfer(address_of(key(to).public), amount)


def test_a_transfer_moves_money_and_its_fee_goes_to_the_validators(world: World) -> None:
    before = world.balance(ALICE), world.balance(BOB)
    applied = world.commit(world.transaction(ALICE, "transfer", transfer(7)))
    assert world.outcomes(applied) == [("applied", "")]
    fee = world.genesis.parameters.fee
    assert (world.balance(ALICE), world.balance(BOB)) == (before[0] - 7 - fee, before[1] + 7)
    assert world.state.need(chain.POOLS).validators == fee


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signer": key(BOB)}, "signature"),
        ({"key": key(BOB).public, "signer": key(BOB)}, "key"),
        ({"chain": bytes(32)}, "chain"),
        ({"sequence": 64}, "sequence"),
        ({"fee": 0}, "fee"),
        ({"fee": 10**13}, "fee"),
    ],
)
def test_what_may_not_be_tried_changes_nothing(world: World, changes: dict[str, object], code: str) -> None:
    before = dict(world.reader.data)
    applied = world.commit(world.transaction(ALICE, "transfer", transfer(7), **changes))
    assert world.outcomes(applied) == [("skipped", code)]
    assert _accounts(dict(world.reader.data)) == _accounts(before)
    assert applied.receipts == ()


def test_an_expired_transaction_is_skipped(world: World) -> None:
    wire = world.transaction(ALICE, "transfer", transfer(7), expiry=0)
    world.commit(after=70_000)
    assert world.outcomes(world.commit(wire)) == [("skipped", "expired")]


def test_a_replay_is_skipped_in_the_same_commit_and_later(world: World) -> None:
    wire = world.transaction(ALICE, "transfer", transfer(7))
    assert world.outcomes(world.commit(wire, wire)) == [("applied", ""), ("skipped", "sequence")]
    assert world.outcomes(world.commit(wire)) == [("skipped", "sequence")]


def test_sequence_numbers_may_come_out_of_order_within_the_window(world: World) -> None:
    wires = [world.transaction(ALICE, "transfer", transfer(1), sequence=n) for n in (3, 1, 0, 2, 66, 67)]
    applied = world.commit(*wires)
    assert world.outcomes(applied) == [("applied", "")] * 5 + [("applied", "")]
    again = world.commit(world.transaction(ALICE, "transfer", transfer(1), sequence=66))
    assert world.outcomes(again) == [("skipped", "replay")]
    assert chain.account_of(world.state, address_of(key(ALICE).public)).sequence == 4


@pytest.mark.parametrize(
    ("kind", "action", "code"),
    [
        ("transfer", {"to": bytes(32), "amount": 10**15}, "overdraft"),
        ("transfer", {"to": bytes(32), "amount": -5}, "action"),
        ("transfer", {"to": bytes(32), "amount": 1 << 63}, "action"),
        ("transfer", {"to": bytes(32), "amount": 0}, "action"),
        ("transfer", {"to": bytes(31), "amount": 1}, "action"),
        ("transfer", {"to": bytes(32), "amount": 1, "memo": ""}, "action"),
        ("transfer", {"to": bytes(32), "amount": True}, "action"),
        ("mint", {"amount": 1}, "kind"),
    ],
)
def test_an_action_that_fails_costs_its_fee_and_changes_nothing_else(
    world: World, kind: str, action: dict[str, object], code: str
) -> None:
    before = world.balance(ALICE)
    applied = world.commit(world.transaction(ALICE, kind, action))
    assert world.outcomes(applied) == [("failed", code)]
    assert world.balance(ALICE) == before - world.genesis.parameters.fee
    again = world.commit(world.transaction(ALICE, "transfer", transfer(1), sequence=0))
    assert world.outcomes(again) == [("skipped", "sequence")]


def test_bytes_that_are_no_transaction_change_nothing(world: World) -> None:
    good = world.transaction(ALICE, "transfer", transfer(7), sequence=0)
    unsigned, signature = codec.decode(good)  # type: ignore[misc]
    junk = [
        b"",
        b"\xff",
        good + b"\x00",
        good[:-1],
        codec.encode([unsigned]),
        codec.encode([unsigned, signature[:-1]]),
        codec.encode([unsigned, signature, 1]),
        codec.encode({"link": 5}),
        codec.encode([unsigned + b"\x00", signature]),
        codec.encode(7),
        b"\x82" + b"\x58\x01\x00" + b"\x40",
    ]
    before = _accounts(dict(world.reader.data))
    applied = world.commit(*junk)
    assert applied.receipts == ()
    assert _accounts(dict(world.reader.data)) == before


def test_a_failed_action_rolls_back_everything_it_had_done(world: World) -> None:
    poor = 200
    world.commit(world.transaction(ALICE, "transfer", chain.Transfer(address_of(key(poor).public), 50_000)))
    action = chain.RegisterEncoder(
        name="late", stake=10**9, weights=bytes(32), frame=bytes(32), architecture="byte-transformer-1"
    )
    applied = world.commit(world.transaction(poor, "register_encoder", action))
    assert world.outcomes(applied) == [("failed", "overdraft")]
    assert world.state.get(chain.ENCODERS, address_of(key(poor).public)) is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 7),
            st.integers(0, 7),
            st.one_of(st.integers(1, 10**12), st.integers(-(10**20), 10**20)),
            st.integers(0, 70),
            st.integers(0, 10**13),
        ),
        max_size=12,
    )
)
def test_no_mix_of_transactions_makes_or_loses_a_shannon(items: list[tuple[int, int, int, int, int]]) -> None:
    world = World()
    wires = []
    for sender, to, amount, sequence, fee in items:
        if not -(1 << 64) <= amount < 1 << 64:
            continue
        action = {"to": address_of(key(to).public), "amount": amount}
        wires.append(world.transaction(sender, "transfer", action, sequence=sequence, fee=fee))
    world.commit(*wires)  # World adds up the whole state after every commit
    assert sum(world.balance(n) for n in range(8)) + world.state.need(chain.POOLS).validators == 8 * 10**12


def test_a_node_would_not_pass_on_what_the_chain_would_skip(world: World) -> None:
    def refused(wire: bytes) -> str | None:
        refusal = chain.examine(world.genesis, world.reader, chain.parse_wire(wire))
        return refusal and refusal.code

    assert refused(world.transaction(ALICE, "transfer", transfer(1), sequence=0)) is None
    assert refused(world.transaction(ALICE, "transfer", transfer(1), sequence=99)) == "sequence"
    assert refused(world.transaction(ALICE, "mint", {}, sequence=0)) == "kind"
    assert refused(world.transaction(ALICE, "transfer", {"to": b"", "amount": 1}, sequence=0)) == "action"


def _accounts(data: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {k: v for k, v in data.items() if k[0] == 0x11}


def test_a_system_item_of_nonsense_changes_no_money(world: World) -> None:
    item = chain.System(link=b"x" * 32, anchors=((0, b"short"), (5, bytes(32))), signatures=())
    applied = world.commit(system=pack(item))
    assert world.state.need(chain.BEACON).links == 0
    assert applied.receipts == ()
