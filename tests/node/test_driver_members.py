"""Drivers of four validators: members come and go, epochs pass, and who was away comes back."""

from typing import Any

import trio
from committee_world import address
from members_world import Town

from soma_core import api, chain


async def test_all_come_to_one_history_across_epochs(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        await trio.sleep(16)
        town.alike()
        assert [member.epoch() for member in town.members] == [3, 3, 3, 3]
        for member in town.members:
            assert member.fetched == []
            assert member.store.proved >= member.store.tip.index - 5
            assert {name[:8] for name in member.records.data} == {(3).to_bytes(8, "big")}
        nursery.cancel_scope.cancel()


async def test_an_engine_hears_of_members_whenever_it_begins(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        await trio.sleep(7)
        first, second = town.members[1].engines
        for engine in (first, second):
            assert [e for e in engine.seen if isinstance(e, api.PeerUp)] == [api.PeerUp(p) for p in (0, 2, 3)]
        assert isinstance(second.seen[0], api.Start)
        town.cut_off(2)
        await trio.sleep(0.1)
        assert second.seen[-1:] != [api.PeerUp(2)]
        assert api.PeerDown(2) in second.seen
        nursery.cancel_scope.cancel()


async def test_who_missed_the_end_of_an_epoch_is_served_by_its_last_engine(autojump_clock: Any) -> None:
    """Two of four have closed the epoch: no quorum is there to prove its end, and no quorum for the next."""
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        await trio.sleep(4.95)
        town.lost = lambda sender, receiver, message: receiver in (2, 3)
        await trio.sleep(1.5)
        last = town.members[0].store.epoch()[1] - 1
        assert [member.epoch() for member in town.members] == [1, 1, 0, 0]
        assert town.members[0].store.proved < last
        town.cut_off(2, 3)
        town.lost = lambda *_: False
        town.reconnect(2, 3)
        await trio.sleep(1.5)
        assert [member.epoch() for member in town.members] == [1, 1, 1, 1]
        assert town.members[2].fetched == town.members[3].fetched == []
        assert min(member.store.proved for member in town.members) > last
        assert all({name[:8] for name in m.records.data} == {(1).to_bytes(8, "big")} for m in town.members)
        town.alike()
        nursery.cancel_scope.cancel()


async def test_the_last_engine_serves_after_a_restart_as_well(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        await trio.sleep(4.95)
        town.lost = lambda sender, receiver, message: receiver in (2, 3)
        await trio.sleep(1)
        for place in (0, 1):
            town.members[place].crash()
            await trio.sleep(0.01)
            nursery.start_soon(town.members[place].run)
        await trio.sleep(0.5)
        assert [member.epoch() for member in town.members] == [1, 1, 0, 0]
        again = town.members[0].engines[2]
        assert again.setup.epoch == 0
        assert isinstance(again.seen[1], api.EndEpoch)
        town.cut_off(2, 3)
        town.lost = lambda *_: False
        town.reconnect(2, 3)
        await trio.sleep(1.5)
        assert [member.epoch() for member in town.members] == [1, 1, 1, 1]
        town.alike()
        nursery.cancel_scope.cancel()


async def test_who_was_away_for_epochs_catches_up_as_a_follower_and_takes_part_again(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        late = town.members[3]
        await trio.sleep(3)
        late.crash()
        await trio.sleep(24)
        nursery.start_soon(late.run)
        await trio.sleep(10)
        assert len(late.fetched) > 100
        assert late.epoch() == town.members[0].epoch() > 4
        assert len(late.engines) < 5  # not one for every epoch that passed
        known = set(late.fetched)
        await trio.sleep(10)
        assert late.store.tip.index > max(known)
        assert set(late.fetched) == known  # its own engine orders again
        assert sorted(late.applied + late.fetched) == list(range(1, late.store.tip.index + 1))
        firsts = [engine.setup.first for engine in late.engines]
        assert firsts == sorted(firsts)
        assert firsts[-1] == late.store.epoch()[1]
        town.alike()
        nursery.cancel_scope.cancel()


async def test_who_stands_still_asks_peers_for_commits(autojump_clock: Any) -> None:
    """The engine here asks for what it missed only where it sees the leader anew: a lost message stops it for ever."""
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery, epoch_ms=600_000)
        await trio.sleep(3)
        missed = trio.current_time()
        town.lost = lambda sender, receiver, _message: receiver == 2 and trio.current_time() < missed + 0.3
        await trio.sleep(4)
        late, other = town.members[2].store, town.members[0].store
        assert late.tip.index < other.tip.index - 20
        await trio.sleep(4)
        assert late.tip.index > other.tip.index - 10
        assert town.members[2].fetched
        town.alike()
        nursery.cancel_scope.cancel()


async def test_transactions_in_flight_at_the_end_of_an_epoch_are_ordered_in_the_next(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.of(nursery)
        leader = town.members[0]
        sequence = 0
        await trio.sleep(0.1)
        while trio.current_time() < 12:
            leader.mempool.add(town.transfer(sequence))
            leader.driver.payload_ready()
            sequence += 1
            await trio.sleep(0.2)
        await trio.sleep(1)
        assert leader.epoch() == 2
        assert len(leader.mempool) == 0
        sender = leader.store.read(lambda state: state)
        assert chain.account_of(sender, address(5)).sequence == sequence
        nursery.cancel_scope.cancel()
