"""Rules I7 to I17: pools, delegation, commission, unbonding (``specs/22-staking.md``)."""

from typing import Any

import pytest
import replays
from attrs import evolve
from committee_world import Committee, address, committee_genesis
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core import chain
from soma_core.chain import stakes
from soma_core.chain.execution import Execution
from soma_core.chain.shares import Shares

OWNER, USER, OTHER = address(1), replays.USER, replays.OTHER
SOMA = 10**9
SHORT = {"epoch_ms": 1_000, "unbonding_ms": 2_500, "evidence_ms": 2_000, "audit_ms": 0, "emission": 0}


def world_of(**changes: Any) -> Committee:
    return Committee(genesis=committee_genesis((1,), **{**SHORT, **changes}))


def done(world: Committee, number: int, kind: str, action: Any, **step: Any) -> str:
    ((_, code),) = world.outcomes(world.step(world.transaction(number, kind, action), **step))
    return code


def pool(world: Committee, owner: bytes = OWNER) -> stakes.StakePool:
    return world.state.need(chain.STAKES, owner)


def held(world: Committee, number: int, owner: bytes = OWNER) -> stakes.Delegation:
    return stakes.delegation(world.state, world.epoch, owner, address(number))


def worth(world: Committee, number: int, owner: bytes = OWNER) -> int:
    return pool(world, owner).active.worth(held(world, number, owner).tokens)


def running(world: Committee) -> Execution:
    """Rules called by hand on a copy of the state."""
    return Execution(world.genesis, world.rule, world.state, world.tip.index + 1, world.tip.time, world.epoch)


def test_an_encoder_of_genesis_has_a_pool_of_its_own_and_keeps_all_it_earns() -> None:
    world = world_of()
    start = Shares(balance=10**11, tokens=10**11)
    assert pool(world) == stakes.StakePool(active=start, leaving=Shares(), commission=10_000, next_commission=10_000)
    assert held(world, 1).tokens == 10**11
    run = running(world)
    before = chain.account_of(run.state, OWNER).balance
    stakes.reward(run, OWNER, 77)
    assert chain.account_of(run.state, OWNER).balance == before + 77
    assert chain.stake_of(run.state, OWNER) == 10**11


def test_stake_joins_with_the_next_epoch_at_the_rate_of_its_beginning() -> None:
    world = world_of()
    before = world.balance(USER)
    assert done(world, USER, "stake", chain.Stake(OWNER, 5 * SOMA)) == ""
    assert world.balance(USER) == before - 5 * SOMA - world.genesis.parameters.fee
    assert (chain.stake_of(world.state, OWNER), held(world, USER).joining) == (10**11, 5 * SOMA)
    world.step(after=1_000)
    assert chain.stake_of(world.state, OWNER) == 10**11 + 5 * SOMA
    assert held(world, USER) == stakes.Delegation(tokens=5 * SOMA)


def test_an_entry_is_forgotten_when_everybody_has_counted_by_it() -> None:
    world = world_of()
    for number in (USER, OTHER):
        done(world, number, "stake", chain.Stake(OWNER, 5 * SOMA))
    world.step(after=1_000)
    ((_, entry),) = world.state.scan(stakes.ENTRIES)
    assert (entry.pending, entry.unclaimed, entry.rate.balance) == (0, 10 * SOMA, 10**11)
    done(world, USER, "unstake", chain.Unstake(OWNER, SOMA))
    ((_, entry),) = world.state.scan(stakes.ENTRIES)
    assert entry.unclaimed == 5 * SOMA
    done(world, OTHER, "unstake", chain.Unstake(OWNER, 5 * SOMA))
    assert world.state.count(stakes.ENTRIES) == 0
    assert world.state.get(chain.DELEGATIONS, OWNER + address(OTHER)) is None


