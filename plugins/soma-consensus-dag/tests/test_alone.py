"""A committee of one: it loses its consensus database, or was restored from a backup without one, and goes on."""

import pytest

from soma_consensus_dag import Config, Params, open_engine
from soma_core.api import Setup, Signed
from soma_core.api.consensus import Engine
from soma_core.testing.committee import Committee, order_of


def alone(setup: Setup) -> Engine:
    return open_engine(Config(), Params(), setup)


@pytest.mark.parametrize("first", [1, 41])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
def test_it_goes_on_after_what_the_chain_has_in_rounds_that_it_never_used(first: int, *, again: bool) -> None:
    committee = Committee(alone, 1, first=first)
    seat = committee.seats[0]
    for number in range(10):
        committee.submit(seat, b"before %d" % number)
        committee.run(100)
    committee.run(5000)
    before, rounds = len(seat.commits), set(seat.slots)
    for _ in range(1 + again):
        committee.forget(seat)
        committee.run(500)
    committee.submit(seat, b"after")
    committee.run(5000)
    assert seat.commits[before].index == seat.commits[before - 1].index + 1
    assert order_of(seat.commits[before:]) == [b"after"]
    assert len(seat.slots) > len(rounds)
    assert seat.commits[before].round > seat.commits[before - 1].round


def test_it_comes_back_to_where_it_began_anew() -> None:
    committee = Committee(alone, 1)
    seat = committee.seats[0]
    committee.run(3000)
    committee.forget(seat)
    committee.run(3000)
    committee.submit(seat, b"later")
    committee.crash(seat)
    committee.run(3000)
    assert order_of(seat.commits) == [b"later"]
    assert [commit.index for commit in seat.commits] == list(range(1, 1 + len(seat.commits)))
    snapshot = seat.engine.snapshot()
    copy = alone(Setup(bytes(range(32)), 0, seat.engine._made_with[2].committee, 0, 1))  # type: ignore[attr-defined]
    copy.restore(snapshot)
    assert copy.snapshot() == snapshot
    assert copy.step(Signed(b"none", b""), committee.now) == ()
