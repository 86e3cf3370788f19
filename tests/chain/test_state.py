"""Rules T and C: the state, its digest, and what stops a node before it writes (``specs/11-state.md``)."""

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import DictReader, World, key

from soma_core import chain
from soma_core.api import Commit
from soma_core.chain import ACCOUNTS, Account, State, lthash, machine, pools, stakes
from soma_core.chain.state import Table
from soma_core.crypto import address_of
from soma_core.errors import CorruptionError
from soma_core.records import pack

entries = st.dictionaries(st.binary(min_size=1, max_size=6), st.binary(max_size=6), max_size=8)


def a(balance: int) -> Account:
    return Account(balance)


@pytest.fixture
def reader() -> DictReader:
    reader = DictReader()
    reader.data = {ACCOUNTS.key(bytes([n])): pack(a(n)) for n in (1, 3, 5)}
    reader.data[pools.POOLS.key()] = pack(pools.Pools())
    reader.data[b"\x12z"] = b"of another table"
    return reader


def test_what_was_put_is_read_and_the_view_is_left_alone(reader: DictReader) -> None:
    state, before = State(reader), dict(reader.data)
    assert state.get(ACCOUNTS, b"\1") == a(1)
    assert state.get(ACCOUNTS, b"\2") is None
    state.put(ACCOUNTS, b"\2", a(2))
    state.delete(ACCOUNTS, b"\3")
    state.put(ACCOUNTS, b"\5", a(50))
    assert [state.get(ACCOUNTS, bytes([n])) for n in range(1, 6)] == [a(1), a(2), None, None, a(50)]
    assert reader.data == before


def test_a_scan_sees_one_table_and_what_changed_until_it_began(reader: DictReader) -> None:
    state = State(reader)
    state.put(ACCOUNTS, b"\2", a(2))
    state.delete(ACCOUNTS, b"\3")
    state.delete(ACCOUNTS, b"\4")
    assert [name for name, _ in state.scan(ACCOUNTS)] == [b"\1", b"\2", b"\5"]
    assert [name for name, _ in state.scan(ACCOUNTS, b"\2", b"\5")] == [b"\2"]
    seen = []
    for name, record in state.scan(ACCOUNTS):
        seen.append((name, record.balance))
        state.delete(ACCOUNTS, b"\5")
        state.put(ACCOUNTS, b"\7", a(7))
    assert seen == [(b"\1", 1), (b"\2", 2), (b"\5", 5)]


def test_changes_are_what_differs_from_before(reader: DictReader) -> None:
    state = State(reader)
    state.put(ACCOUNTS, b"\1", a(1))  # the same
    state.put(ACCOUNTS, b"\2", a(2))
    state.delete(ACCOUNTS, b"\2")  # nothing came of it
    state.put(ACCOUNTS, b"\3", a(30))
    state.delete(ACCOUNTS, b"\5")
    state.put(ACCOUNTS, b"\0", a(9))
    assert state.changes() == {
        ACCOUNTS.key(b"\0"): (None, pack(a(9))),
        ACCOUNTS.key(b"\3"): (pack(a(3)), pack(a(30))),
        ACCOUNTS.key(b"\5"): (pack(a(5)), None),
    }
    assert list(state.changes()) == sorted(state.changes())


def test_an_attempt_that_fails_leaves_no_trace(reader: DictReader) -> None:
    state = State(reader)
    state.put(ACCOUNTS, b"\1", a(10))
    before = state.changes()
    with pytest.raises(KeyError), state.attempt():
        state.put(ACCOUNTS, b"\1", a(11))
        state.put(ACCOUNTS, b"\1", a(12))
        state.put(ACCOUNTS, b"\2", a(2))
        state.delete(ACCOUNTS, b"\3")
        raise KeyError
    assert state.changes() == before
    assert state.get(ACCOUNTS, b"\1") == a(10)
    with state.attempt():
        state.put(ACCOUNTS, b"\2", a(2))
    assert state.get(ACCOUNTS, b"\2") == a(2)


def test_attempts_do_not_nest(reader: DictReader) -> None:
    state = State(reader)
    with pytest.raises(RuntimeError, match="nest"), state.attempt(), state.attempt():
        pass


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(0, 9), st.booleans()), max_size=12),
)
def test_any_mix_of_attempts_is_a_dictionary(steps: list[tuple[bool, int, int, bool]]) -> None:
    reader = DictReader()
    reader.data = {ACCOUNTS.key(bytes([n])): pack(a(n)) for n in range(3)}
    state, model = State(reader), {n: n for n in range(3)}
    for put, name, balance, fails in steps:
        try:
            with state.attempt():
                if put:
                    state.put(ACCOUNTS, bytes([name]), a(balance))
                else:
                    state.delete(ACCOUNTS, bytes([name]))
                if fails:
                    raise KeyError  # noqa: TRY301  # the failure is what is tested
        except KeyError:
            continue
        if put:
            model[name] = balance
        else:
            model.pop(name, None)
    assert {name[0]: record.balance for name, record in state.scan(ACCOUNTS)} == model
    assert lthash.updated(lthash.total(reader.data.items()), state.changes()) == lthash.total(
        (ACCOUNTS.key(bytes([n])), pack(a(balance))) for n, balance in model.items()
    )


def test_what_the_rules_say_exists_and_does_not_is_corruption(reader: DictReader) -> None:
    state = State(reader)
    with pytest.raises(CorruptionError, match="the state has no account 09"):
        state.need(ACCOUNTS, b"\x09")
    reader.data[ACCOUNTS.key(b"\x09")] = b"\xff"
    with pytest.raises(CorruptionError, match="a stored account is damaged"):
        state.need(ACCOUNTS, b"\x09")