def test_what_has_not_joined_comes_back_at_once_and_first() -> None:
    world = world_of()
    done(world, USER, "stake", chain.Stake(OWNER, 5 * SOMA))
    before = world.balance(USER)
    assert done(world, USER, "unstake", chain.Unstake(OWNER, 2 * SOMA)) == ""
    assert world.balance(USER) == before + 2 * SOMA - world.genesis.parameters.fee
    assert done(world, USER, "unstake", chain.Unstake(OWNER, 2 * SOMA + 1)) == ""  # what would stay is too little
    assert world.balance(USER) == before + 5 * SOMA - 2 * world.genesis.parameters.fee
    assert world.state.count(stakes.ENTRIES) == 0
    assert done(world, USER, "unstake", chain.Unstake(OWNER, 1)) == "stake"


def test_a_later_stake_does_not_disturb_an_earlier_one() -> None:
    world = world_of()
    done(world, 1, "set_commission", chain.SetCommission(0))
    done(world, USER, "stake", chain.Stake(OWNER, 10 * SOMA), after=1_000)
    _earn(world, 11 * SOMA)  # 110 have become 121
    done(world, USER, "stake", chain.Stake(OWNER, 11 * SOMA))
    mine = held(world, USER)
    assert (mine.tokens, mine.joining) == (10 * SOMA, 11 * SOMA)
    world.step(after=1_000)
    assert held(world, USER).tokens == 20 * SOMA
    assert worth(world, USER) == 22 * SOMA


def test_leaving_stake_earns_nothing_and_is_released_after_unbonding_at_an_epochs_end() -> None:
    world = world_of()
    done(world, 1, "set_commission", chain.SetCommission(0))
    done(world, USER, "stake", chain.Stake(OWNER, 10 * SOMA), after=1_000)
    before = world.balance(USER)
    fee = world.genesis.parameters.fee
    assert done(world, USER, "unstake", chain.Unstake(OWNER, 4 * SOMA)) == ""
    assert (worth(world, USER), pool(world).leaving.balance) == (6 * SOMA, 4 * SOMA)
    _earn(world, 106 * SOMA)
    assert worth(world, USER) == 12 * SOMA
    for _ in range(2):
        world.step(after=1_000)
        assert world.balance(USER) == before - fee
    world.step(after=1_000)
    assert world.balance(USER) == before - fee + 4 * SOMA
    assert pool(world).leaving == Shares()
    assert world.state.count(stakes.DEPARTURES) == 0


def test_two_departures_of_one_moment_are_one() -> None:
    world = world_of()
    done(world, USER, "stake", chain.Stake(OWNER, 10 * SOMA), after=1_000)
    action = chain.Unstake(OWNER, 2 * SOMA)
    world.step(*(world.transaction(USER, "unstake", action) for _ in range(2)))
    ((_, departure),) = world.state.scan(stakes.DEPARTURES)
    assert departure.tokens == 4 * SOMA


def test_a_cut_takes_from_who_stays_and_who_leaves_and_not_from_who_has_not_joined() -> None:
    world = world_of()
    for number in (USER, OTHER):
        done(world, number, "stake", chain.Stake(OWNER, 50 * SOMA))
    world.step(after=1_000)
    done(world, USER, "unstake", chain.Unstake(OWNER, 50 * SOMA))
    done(world, OTHER, "stake", chain.Stake(OWNER, 7 * SOMA))
    run = running(world)
    assert stakes.at_risk(run.state, OWNER) == 200 * SOMA
    assert stakes.cut_stake(run, OWNER, 100 * SOMA) == 100 * SOMA
    cut = run.state.need(chain.STAKES, OWNER)
    assert (cut.active.balance, cut.leaving.balance) == (75 * SOMA, 25 * SOMA)
    ((_, departure),) = run.state.scan(stakes.DEPARTURES)
    assert cut.leaving.worth(cut.leaving.current(departure.tokens, departure.halvings)) == 25 * SOMA
    theirs = stakes.delegation(run.state, run.epoch, OWNER, address(OTHER))
    assert (cut.active.worth(theirs.tokens), theirs.joining) == (25 * SOMA, 7 * SOMA)
    assert stakes.cut_stake(run, OWNER, 1 << 60) == 100 * SOMA
    assert stakes.cut_stake(run, OWNER, 1) == 0
    assert stakes.cut_stake(run, address(OTHER), 1) == 0
    assert run.state.need(chain.POOLS).treasury - world.state.need(chain.POOLS).treasury == 200 * SOMA


