"""Rules I1 to I6 (``specs/22-staking.md``) and V10 to V12 (``specs/14-validators.md``): shares and voting power."""

from itertools import pairwise
from typing import Any

import pytest
import stake_world
from hypothesis import given
from hypothesis import strategies as st
from vectors import load

from soma_core.chain import quorum
from soma_core.chain.powers import POWER, POWER_CAP, parts, voting_powers
from soma_core.chain.shares import Shares, cut, earned, joined, left

CASES = load("staking.json")
MONEY = st.integers(1, 10**17)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 3), MONEY),
        st.tuples(st.just("leave"), st.integers(0, 3), st.integers(1, 100)),
        st.tuples(st.just("earn"), st.just(0), MONEY),
        st.tuples(st.just("cut"), st.just(0), st.integers(0, 10_000)),
    ),
    max_size=40,
)


def stakes_of(case: dict[str, Any]) -> list[tuple[int, bytes]]:
    return [(stake, bytes([place])) for place, stake in enumerate(case["in"]["stakes"])]


@pytest.mark.parametrize("case", CASES["voting_power"], ids=lambda case: case["name"])
def test_published_voting_powers(case: dict[str, Any]) -> None:
    assert voting_powers(stakes_of(case)) == tuple(case["out"])


@pytest.mark.parametrize("case", CASES["quorums"], ids=lambda case: case["name"])
def test_published_quorums(case: dict[str, Any]) -> None:
    powers = voting_powers(stakes_of(case))
    assert (sum(powers[place] for place in case["in"]["places"]) >= quorum(powers)) is case["out"]


@pytest.mark.parametrize("case", CASES["pools"], ids=lambda case: case["name"])
def test_published_pools(case: dict[str, Any]) -> None:
    assert CASES["format"] == "soma-chain-cases/1"
    stake_world.play(case["in"]["stakes"], case["in"]["steps"])


@given(st.lists(st.integers(0, 10**16), min_size=1, max_size=120).filter(any))
def test_powers_are_all_there_grow_with_stake_and_are_capped(stakes: list[int]) -> None:
    powers = voting_powers([(stake, bytes([place])) for place, stake in enumerate(stakes)])
    assert sum(powers) == POWER
    ranked = sorted(zip(stakes, powers, strict=True))
    assert all(lower[1] <= higher[1] for lower, higher in pairwise(ranked) if lower[0] < higher[0])
    cap = max(-(-POWER // len(stakes)), POWER_CAP)
    spread = POWER - sum(min(stake * POWER // sum(stakes), cap) for stake in stakes)
    assert max(powers) <= cap + -(-spread // len(stakes))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60))
def test_powers_do_not_depend_on_the_order_of_the_list(stakes: list[int]) -> None:
    named = [(stake, place.to_bytes(2, "big")) for place, stake in enumerate(stakes)]
    assert voting_powers(named[::-1]) == voting_powers(named)[::-1]


@given(st.integers(0, 10**18), st.lists(st.integers(0, 10**6), min_size=1, max_size=30).filter(any))
def test_parts_never_exceed_the_amount_and_leave_less_than_one_each(amount: int, weights: list[int]) -> None:
    shares = parts(amount, weights)
    assert 0 <= amount - sum(shares) < len(weights)
    assert all(share == 0 for share, weight in zip(shares, weights, strict=True) if weight == 0)


@given(STEPS)
def test_what_owners_hold_is_never_worth_more_than_the_pool_has(steps: list[tuple[str, int, int]]) -> None:
    pool, paid_in, paid_out = Shares(), 0, 0
    held: dict[int, tuple[int, int]] = {}

    def now(owner: int) -> int:
        return pool.current(*held.get(owner, (0, pool.halvings)))

    for kind, owner, number in steps:
        if kind == "join":
            tokens = now(owner)
            pool, bought = joined(pool, number)
            held[owner] = (tokens + bought, pool.halvings)
            paid_in += number
        elif kind == "leave":
            before, going = pool, now(owner) * number // 100
            tokens = now(owner) - going
            pool, got = left(pool, going)
            held[owner] = (tokens, pool.halvings)
            paid_out += got
            assert pool.balance * before.tokens >= before.balance * pool.tokens  # who stays loses nothing by it
        elif kind == "earn" and pool.tokens:
            pool = earned(pool, number)
            paid_in += number
        elif kind == "cut":
            amount = pool.balance * number // 10_000
            pool = cut(pool, amount)
            paid_out += amount
        assert pool.balance == paid_in - paid_out
        assert (pool.tokens == 0) == (pool.balance == 0)
        assert pool.tokens <= 2 * pool.balance
        assert sum(now(each) for each in range(4)) <= pool.tokens
        assert sum(pool.worth(now(each)) for each in range(4)) <= pool.balance


@given(MONEY, MONEY, st.integers(1, 9_999))
def test_a_cut_takes_the_same_part_of_everybody(first: int, second: int, basis: int) -> None:
    pool, mine = joined(Shares(), first)
    pool, theirs = joined(pool, second)
    rest = cut(pool, pool.balance * basis // 10_000)
    for tokens, amount in ((mine, first), (theirs, second)):
        wanted = amount * rest.balance // pool.balance
        assert abs(rest.worth(rest.current(tokens, 0)) - wanted) <= 1 + rest.halvings + rest.balance // rest.tokens


def test_a_pool_that_lost_all_begins_anew_and_old_tokens_are_worth_nothing() -> None:
    pool, old = joined(Shares(), 1_000)
    pool = cut(pool, 1_000)
    assert (pool.balance, pool.tokens) == (0, 0)
    pool, new = joined(pool, 500)
    assert (new, pool.current(old, 0)) == (500, 0)
    assert pool.worth(new) == 500


def test_who_leaves_last_takes_all_there_is() -> None:
    pool, first = joined(Shares(), 3)
    pool, second = joined(earned(pool, 4), 5)
    pool, _ = left(pool, first)
    pool, _ = left(pool, second)
    assert pool == Shares()
