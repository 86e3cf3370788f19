"""Rules U7 to U15: the least fee, safe mode, versions of the rules (``specs/18-epochs.md``)."""

from typing import Any

import pytest
import replays
from committee_world import Committee, account, address, committee_genesis
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import PlainTargets

from soma_core import chain
from soma_core.chain import epochs, fees, machine, race, stakes, upgrades
from soma_core.errors import UpgradeError
from soma_core.genesis import Parameters

USER = replays.USER
FEE = 10_000


def busy(**changes: Any) -> Committee:
    """A network that wants two transactions an epoch."""
    return replays.begun((1,), **{"epoch_ms": 1_000, "fee_goal": 2, "fee_most": 20_000, **changes})


def pay(world: Committee, fee: int, count: int = 1, **step: Any) -> list[tuple[str, str]]:
    """The outcomes of so many transactions with this fee."""
    action = chain.Transfer(address(7), 1)
    items = [world.transaction(USER, "transfer", action, fee=fee) for _ in range(count)]
    return world.outcomes(world.step(*items, **step))


def levels(world: Committee) -> fees.Fees:
    return world.state.need(chain.FEES)


# The least fee. -------------------------------------------------------------------------------------------------------


@given(
    level=st.integers(0, 10**9),
    charged=st.integers(0, 10**6),
    goal=st.integers(1, 10**6),
    least=st.integers(0, 10**6),
    room=st.integers(0, 10**9),
)
def test_the_level_moves_whenever_it_can_and_never_far(
    level: int, charged: int, goal: int, least: int, room: int
) -> None:
    p = Parameters(fee=least, fee_most=least + room)
    level = min(max(level, p.fee), p.fee_most)
    now = chain.next_level(p, level, charged, goal)
    assert p.fee <= now <= p.fee_most
    assert abs(now - level) <= max(1, level // fees.FEE_STEP)
    if charged > goal:
        assert now > level or level == p.fee_most
    elif charged < goal:
        assert now < level or level == p.fee
    else:
        assert now == level


@pytest.mark.parametrize("level", [0, 1, 7, 9, 1_000])
def test_no_level_is_so_low_that_it_sticks(level: int) -> None:
    """Where the network whose rules these are sticks: a part of little, rounded down, is nothing."""
    p = Parameters(fee=0, fee_most=10**6)
    seen = level
    for _ in range(200):
        seen = chain.next_level(p, seen, 3, 2)
    assert seen > 10**5
    for _ in range(400):
        seen = chain.next_level(p, seen, 1, 2)
    assert seen == 0


def test_more_than_wanted_make_the_fee_rise_and_fewer_let_it_fall() -> None:
    world = busy()
    assert levels(world) == fees.Fees(level=FEE, before=FEE)
    assert pay(world, FEE, 5) == [("applied", "")] * 5
    assert levels(world).charged == 5
    world.step(after=1_000)
    assert levels(world) == fees.Fees(level=11_250, before=FEE)
    assert pay(world, FEE, 5) == [("applied", "")] * 5  # the epoch before's level is enough
    world.step(after=1_000)
    assert levels(world) == fees.Fees(level=12_656, before=11_250)
    assert pay(world, FEE) == [("skipped", "fee")]
    world.sequences[USER] -= 1
    assert levels(world).charged == 0
    for _ in range(30):
        world.step(after=1_000)
    assert levels(world) == fees.Fees(level=FEE, before=FEE)


def test_the_level_has_a_ceiling_and_a_longer_epoch_has_room_for_more() -> None:
    world = busy()
    for _ in range(8):
        pay(world, levels(world).level, 6)
        world.step(after=1_000)
    assert levels(world).level == 20_000
    pay(world, 20_000, 6)
    world.step(after=10_000)  # twenty are wanted in ten times the time
    assert levels(world).level == 17_500


def test_a_failed_transaction_counts_and_a_skipped_one_does_not() -> None:
    world = busy()
    huge = world.transaction(USER, "transfer", chain.Transfer(address(7), 10**15))
    world.step(huge, world.transaction(USER, "transfer", chain.Transfer(address(7), 1), fee=FEE - 1, sequence=9))
    assert levels(world).charged == 1


# Safe mode. -----------------------------------------------------------------------------------------------------------


class Faulty(PlainTargets):
    """A rule whose radius fails while it is told to."""

    broken = False

    def radius(self, *arguments: Any) -> Any:
        if self.broken:
            raise ZeroDivisionError("a rule that divides by nothing")
        return super().radius(*arguments)


def faulty(**changes: Any) -> tuple[Committee, Faulty]:
    rule = Faulty()
    given_ = {"epoch_ms": 1_000, "targets": 2, "target_goal": 4, "unbonding_ms": 9_000, "evidence_ms": 5_000, **changes}
    world = Committee(genesis=committee_genesis((1,), **given_), rule=rule)
    world.announce()
    world.step(after=1_000)
    world.announce()
    return world, rule


def test_an_end_that_fails_parks_its_money_and_the_next_one_shares_it() -> None:
    """The published case 44: fees are parked, epoch and time advance, the next end clears."""
    world, rule = faulty(emission=10**9)
    pools = world.state.need(chain.POOLS)
    pay(world, FEE, 3)
    rule.broken = True
    before = world.state.need(race.RACE)
    applied = world.step(after=1_000)
    assert world.only(applied, chain.BoundaryFailed).what == "ZeroDivisionError: a rule that divides by nothing"
    assert (world.epoch, world.state.need(chain.EPOCH).start) == (2, world.tip.time)
    now = world.state.need(chain.POOLS)
    assert (now.validators, now.emitted, now.treasury) == (3 * FEE, pools.emitted, pools.treasury)
    assert world.state.need(epochs.PARKED).epochs == 1
    assert world.state.need(race.RACE).reward == before.reward
    assert chain.committee(world.state)[0].link is not None  # the beacon goes on
    world.announce()
    world.step(after=1_000)
    assert (world.state.need(epochs.PARKED).epochs, chain.parked(world.state)) == (2, 2)
    rule.broken = False
    world.announce()
    links, had = world.state.need(chain.BEACON).links, world.balance(account(0))
    applied = world.step(after=1_000)
    assert not [event for event in applied.events if isinstance(event, chain.BoundaryFailed)]
    assert world.state.need(chain.BEACON).links == links + 1
    assert world.state.get(epochs.PARKED) is None
    assert chain.parked(world.state) == 0
    assert world.balance(account(0)) - had == 3 * FEE + 3 * 10**9 * 2 // 10
    assert world.state.need(chain.POOLS).validators == 0


def test_stake_joins_and_leaves_in_safe_mode() -> None:
    world, rule = faulty()
    owner = address(1)
    had = chain.stake_of(world.state, owner)
    world.step(world.transaction(USER, "stake", chain.Stake(owner, 10**10)))
    rule.broken = True
    world.step(after=1_000)
    assert chain.stake_of(world.state, owner) == had + 10**10
    world.announce()
    before = world.balance(USER)
    world.step(world.transaction(USER, "unstake", chain.Unstake(owner, 10**10)))
    world.step(after=9_001)
    assert world.balance(USER) == before + 10**10 - FEE


def test_where_safe_mode_fails_too_the_epoch_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = faulty()

    def broken(_run: Any) -> None:
        raise KeyError("nobody is there")

    with monkeypatch.context() as patch:
        for name in ("BOUNDARY", "SAFE"):
            patch.setattr(machine, name, (*getattr(machine, name)[:-1], broken))
        applied = world.step(after=1_000)
        assert len([event for event in applied.events if isinstance(event, chain.BoundaryFailed)]) == 2
        assert not applied.seats
        assert (world.epoch, world.state.need(chain.EPOCH).start) == (1, world.tip.time)
        assert world.state.need(epochs.PARKED).epochs == 1
        world.step(after=500)
        assert world.state.need(epochs.PARKED).epochs == 1
    world.step(after=500)
    assert world.epoch == 2
    assert world.state.get(epochs.PARKED) is None


def test_trouble_of_one_node_is_no_fault_of_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = faulty()

    def full(_run: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(machine, "BOUNDARY", (stakes.on_epoch, full))
    with pytest.raises(MemoryError):
        world.step(after=1_000)


# Versions of the rules. -----------------------------------------------------------------------------------------------


def support(world: Committee, place: int, version: int) -> bytes:
    return world.transaction(account(place), "support_protocol", chain.SupportProtocol(version))


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ({0: 2, 1: 2}, 1),  # power 7 of 10 is a quorum
        ({0: 2, 1: 2, 3: 2}, 1),  # half of the other 3, rounded up, makes it 9
        ({0: 2, 1: 2, 2: 2}, 2),
        ({0: 4, 1: 3, 2: 2, 3: 4}, 2),
        ({0: 4, 1: 3, 2: 3, 3: 4}, 3),
        ({0: 1, 1: 1, 2: 1, 3: 1}, 1),
    ],
)
def test_the_newest_version_that_enough_can_run_is_in_force(
    said: dict[int, int], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrades, "PROTOCOL_MOST", 9)
    world = replays.begun((4, 3, 2, 1), epoch_ms=1_000)
    assert world.outcomes(world.step(*(support(world, *word) for word in said.items()))) == [("applied", "")] * len(
        said
    )
    assert chain.protocol_of(world.state) == 1
    applied = world.step(after=1_000)
    assert chain.protocol_of(world.state) == version
    changed = [event.version for event in applied.events if isinstance(event, chain.ProtocolChanged)]
    assert changed == [version] * (version > 1)
    world.step(after=1_000)
    assert chain.protocol_of(world.state) == version


