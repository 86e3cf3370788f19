"""Rules U: epochs, and the money that is made at their end (``specs/18-epochs.md``)."""

import pytest
import replays
from attrs import evolve
from committee_world import Committee, account, address, committee_genesis
from hypothesis import given, settings
from hypothesis import strategies as st

from soma_core import chain
from soma_core.api import Commit
from soma_core.chain import epochs, pools
from soma_core.chain.execution import Execution
from soma_core.records import unpack


def epoch(world: Committee) -> epochs.Epoch:
    return world.state.need(chain.EPOCH)


def balances(world: Committee) -> list[int]:
    return [world.balance(account(place)) for place in world.places]


def with_winners(world: Committee, *won: int) -> None:
    """As if the encoders of keys 1, 2, ... had won so many jobs."""
    state = world.state
    for number, jobs in enumerate(won, 1):
        if jobs:
            state.put(chain.WINS, address(number), chain.Wins(jobs))
    _write(world, state)


def with_pools(world: Committee, **amounts: int) -> None:
    """As if the first user's money had gone to the pools."""
    state = world.state
    chain.accounts.take(state, address(replays.USER), sum(amounts.values()), "the test")
    pools.add_to_pools(state, **amounts)
    _write(world, state)


def _write(world: Committee, state: chain.State) -> None:
    changes = state.changes()
    for name, (_, now) in changes.items():
        assert now is not None
        world.reader.data[name] = now
    tip = evolve(world.tip, lthash=chain.lthash.updated(world.tip.lthash, changes))
    world.trace.append(evolve(world.trace[-1], tip=tip))


def test_an_epoch_ends_with_the_commit_that_reaches_its_time_and_that_commit_is_its_last() -> None:
    world = replays.begun()
    start = world.genesis.time
    last_but_one = world.step(after=start + 59_999 - world.tip.time)
    assert (epoch(world).number, last_but_one.record.epoch) == (0, 0)
    last = world.step(after=1)
    assert last.record.epoch == 0
    assert epoch(world) == epochs.Epoch(number=1, start=start + 60_000, first_index=last.record.index + 1)
    assert [e.number for e in last.events if isinstance(e, chain.EpochBegan)] == [1]
    assert world.step().record.epoch == 1


def test_a_long_silence_is_one_long_epoch_and_makes_the_money_of_one() -> None:
    world = replays.begun()
    before = world.state.need(chain.POOLS).emitted
    world.step(after=600_000_000)
    p = world.genesis.parameters
    assert epoch(world).number == 1
    shares = p.emission_embed + p.emission_validators + p.emission_treasury
    assert world.state.need(chain.POOLS).emitted - before == p.emission * shares // 10_000
    world.step()
    assert epoch(world).number == 1


@pytest.mark.parametrize("emission", [0, 1, 9, 10_007, 10**9, 999_999_999])
def test_emission_is_split_exactly_and_the_targets_share_is_not_made(emission: int) -> None:
    world = replays.begun((1,), emission=emission)
    with_winners(world, 1)
    winner, validator = world.balance(1), world.balance(account(0))
    world.step(after=60_000)
    held = world.state.need(chain.POOLS)
    embed, validators, treasury = emission // 10, emission // 5, emission // 10
    assert held.emitted == embed + validators + treasury
    assert world.balance(1) - winner == embed
    assert world.balance(account(0)) - validator == validators
    assert (held.treasury, held.validators, held.burned) == (treasury, 0, 0)