def test_a_pool_that_lost_all_pays_its_owner_and_can_be_joined_again() -> None:
    world = world_of()
    done(world, 1, "set_commission", chain.SetCommission(0))
    done(world, USER, "stake", chain.Stake(OWNER, 5 * SOMA), after=1_000)
    run = running(world)
    stakes.cut_stake(run, OWNER, 1 << 60)
    mine = stakes.delegation(run.state, run.epoch, OWNER, address(USER))
    assert mine.tokens == 0
    before = chain.account_of(run.state, OWNER).balance
    stakes.reward(run, OWNER, 9)
    assert chain.account_of(run.state, OWNER).balance == before + 9
    handler = stakes.ACTIONS["stake"]
    handler.run(run, address(OTHER), chain.Stake(OWNER, 3 * SOMA))
    stakes.on_epoch(run)
    theirs = stakes.delegation(run.state, run.epoch + 1, OWNER, address(OTHER))
    assert run.state.need(chain.STAKES, OWNER).active.worth(theirs.tokens) == 3 * SOMA
    with pytest.raises(chain.Refusal, match="has nothing in this pool"):
        stakes.ACTIONS["unstake"].run(run, address(USER), chain.Unstake(OWNER, 1))


def test_commission_changes_with_the_next_epoch() -> None:
    world = world_of()
    assert done(world, 1, "set_commission", chain.SetCommission(2_000)) == ""
    assert done(world, 1, "set_commission", chain.SetCommission(3_000)) == ""
    assert stakes.commission_of(pool(world), 0) == 10_000
    assert stakes.commission_of(pool(world), 1) == 3_000
    world.step(after=1_000)
    run = running(world)
    before = chain.account_of(run.state, OWNER).balance
    stakes.reward(run, OWNER, 1_001)
    assert chain.account_of(run.state, OWNER).balance == before + 300
    assert chain.stake_of(run.state, OWNER) == 10**11 + 701
    assert done(world, USER, "set_commission", chain.SetCommission(0)) == "pool"


@pytest.mark.parametrize(
    ("kind", "action", "code"),
    [
        ("stake", chain.Stake(address(OTHER), SOMA), "pool"),
        ("stake", chain.Stake(OWNER, SOMA - 1), "stake"),
        ("stake", chain.Stake(OWNER, 1 << 61), "overdraft"),
        ("unstake", chain.Unstake(address(OTHER), 1), "pool"),
        ("unstake", chain.Unstake(OWNER, 1), "stake"),
        ("set_commission", {"commission": 10_001}, "action"),
        ("stake", {"owner": OWNER, "amount": 0}, "action"),
    ],
)
def test_a_refusal_costs_its_fee_and_changes_nothing_else(kind: str, action: Any, code: str) -> None:
    world = world_of()
    before = world.balance(USER)
    tables = (chain.STAKES, chain.DELEGATIONS, stakes.ENTRIES, stakes.DEPARTURES)
    held_before = [list(world.state.scan(table)) for table in tables]
    assert done(world, USER, kind, action) == code
    assert world.balance(USER) == before - world.genesis.parameters.fee
    assert [list(world.state.scan(table)) for table in tables] == held_before


def test_winnings_reach_those_who_staked_with_an_encoder() -> None:
    world = replays.begun(**SHORT)
    for number in range(1, 5):
        done(world, number, "set_commission", chain.SetCommission(0))
        done(world, USER, "stake", chain.Stake(address(number), 100 * SOMA))
    world.step(after=1_000)
    world.announce()
    replays.whole_job(world)
    pot, _ = chain.price(world.genesis.parameters, 100)
    assert sum(chain.stake_of(world.state, address(n)) for n in range(1, 5)) == 4 * 200 * SOMA + pot
    assert sum(worth(world, USER, address(n)) for n in range(1, 5)) == 4 * 100 * SOMA + pot // 2