def test_software_that_does_not_know_the_rules_stops_before_it_applies_them() -> None:
    world = replays.begun((1,), epoch_ms=1_000)
    world.step(support(world, 0, 2))
    world.step(after=1_000)
    data = dict(world.reader.data)
    with pytest.raises(UpgradeError, match="version 2 of the rules; this software knows them up to 1; install"):
        world.step()
    assert world.reader.data == data


def test_only_who_has_a_seat_says_what_it_can_run_and_who_lost_it_is_forgotten() -> None:
    world = replays.begun((1, 1), epoch_ms=1_000)
    action = chain.SupportProtocol(2)
    assert world.outcomes(world.step(world.transaction(USER, "support_protocol", action))) == [("failed", "sender")]
    for wrong in (0, upgrades.VERSIONS_MOST + 1):
        payload = world.transaction(account(0), "support_protocol", {"version": wrong})
        assert world.outcomes(world.step(payload)) == [("failed", "action")]
    world.step(support(world, 0, 1))
    assert [where for where, _ in world.state.scan(upgrades.SUPPORT)] == [address(account(0))]
    run = machine.Execution(world.genesis, world.rule, world.state, 9, 9, 0)
    run.state.put(upgrades.SUPPORT, address(9), upgrades.Support(7))
    upgrades.on_epoch(run)
    assert [where for where, _ in run.state.scan(upgrades.SUPPORT)] == [address(account(0))]


def test_safe_mode_lets_the_rules_be_changed() -> None:
    """Else nobody could ever leave it."""
    world, rule = faulty()
    rule.broken = True
    world.step(support(world, 0, 2))
    world.step(after=1_000)
    assert chain.protocol_of(world.state) == 2