def test_winners_share_by_jobs_won_and_the_rest_is_treasury() -> None:
    world = replays.begun((1,), emission=1_000_010)
    with_winners(world, 1, 4, 0, 2)
    before = [world.balance(n) for n in range(1, 5)]
    world.step(after=60_000)
    embed = 100_001
    paid = [world.balance(n) - b for n, b in zip(range(1, 5), before, strict=True)]
    assert paid == [embed // 7, embed * 4 // 7, 0, embed * 2 // 7]
    assert world.state.need(chain.POOLS).treasury == 100_001 + embed - sum(paid)
    assert not list(world.state.scan(chain.WINS))
    world.announce()
    world.step(after=60_000)
    assert [world.balance(n) - b for n, b in zip(range(1, 5), before, strict=True)] == paid


def test_without_a_winner_the_embed_share_is_treasury() -> None:
    world = replays.begun((1,), emission=1_000_000)
    world.step(after=60_000)
    assert world.state.need(chain.POOLS).treasury == 200_000


def test_a_job_won_counts_for_its_winner() -> None:
    world = replays.begun()
    replays.whole_job(world)
    ((name, wins),) = world.state.scan(chain.WINS)
    (winner,) = [n for n in range(1, 5) if address(n) == name]
    assert wins.jobs == 1
    before = world.balance(winner)
    world.step(after=60_000)
    assert world.balance(winner) - before == world.genesis.parameters.emission // 10


def test_validators_share_fees_and_emission_by_power_and_the_rest_is_treasury() -> None:
    world = replays.begun((4, 3, 2, 1), emission=1_000_000)
    with_pools(world, validators=33)
    before = balances(world)
    world.step(after=60_000)
    assert [now - b for now, b in zip(balances(world), before, strict=True)] == [80_013, 60_009, 40_006, 20_003]
    assert world.state.need(chain.POOLS).treasury == 200_000 + 2
    assert world.state.need(chain.POOLS).validators == 0


def test_an_account_of_several_validators_is_paid_for_all() -> None:
    start = committee_genesis((4, 3), emission=1_000_000)
    shared = evolve(start, validators=tuple(evolve(v, account=start.validators[0].account) for v in start.validators))
    world = Committee(genesis=shared)
    before = balances(world)
    world.step(after=60_000)
    assert balances(world)[0] - before[0] == 200_000 * 4 // 7 + 200_000 * 3 // 7


def test_emission_stops_at_the_limit_whatever_else_happens() -> None:
    start = committee_genesis((1,)).supply
    world = replays.begun((1,), supply_limit=start + 1_000_000, emission=700_000)
    made = []
    for _ in range(3):
        before = world.state.need(chain.POOLS).emitted
        world.step(after=60_000)
        made.append(world.state.need(chain.POOLS).emitted - before)
    assert made[0] == 280_000
    assert made[1] == 280_000
    room = 1_000_000 - 560_000
    assert made[2] == room // 10 + room // 5 + room // 10
    full = replays.begun((1,), supply_limit=start)
    full.step(after=60_000)
    assert full.state.need(chain.POOLS).emitted == 0


def test_a_thousand_epochs_never_pass_the_limit() -> None:
    start = committee_genesis((3, 2)).supply
    world = Committee(genesis=committee_genesis((3, 2), epoch_ms=1, supply_limit=start + 10**9 + 7, emission=10**7 + 1))
    emitted, data, tip = 0, world.reader.data, world.tip
    for index in range(1, 1001):
        commit = Commit(index, bytes(32), tip.time + 1, 1, 0, (), b"")
        applied = chain.apply(world.genesis, world.rule, world.reader, tip, commit)
        tip = applied.tip
        data.update({key: now for key, (_, now) in applied.changes.items() if now is not None})
        now = world.state.need(chain.POOLS).emitted
        assert emitted <= now <= 10**9 + 7
        emitted = now
        assert epoch(world).number == index
    assert chain.money_in(list(data.items())) == start + emitted
    assert 10**9 - emitted < 100  # what rounding leaves of the last epochs


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**12),
    st.tuples(*[st.integers(0, 3_333)] * 3),
    st.lists(st.integers(0, 50), min_size=4, max_size=4),
    st.lists(st.integers(1, 1 << 40), min_size=1, max_size=5),
    st.integers(0, 10**9),
    st.integers(0, 10**12),
)
def test_any_epoch_shares_out_exactly_what_it_makes(
    emission: int, shares: tuple[int, ...], won: list[int], powers: list[int], fees: int, room: int
) -> None:
    embed, validators, treasury = shares
    start = committee_genesis(powers).supply
    world = Committee(
        genesis=committee_genesis(
            powers,
            emission=emission,
            emission_embed=embed,
            emission_validators=validators,
            emission_treasury=treasury,
            supply_limit=start + room,
        )
    )
    with_winners(world, *won)
    with_pools(world, validators=fees)
    before = [world.balance(n) for n in range(1, 5)], balances(world)
    world.step(after=60_000, system=b"")
    held = world.state.need(chain.POOLS)
    made = min(emission, room)
    parts = [made * share // 10_000 for share in shares]
    assert held.emitted == sum(parts)
    winners = sum(world.balance(n) - b for n, b in zip(range(1, 5), before[0], strict=True))
    paid = sum(balances(world)) - sum(before[1])
    assert winners <= parts[0]
    assert parts[1] + fees - paid < len(powers)
    assert held.treasury == parts[2] + (parts[0] - winners) + (parts[1] + fees - paid)


def test_an_epoch_that_makes_nothing_changes_nothing_but_its_number() -> None:
    world = replays.begun((1,), emission=0)
    state = world.state
    run = Execution(world.genesis, world.rule, state, 2, world.genesis.time + 60_000, 0)
    assert epochs.is_over(run)
    epochs.on_epoch(run)
    assert state.changes() == {}
    epochs.begin_next(run)
    assert list(state.changes()) == [chain.EPOCH.key()]


def test_a_job_lives_on_across_epochs_under_the_epoch_of_its_draw() -> None:
    world = replays.begun((1,), epoch_ms=200)
    job, shard = replays.ask_and_draw(world)
    world.step(*(replays.seal(world, job, n, *replays.answer(n)) for n in shard))
    for _ in range(2):
        world.step(after=200)
        world.announce()
    shown = world.step(*(replays.show(world, job, n, *replays.answer(n)) for n in shard))
    assert world.outcomes(shown) == [("applied", "")] * 3
    applied = world.step()
    (done,) = (e for e in applied.events if isinstance(e, chain.Settled))
    receipt = unpack(chain.JobReceipt, done.receipt)
    assert (receipt.outcome, receipt.epoch, applied.record.epoch) == ("settled", 0, 2)
