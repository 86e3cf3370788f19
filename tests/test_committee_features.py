"""The consensus suite with committees of several, and engines that declare too much or too little.

The engines here follow a leader (`leader_engine`).
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define
from leader_engine import Follow

from soma_core.api import (
    Action,
    Event,
    Payload,
    PayloadReady,
    Pull,
    Received,
    SetTimer,
    Setup,
    Start,
    Timer,
)
from soma_core.api.encoding import encode
from soma_core.testing import ConsensusSuite
from soma_core.testing.committee import Committee, order_of


def chosen(*features: str) -> Any:
    return SimpleNamespace(spec=SimpleNamespace(features=frozenset(features)))


def suite(members: int) -> ConsensusSuite:
    return type("Suite", (ConsensusSuite,), {"members": members})()


def following(setup: Setup) -> Any:
    return Follow(setup, asks=False)


def asking(setup: Setup) -> Any:
    return Follow(setup, asks=True)


def catch_up(members: int, engine: Any, *features: str) -> None:
    suite(members).test_catch_up_as_declared(chosen(*features), engine)


def byzantine(members: int, engine: Any) -> None:
    suite(members).test_byzantine_as_declared(chosen("byzantine"), engine)


def test_committee_of_four_orders_alike() -> None:
    committee = Committee(following, 4)
    for number in range(20):
        committee.submit(committee.seats[0], b"%d" % number)
        committee.run(7)
    committee.run(1000)
    orders = [order_of(seat.commits) for seat in committee.seats]
    assert orders == [[b"%d" % number for number in range(20)]] * 4


def test_who_is_cut_off_hears_nothing_until_it_is_back() -> None:
    committee = Committee(asking, 3)
    away = committee.seats[2]
    committee.cut_off(away)
    committee.submit(committee.seats[0], b"missed")
    committee.run(1000)
    assert [len(seat.commits) for seat in committee.seats] == [1, 1, 0]
    committee.reconnect(away)
    committee.run(1000)
    assert [len(seat.commits) for seat in committee.seats] == [1, 1, 1]


def test_catch_up_is_held_as_it_is_declared() -> None:
    catch_up(4, asking, "catch-up")
    catch_up(4, following)
    catch_up(1, following)
    with pytest.raises(AssertionError, match="it had missed: False; declared: True"):
        catch_up(4, following, "catch-up")
    with pytest.raises(AssertionError, match="it had missed: True; declared: False"):
        catch_up(4, asking)
    with pytest.raises(AssertionError, match="nobody goes on without one member"):
        catch_up(1, asking, "catch-up")


class Oracle(Follow):
    """Has one order with all others, by a way that no network gives: a byzantine engine as it looks from outside."""

    def __init__(self, setup: Setup, log: list[bytes]) -> None:
        super().__init__(setup, asks=False)
        self.log = log

    def step(self, event: Event, now: int) -> list[Action]:
        if isinstance(event, PayloadReady):
            return [Pull(1 << 16, 1)]
        if isinstance(event, Payload):
            self.log.append(encode([now, b"", [[0, item] for item in event.items]]))
        new = [action for items in self.log[len(self.commits) :] for action in self.append(items)]
        return [*new, *([SetTimer("look", now + 100)] if isinstance(event, (Start, Timer)) else [])]


def shared_logs() -> Iterator[list[bytes]]:
    """One list for all engines of a committee: of four with a twin, then of four, for each place that may lie."""
    for _place in range(4):
        for engines in (5, 4):
            yield from [[]] * engines


@define
class Alone(Follow):
    """Agrees with nobody, and so never disagrees; declared byzantine, it must go on with what others have."""

    def step(self, event: Event, now: int) -> list[Action]:
        return [] if isinstance(event, (Received, Start)) else super().step(event, now)


def test_byzantine_is_held_where_it_is_declared() -> None:
    suite(4).test_byzantine_as_declared(chosen(), following)
    logs = shared_logs()
    byzantine(4, lambda setup: Oracle(setup, next(logs)))
    with pytest.raises(AssertionError, match=r"liars \{0\}: two orders"):
        byzantine(4, asking)
    with pytest.raises(AssertionError, match="not everything was ordered"):
        byzantine(4, lambda setup: Alone(setup, asks=False))
    with pytest.raises(AssertionError, match="3 members bear no liar"):
        byzantine(3, asking)
