"""What a node serves to followers, and that a follower takes nothing a quorum did not sign (rules O6 and O7)."""

from typing import Any

import pytest
from attrs import evolve
from driver_world import DictLedger, InlineThread, Setting, drive, quiet
from ledger_world import key

from soma_core import chain
from soma_core.crypto import signing_digest
from soma_core.errors import DecodeError, VerificationError
from soma_core.net import Entry
from soma_core.node.applying import Applying
from soma_core.node.events import Hub
from soma_core.node.following import Following, Source
from soma_core.node.store import Store, pack_commit, unpack_commit
from soma_core.records import pack


def sign(store: Store, index: int, signer: int = 100) -> None:
    record = store.record(index)
    assert record is not None
    digest = signing_digest("soma/checkpoint", store.genesis.chain, record.epoch, chain.record_digest(record))
    store.backing.keep(index, ((0, key(signer).sign(digest)),))


class Pair:
    """A node with commits, and a follower of the same network that has none."""

    def __init__(self, setting: Setting, leader: Store) -> None:
        thread: Any = InlineThread()
        self.leader = leader
        self.source = Source(leader, thread, Hub())
        self.store = Store(setting.world.genesis, setting.world.rule, DictLedger("follower", []))
        self.following = Following(Applying(self.store, thread, quiet), lambda: False)

    async def entries(self, first: int = 1, limit: int = 256, max_bytes: int = 1 << 19) -> list[Entry]:
        return list(await self.source.entries(first, limit, max_bytes))


async def pair(seconds: float = 3) -> Pair:
    setting = Setting()
    leader = await drive(setting, seconds, [], feed=3)
    assert leader.tip.index > 3
    return Pair(setting, leader)


async def test_a_follower_comes_to_the_same_state(autojump_clock: Any) -> None:
    two = await pair()
    for index in range(1, two.leader.tip.index + 1):
        sign(two.leader, index)
    await two.following.apply(await two.entries())
    assert two.store.tip == two.leader.tip
    assert two.store.proved == two.leader.proved
    assert two.store.entries() == two.leader.entries()


async def test_one_signature_covers_what_came_before_it_and_nothing_after(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 3)
    served = await two.entries()
    assert [entry.index for entry in served] == [1, 2, 3]
    assert two.source.head() == 3
    await two.following.apply(served)
    assert (two.store.tip.index, two.following.next()) == (3, 4)


async def test_entries_are_bounded_and_end_with_a_checkpoint(autojump_clock: Any) -> None:
    two = await pair()
    for index in (1, 3):
        sign(two.leader, index)
    assert [e.index for e in await two.entries(limit=2)] == [1]
    assert [e.index for e in await two.entries(max_bytes=1)] == [1]
    assert [e.index for e in await two.entries(first=2)] == [2, 3]
    assert await two.entries(first=4) == []


async def test_without_a_quorum_nothing_is_taken(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 3)
    bare = [evolve(entry, signatures=()) for entry in await two.entries()]
    with pytest.raises(VerificationError, match="not enough members signed"):
        await two.following.apply(bare)
    assert two.store.tip.index == 0


async def test_somebody_elses_signature_proves_nothing(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 3, signer=101)
    with pytest.raises(VerificationError, match="does not fit"):
        await two.following.apply(await two.entries())
    assert two.store.tip.index == 0


async def test_a_gap_or_another_history_is_refused(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 3)
    with pytest.raises(VerificationError, match="does not follow"):
        await two.following.apply((await two.entries())[1:])
    assert two.store.tip.index == 0


async def test_a_commit_that_does_not_come_to_its_record_is_not_written(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 3)
    first, second, third = await two.entries()
    commit = unpack_commit(second.commit)
    false = evolve(
        second, commit=pack_commit(evolve(commit, items=(*commit.items, (0, b"\xa0")), time=commit.time + 1))
    )
    with pytest.raises(VerificationError, match="does not come to the record"):
        await two.following.apply([first, false, third])
    assert two.store.tip.index == 1
    await two.following.apply([second, third])
    assert two.store.tip.index == 3


@pytest.mark.parametrize(
    "change",
    [
        {"index": 3},
        {"digest": b"\1" * 32},
        {"time": (1 << 63) - 1},
        {"leader": 1},
        {"leader": 1 << 20},
        {"items": ((-1, b"\xa0"),)},
        {"items": ((1 << 20, pack(chain.System(link=None, anchors=((0, bytes(32)),), signatures=()))),)},
    ],
    ids=str,
)
async def test_what_no_engine_gives_is_a_lie_of_the_peer_and_stops_nothing(
    change: dict[str, Any], autojump_clock: Any
) -> None:
    two = await pair()
    sign(two.leader, 2)
    first, second = await two.entries()
    false = evolve(second, commit=pack_commit(evolve(unpack_commit(second.commit), **change)))
    with pytest.raises(VerificationError, match="commit 2 does not come to the record"):
        await two.following.apply([first, false])
    assert two.store.tip.index == 1


async def test_a_signer_is_named_in_one_way(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 1)
    (first,) = await two.entries()
    ((_, signature),) = first.signatures
    for place in (b"", b"\0", b"\0\0\0", bytes(1 << 16)):
        with pytest.raises(VerificationError, match="two bytes"):
            await two.following.apply([evolve(first, signatures=((place, signature),))])
    for signatures in (((b"\0\0", signature),) * 2, ((b"\0\1", signature),)):
        with pytest.raises(VerificationError, match="named wrongly"):
            await two.following.apply([evolve(first, signatures=signatures)])
    assert two.store.tip.index == 0


async def test_bytes_that_are_no_commit_are_refused(autojump_clock: Any) -> None:
    two = await pair()
    sign(two.leader, 1)
    (first,) = await two.entries()
    with pytest.raises(DecodeError):
        await two.following.apply([evolve(first, commit=b"\xff")])
    with pytest.raises(DecodeError):
        await two.following.apply([evolve(first, record=b"\xff")])
    assert two.store.tip.index == 0


async def test_a_record_is_covered_by_the_first_checkpoint_after_it(autojump_clock: Any) -> None:
    two = await pair()
    assert two.leader.backing.first_checkpoint(1) is None
    sign(two.leader, 2)
    assert [two.leader.backing.first_checkpoint(index) for index in (1, 2, 3)] == [2, 2, None]
    assert two.leader.receipt_file(bytes(32)) is None
