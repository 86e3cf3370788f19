"""A liar signs no record, and a quorum would need the very member that is behind: it comes back all the same (O26)."""

from typing import Any

import pytest
import trio
from attrs import evolve
from committee_world import committee_genesis, staked
from driver_world import DictLedger, InlineThread, quiet
from ledger_world import key
from members_world import Town, dag

from soma_core import chain
from soma_core.crypto import signing_digest
from soma_core.errors import VerificationError
from soma_core.genesis import Genesis
from soma_core.node.applying import Applying
from soma_core.node.checkpoints import KEPT, Checkpoints, Signed
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source
from soma_core.node.store import Store


async def without_a_quorum(nursery: trio.Nursery, genesis: Genesis) -> Town:
    """Member 3 keeps back its signatures, and member 2 was away for epochs."""
    town = Town.under(nursery, genesis, 4, dag)
    town.members[3].withholds = True
    await trio.sleep(2)
    town.members[2].crash()
    await trio.sleep(25)
    for member in town.members[:2]:
        assert member.epoch() >= 2
        assert member.store.proved <= town.members[2].store.tip.index
        assert member.store.backing.vouched >= member.store.tip.index - 3
    return town


@pytest.mark.parametrize("genesis", [committee_genesis(epoch_ms=5_000), staked()], ids=["fixed", "changing"])
async def test_a_member_takes_what_somebody_honest_has_signed(genesis: Genesis, autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await without_a_quorum(nursery, genesis)
        late = town.members[2]
        nursery.start_soon(late.run)
        await trio.sleep(12)
        assert late.fetched
        assert late.applied[-1] > late.fetched[-1]
        town.alike()
        for member in town.members:
            assert member.store.proved >= member.store.tip.index - 4, "with the signatures of who was late"
        follower = Following(follower_of(town), lambda: False)
        while follower.next() <= town.members[0].store.proved:
            await follower.apply(await town.members[0].source.entries(follower.next(), 256, 1 << 20))
        nursery.cancel_scope.cancel()


def follower_of(town: Town) -> Applying:
    thread: Any = InlineThread()
    return Applying(Store(town.genesis, town.world.rule, DictLedger("follower", [])), thread, quiet)


async def test_who_is_no_member_takes_nothing_of_it(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await without_a_quorum(nursery, staked())
        source, proved = town.members[0].source, town.members[0].store.proved
        applying = follower_of(town)
        follower, member = Following(applying, lambda: False), Following(applying, lambda: True)
        assert source.head() == proved < source.head(vouched=True)
        await follower.apply(await source.entries(1, 256, 1 << 20))
        assert follower.next() == proved + 1
        entries = await source.entries(proved + 1, 256, 1 << 20, vouched=True)
        with pytest.raises(VerificationError, match="is needed"):
            await follower.apply(entries)
        few = [evolve(entry, signatures=entry.signatures[:1]) for entry in entries]
        with pytest.raises(VerificationError, match="is needed"):
            await member.apply(few)
        assert follower.next() == proved + 1
        while member.next() <= source.head(vouched=True):  # a committee at a time
            await member.apply(await source.entries(member.next(), 256, 1 << 20, vouched=True))
        assert applying.store.tip.index == entries[-1].index
        nursery.cancel_scope.cancel()


async def test_what_vouches_for_an_epochs_end_is_there_after_a_restart(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await without_a_quorum(nursery, staked())
        before = town.members[0].store
        ends = [index for index in range(1, before.tip.index) if before.backing.ends_epoch(index)]
        town.members[0].crash()
        await trio.sleep(0.1)
        after = Store(town.genesis, town.world.rule, town.members[0].ledger)
        assert after.backing.vouched >= ends[-1] > after.proved
        assert [len(after.backing.vouches(end) or ()) for end in ends] == [2] * len(ends)
        thread: Any = InlineThread()
        source = Source(after, thread, Hub())
        for limit in (1, 7, 256):  # wherever it is cut, there are signatures
            entries = await source.entries(after.proved + 1, limit, 1 << 20, vouched=True)
            assert len(entries) == min(limit, after.backing.vouched - after.proved)
        nursery.cancel_scope.cancel()


async def test_the_last_signature_under_an_epochs_end_may_come_late(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        town = await without_a_quorum(nursery, staked())
        store = town.members[0].store
        end = next(index for index in range(1, store.tip.index) if store.backing.ends_epoch(index))
        assert store.tip.index < end + KEPT
        thread: Any = InlineThread()
        checkpoints = Checkpoints(store, thread, Hub(), None)  # of a node that was started again
        record = store.record(end)
        assert record is not None
        store.tip = evolve(store.tip, index=end + 2 * KEPT)  # as if much later
        signature = key(102).sign(
            signing_digest("soma/checkpoint", town.genesis.chain, record.epoch, chain.record_digest(record))
        )
        with pytest.raises(VerificationError, match="nobody wants"):
            await checkpoints.hear(Signed(index=end - 1, place=2, signature=signature))
        with pytest.raises(VerificationError, match="no member's signature"):
            await checkpoints.hear(Signed(index=end, place=1, signature=signature))
        assert store.backing.signatures(end) is None
        await checkpoints.hear(Signed(index=end, place=2, signature=signature))
        assert [place for place, _ in store.backing.signatures(end) or ()] == [0, 1, 2]
        assert store.proved >= end
        nursery.cancel_scope.cancel()
