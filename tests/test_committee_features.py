"""The consensus suite with committees of several, and engines that declare too much or too little.

The engines here follow a leader: what the member at place 0 says is the order. That bears crashes of the others, and no
lie of the leader.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, field

from soma_core.api import (
    Action,
    Commit,
    Deliver,
    Event,
    Payload,
    PayloadReady,
    PeerUp,
    Persist,
    Pull,
    Received,
    Send,
    SetTimer,
    Setup,
    Start,
    Timer,
)
from soma_core.api.encoding import decode, digest, encode
from soma_core.testing import ConsensusSuite
from soma_core.testing.committee import Committee, order_of


@define
class Follow:
    """Orders what the leader has; `asks` for what it missed as soon as it sees the leader (again)."""

    setup: Setup
    asks: bool
    commits: list[bytes] = field(factory=list)
    early: dict[int, bytes] = field(factory=dict)
    pulling: bool = False

    def step(self, event: Event, now: int) -> list[Action]:
        others = tuple(place for place in range(len(self.setup.committee)) if place != self.setup.me)
        match event:
            case PayloadReady() if self.setup.me == 0 and not self.pulling:
                self.pulling = True
                return [Pull(1 << 16, len(self.commits) + 1)]
            case Payload(items, _system):
                self.pulling = False
                if not items:
                    return []
                return [*self.append(encode(list(items))), Send(others, self.told(len(self.commits)))]
            case PeerUp(place) if self.asks and place == 0:
                return [Send((0,), encode(len(self.commits)))]
            case Received(place, message):
                told: Any = decode(message)
                if place != 0:  # a follower who asks
                    return [Send((place,), self.told(index)) for index in range(told + 1, len(self.commits) + 1)]
                self.early[told[0]] = told[1]
                return [action for items in iter(self.next, None) for action in self.append(items)]
        return []

    def next(self) -> bytes | None:
        return self.early.pop(len(self.commits) + 1, None)

    def told(self, index: int) -> bytes:
        return encode([index, self.commits[index - 1]])

    def append(self, items: bytes) -> list[Action]:
        self.commits.append(items)
        index = len(self.commits)
        pairs = tuple((0, item) for item in decode(items))  # type: ignore[union-attr]
        commit = Commit(index, digest("soma/commit", self.told(index)), index, index, 0, pairs, b"")
        return [Persist(index, {index.to_bytes(8, "big"): items}), Deliver(commit, index)]


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
            self.log.append(encode(list(event.items)))
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