# The state digest. ----------------------------------------------------------------------------------------------------


@given(entries, entries, st.randoms(use_true_random=False))
def test_the_sum_is_that_of_the_state_whatever_its_history(
    before: dict[bytes, bytes], after: dict[bytes, bytes], random: Any
) -> None:
    items = list(before.items())
    random.shuffle(items)
    total = lthash.total(items)
    assert total == lthash.total(sorted(before.items()))
    changes = {k: (before.get(k), after.get(k)) for k in before.keys() | after.keys() if before.get(k) != after.get(k)}
    assert lthash.updated(total, changes) == lthash.total(after.items())
    assert (lthash.total(after.items()) == total) == (after == before)


@given(entries)
def test_a_state_undone_is_the_state_before(state: dict[bytes, bytes]) -> None:
    total = lthash.total(state.items())
    added = lthash.updated(total, {b"new": (None, b"x")})
    assert lthash.updated(added, {b"new": (b"x", None)}) == total
    assert lthash.updated(total, dict.fromkeys(state, (None, None))) == total


@pytest.mark.parametrize(
    ("one", "other"),
    [((b"ab", b"c"), (b"a", b"bc")), ((b"a", b""), (b"", b"a")), ((b"a", b"\0"), (b"a", b""))],
)
def test_key_and_value_are_framed(one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
    assert lthash.total([one]) != lthash.total([other])


def test_a_sum_of_the_wrong_length_is_corruption() -> None:
    with pytest.raises(CorruptionError, match="2047 bytes"):
        lthash.updated(bytes(lthash.SIZE - 1), {})


# Commits. -------------------------------------------------------------------------------------------------------------


def test_records_are_chained_and_name_the_committee(world: World) -> None:
    for _ in range(3):
        world.commit()
    for before, after in zip(world.trace, world.trace[1:], strict=False):
        assert after.record.previous == chain.record_digest(before.record)
        assert after.record.index == before.record.index + 1
        assert after.record.committee == world.trace[0].record.committee
        assert after.tip.record == chain.record_digest(after.record)
    assert world.trace[0].record.previous == bytes(32)
    assert world.trace[0].record.commit == world.genesis.chain


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_commit_that_is_not_the_next_stops_the_node(world: World, index: int) -> None:
    world.commit()
    commit = Commit(index, bytes(32), world.tip.time, 1, 0, (), b"")
    with pytest.raises(CorruptionError, match=f"commit {index} follows 1"):
        chain.apply(world.genesis, world.rule, world.reader, world.tip, commit)


def test_time_never_goes_back(world: World) -> None:
    at = world.commit(after=1_000).record.time
    assert world.commit(after=-500).record.time == at
    assert world.commit(after=1).record.time == at + 1


def test_money_from_nowhere_stops_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def mint(run: Any, sender: bytes, action: chain.Transfer) -> None:
        chain.accounts.pay(run.state, action.to, action.amount)

    handlers = {**machine.ACTIONS, "transfer": evolve(machine.ACTIONS["transfer"], run=mint)}
    monkeypatch.setattr(machine, "ACTIONS", handlers)
    before = dict(world.reader.data)
    wire = world.transaction(5, "transfer", chain.Transfer(address_of(key(6).public), 7))
    with pytest.raises(CorruptionError, match="would change the supply by 7 shannons instead of 0"):
        world.commit(wire)
    assert world.reader.data == before


def test_emission_that_nobody_gets_stops_the_node(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "BOUNDARY", (lambda run: pools.add_to_pools(run.state, emitted=5),))
    with pytest.raises(CorruptionError, match="by 0 shannons instead of 5"):
        world.commit(after=60_000)


def test_every_table_has_its_own_prefix_within_the_state() -> None:
    prefixes = [table.prefix for table in machine.TABLES]
    assert len(set(prefixes)) == len(prefixes)
    assert all(chain.STATE_FLOOR <= table.key() < chain.STATE_CEILING for table in machine.TABLES)
    tables = {
        id(value)
        for module in vars(chain).values()
        if getattr(module, "__name__", "").startswith("soma_core.chain.")
        for value in vars(module).values()
        if isinstance(value, Table)
    }
    assert tables == {id(table) for table in machine.TABLES}


def test_what_holds_no_money_counts_nothing() -> None:
    without = [table for table in machine.TABLES if not table.holds_money]
    assert {table.money(None) for table in without} == {0}
    assert stakes.DELEGATIONS in without
    assert pools.POOLS not in without


def test_a_transaction_above_its_size_is_nothing_even_when_ordered(world: World) -> None:
    def padded(size: int) -> bytes:
        return world.transaction(5, "transfer", {"memo": bytes(size)}, sequence=0)

    room = chain.MAX_TRANSACTION - len(padded(1000)) + 1000
    largest, larger = padded(room), padded(room + 1)
    assert (len(largest), len(larger)) == (chain.MAX_TRANSACTION, chain.MAX_TRANSACTION + 1)
    assert world.outcomes(world.commit(larger)) == []
    assert world.outcomes(world.commit(largest)) == [("failed", "action")]


def test_the_state_of_a_network_is_found_on_nothing_else() -> None:
    world = World()
    again = chain.found(world.genesis, DictReader())
    assert again.record == world.trace[0].record
    assert {k: v for k, (_, v) in again.changes.items()} == world.reader.data


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_whatever_is_ordered_a_commit_is_applied(payloads: list[bytes]) -> None:
    world = World()
    applied = world.commit(*payloads, system=payloads[0] if payloads else b"")
    assert applied.receipts == ()