def _earn(world: Committee, amount: int) -> None:
    """As if the pool had earned `amount` of somebody's money."""
    state = world.state
    chain.accounts.take(state, address(0), amount, "the test")
    stakes.reward(Execution(world.genesis, world.rule, state, 1, 1, world.epoch), OWNER, amount)
    changes = state.changes()
    world.reader.data.update({name: now for name, (_, now) in changes.items() if now is not None})
    tip = evolve(world.tip, lthash=chain.lthash.updated(world.tip.lthash, changes))
    world.trace.append(evolve(world.trace[-1], tip=tip))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("stake"), st.integers(4, 7), st.integers(1, 2), st.integers(1, 60 * SOMA)),
        st.tuples(st.just("unstake"), st.integers(1, 7), st.integers(1, 2), st.integers(1, 60 * SOMA)),
        st.tuples(st.just("commission"), st.integers(1, 2), st.just(0), st.integers(0, 10_000)),
        st.tuples(st.just("earn"), st.just(0), st.integers(1, 2), st.integers(1, 60 * SOMA)),
        st.tuples(st.just("cut"), st.just(0), st.integers(1, 2), st.integers(0, 10_000)),
        st.tuples(st.just("epoch"), st.just(0), st.just(0), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_whatever_happens_all_money_is_there_and_pools_cover_what_is_owned(
    steps: list[tuple[str, int, int, int]],
) -> None:
    world = world_of()
    state, time, epoch = world.state, world.tip.time, 0
    supply = world.genesis.supply
    for kind, who, where, number in [*steps, *[("epoch", 0, 0, 0)] * 4]:
        time += 100
        run = Execution(world.genesis, world.rule, state, 1, time, epoch)
        owner, sender = address(where), address(who)
        try:
            with state.attempt():
                match kind:
                    case "stake":
                        stakes.ACTIONS["stake"].run(run, sender, chain.Stake(owner, number))
                    case "unstake":
                        stakes.ACTIONS["unstake"].run(run, sender, chain.Unstake(owner, number))
                    case "commission":
                        stakes.ACTIONS["set_commission"].run(run, sender, chain.SetCommission(number))
                    case "earn":
                        chain.accounts.take(state, address(0), number, "the test")
                        stakes.reward(run, owner, number)
                    case "cut":
                        stakes.cut_stake(run, owner, stakes.at_risk(state, owner) * number // 10_000)
        except chain.Refusal:
            pass
        if kind == "epoch":
            run.time = time = time + 1_000
            stakes.on_epoch(run)
            epoch += 1
        _check(state, epoch)
        entries = {**world.reader.data, **{key: now for key, (_, now) in state.changes().items()}}
        assert chain.money_in(list(entries.items())) == supply
    assert all(entry.pending == 0 for _, entry in state.scan(stakes.ENTRIES))
    assert [key for key, _ in state.scan(stakes.DEPARTURES) if int.from_bytes(key[:8], "big") <= time] == []


def _check(state: chain.State, epoch: int) -> None:
    """Pools cover what is owned in them, and entries what is joining or not counted yet."""
    joining: dict[bytes, int] = {}
    for owner, pool in state.scan(chain.STAKES):
        mine = [
            stakes.delegation(state, epoch, owner, key[32:])
            for key, _ in state.scan(chain.DELEGATIONS)
            if key[:32] == owner
        ]
        assert sum(each.tokens for each in mine) <= pool.active.tokens <= 2 * pool.active.balance
        joining[owner] = sum(each.joining for each in mine)
        leaving = [
            pool.leaving.current(each.tokens, each.halvings)
            for key, each in state.scan(stakes.DEPARTURES)
            if key[8:40] == owner
        ]
        assert sum(leaving) <= pool.leaving.tokens <= 2 * pool.leaving.balance
    pending = dict.fromkeys(joining, 0)
    for key, entry in state.scan(stakes.ENTRIES):
        pending[key[8:]] += entry.pending
    assert pending == joining
