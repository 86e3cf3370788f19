"""Drivers of a network whose validators have stake: one joins, another leaves, and places are those of the epoch."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from committee_world import Signer, account, address, staked
from driver_world import DictLedger, InlineThread, quiet
from leader_engine import Follow
from ledger_world import key
from members_world import IDLE, Town

from soma_core import api, chain, codec
from soma_core.chain import proofs
from soma_core.crypto import digest, signing_digest
from soma_core.errors import VerificationError
from soma_core.node.accusing import STAGGER, signed_header
from soma_core.node.applying import Applying
from soma_core.node.checkpoints import Signed
from soma_core.node.following import Following
from soma_core.node.store import Store

SOMA = 10**9
NEW, USER = 7, 6


def say(town: Town, number: int, kind: str, action: Any, sequence: int = 0) -> None:
    """Let the leader order a transaction."""
    wire = town.world.transaction(number, kind, action, sequence=sequence, expiry=100)
    town.members[0].mempool.add(chain.parse_wire(wire))
    town.members[0].driver.payload_ready()


def registration(town: Town, place: int) -> chain.RegisterValidator:
    proof = signing_digest("soma/possession", town.genesis.chain, 0, address(NEW))
    return chain.RegisterValidator(
        name=f"v{place}",
        key=key(100 + place).public,
        node=key(200 + place).public,
        possession=Signer(100 + place).sign(proof),
        node_possession=Signer(200 + place).sign(proof),
        anchor=town.world.chain_of(place, 1).anchor,
        stake=100 * SOMA,
        commission=500,
    )


async def changed(nursery: trio.Nursery) -> Town:
    """In epoch 0 the node 4 registers and the node 3 says that it leaves; now epoch 1 has gone on for a while."""
    town = Town.under(nursery, staked(), 5)
    await trio.sleep(1)
    say(town, NEW, "register_validator", registration(town, 4))
    say(town, account(3), "leave_validator", chain.LeaveValidator())
    await trio.sleep(7)
    assert [member.epoch() for member in town.members] == [1] * 5
    return town


async def test_one_joins_and_another_leaves_when_an_epoch_ends(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await changed(nursery)
        left, joined = town.members[3], town.members[4]
        assert [seat.name for seat in joined.store.seats(0)] == ["v0", "v1", "v2", "v3"]
        assert [seat.name for seat in joined.store.seats(1)] == ["v0", "v1", "v2", "v4"]
        (engine,) = joined.engines
        assert (engine.setup.epoch, engine.setup.me) == (1, 3)
        assert engine.setup.committee[3].key == key(104).public
        assert 2_400 < engine.setup.committee[3].power < 2_600
        assert [engine.setup.epoch for engine in left.engines] == [0]
        assert (joined.driver.seated, left.driver.seated) == (True, False)
        begun = joined.store.epoch()[1]
        assert set(range(1, begun)) <= set(joined.fetched)
        assert max(joined.applied) > begun + 20
        assert min(left.fetched) >= begun > max(left.applied)
        assert left.store.tip.index > begun + 20
        town.alike()
        nursery.cancel_scope.cancel()


async def test_each_record_is_signed_by_the_committee_of_its_epoch(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await changed(nursery)
        store = town.members[1].store
        begun = store.epoch()[1]
        assert store.proved > begun + 20
        for index in (begun - 1, begun, begun + 20):
            signatures = store.backing.signatures(index)
            record = store.record(index)
            assert signatures is not None
            assert record is not None
            committee = tuple((seat.key, seat.power) for seat in store.seats(record.epoch))
            checkpoint = chain.Checkpoint(record=record, signatures=signatures)
            assert chain.check_checkpoint(town.genesis.chain, committee, checkpoint) >= 3
        engine = town.members[4].engines[0]
        assert [e.peer for e in engine.seen if isinstance(e, api.PeerUp)] == [0, 1, 2]
        nursery.cancel_scope.cancel()


async def test_who_comes_later_follows_across_committees_from_the_first_commit(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await changed(nursery)
        thread: Any = InlineThread()
        store = Store(town.genesis, town.world.rule, DictLedger("late", []))
        following = Following(Applying(store, thread, quiet), lambda: False)
        source = town.members[0].source
        batches = 0
        while store.tip.index < source.head():
            await following.apply(await source.entries(following.next(), 256, 1 << 20))
            batches += 1
        assert batches >= 2  # at a committee's last record it cannot know yet whom to believe next
        assert store.proved == source.head()
        assert [seat.name for seat in store.seats(1)] == ["v0", "v1", "v2", "v4"]
        nursery.cancel_scope.cancel()


async def test_a_receipt_is_proved_from_genesis_through_a_later_committee(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await changed(nursery)
        blob = digest("soma/blob", b"of nobody")
        say(town, USER, "request_embedding", chain.RequestEmbedding(blob=blob, size=9, nonce=0))
        await trio.sleep(3)
        file = town.members[2].store.receipt_file(chain.job_key(address(USER), blob, 0))
        assert file is not None
        assert len(file.handovers) == file.checkpoint.record.epoch
        assert chain.verify_receipt(file, town.genesis).outcome == "refunded"
        assert proofs.load(proofs.dump(file)) == file
        nursery.cancel_scope.cancel()


async def test_a_validator_that_stops_and_starts_in_another_epoch_has_its_place_there(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await changed(nursery)
        joined = town.members[4]
        joined.crash()
        await trio.sleep(0.1)
        nursery.start_soon(joined.run)
        await trio.sleep(1)
        assert joined.engines[-1].setup.me == 3
        before = len(joined.applied)
        await trio.sleep(1)
        assert len(joined.applied) > before
        town.alike()
        nursery.cancel_scope.cancel()


async def test_half_of_a_committee_may_leave_at_once(autojump_clock: Any) -> None:
    """Who stays is no quorum of who was: those that leave say their signatures under the last record."""
    async with trio.open_nursery() as nursery:
        town = Town.under(nursery, staked(), 4)
        await trio.sleep(1)
        for place in (2, 3):
            say(town, account(place), "leave_validator", chain.LeaveValidator())
        await trio.sleep(8)
        assert [member.epoch() for member in town.members] == [1] * 4
        store = town.members[0].store
        assert [seat.name for seat in store.seats(1)] == ["v0", "v1"]
        end = store.epoch()[1] - 1
        assert {place for place, _ in store.backing.signatures(end) or ()} & {2, 3}
        assert store.proved > end + 20
        assert town.members[3].store.tip.index > end + 20
        town.alike()
        nursery.cancel_scope.cancel()


async def test_a_signature_that_is_none_or_of_no_use_is_not_taken(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.under(nursery, staked(), 4)
        await trio.sleep(1)
        checkpoints, store = town.members[0].checkpoints, town.members[0].store
        store.backing.proved = proved = store.proved - 5  # as if the last quorums had not stood yet
        for index, place, what in ((proved + 1, 1, "no member's"), (proved + 1, 9, "wants"), (proved, 1, "wants")):
            with pytest.raises(VerificationError, match=what):
                await checkpoints.hear(Signed(index=index, place=place, signature=bytes(64)))
        nursery.cancel_scope.cancel()


# Two headers of one slot. ---------------------------------------------------------------------------------------------


class Accusing(Follow):
    """Has seen two headers of place 2 in its first slot; but place 2 itself."""

    def step(self, event: api.Event, now: int) -> Sequence[api.Action]:
        actions = super().step(event, now)
        if isinstance(event, api.Start) and self.setup.epoch == 0 and self.setup.me != 2:
            return [*actions, api.Accuse(2, self.body(b"a"), self.body(b"b"))]
        return actions

    def body(self, what: bytes) -> bytes:
        header = codec.encode([1, 0, 7, 2, what])
        signature = Signer(102).sign(signing_digest("soma/block", self.setup.chain, 0, header))
        return len(header).to_bytes(4, "big") + header + signature


async def test_what_engines_accuse_a_validator_of_costs_it_its_stake_and_its_seat(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.under(nursery, staked(), 4, lambda setup: Accusing(setup, asks=True, idle=IDLE))
        await trio.sleep(4.5)
        accused = key(102).public
        state = town.members[1].store.read(lambda state: state)
        slashed = 100 * SOMA - chain.stake_of(state, address(account(2)))
        assert slashed == 100 * SOMA * town.genesis.parameters.slash_equivocation // 10_000
        assert not chain.can_accuse(state, 0, accused)
        assert chain.can_accuse(state, 1, accused)
        await trio.sleep(6)
        assert [member.purse.sent for member in town.members] == [["accuse_validator"], [], [], []]
        assert [seat.name for seat in town.members[1].store.seats(1)] == ["v0", "v1", "v3"]
        assert [len(kept) for kept in town.members[3].driver.evidence.accusations.values()] == [1]
        assert not town.members[2].driver.seated
        town.alike()
        nursery.cancel_scope.cancel()


async def test_where_the_first_is_silent_the_next_in_turn_accuses(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = Town.under(nursery, staked(), 4, lambda setup: Accusing(setup, asks=True, idle=IDLE))
        town.members[0].purse.mute = True
        await trio.sleep(STAGGER - 0.1)
        assert chain.can_accuse(town.members[1].store.read(lambda state: state), 0, key(102).public)
        await trio.sleep(1)
        assert not chain.can_accuse(town.members[1].store.read(lambda state: state), 0, key(102).public)
        assert [member.purse.sent for member in town.members] == [["accuse_validator"], ["accuse_validator"], [], []]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("body", [b"", bytes(3), bytes(67), bytes(69), (1 << 31).to_bytes(4, "big") + bytes(80)])
def test_a_body_that_is_no_header_with_a_signature_is_nothing(body: bytes) -> None:
    assert signed_header(body) is None
    assert signed_header((1).to_bytes(4, "big") + b"h" + bytes(64)) == (b"h", bytes(64))
