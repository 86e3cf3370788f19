"""The two turns of the benchmark of consensus, in one process, and what is made of what processes tell."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from benchmarks import consensus_peer as peer
from benchmarks.consensus import delay, figures, rate

from soma_core.node.threads import open_thread

BLOCKS = 2


async def taken(kind: str, directory: Path, blocks: int = BLOCKS) -> Sequence[peer.Turn]:
    """The four turns of processes that hear each other at once."""
    members = range(peer.MEMBERS)
    channels = [trio.open_memory_channel[tuple[int, bytes]](1_000) for _ in members]

    def sender(place: int) -> peer.Sender:
        def send(other: int, message: bytes) -> bool:
            channels[other][0].send_nowait((place, message))
            return True

        return send

    async def hear(turn: peer.Turn, place: int) -> None:
        async for other, message in channels[place][1]:
            assert message[: peer.EPOCH_SIZE] == (1).to_bytes(peer.EPOCH_SIZE, "big")
            await turn.hear(other, message[peer.EPOCH_SIZE :])

    async with AsyncExitStack() as stack:
        turns = []
        for place in members:
            disk = await stack.enter_async_context(peer.disk(directory))
            thread = await stack.enter_async_context(open_thread("verify"))
            turns.append(peer.KINDS[kind](1, place, blocks, sender(place), disk, thread))
        nursery = await stack.enter_async_context(trio.open_nursery())
        for place, turn in enumerate(turns):
            nursery.start_soon(turn.run)
            nursery.start_soon(hear, turn, place)
        with trio.fail_after(30):
            for turn in turns:
                await turn.ready.wait()
            assert not any(turn.over.is_set() for turn in turns)
            for turn in turns:
                turn.go()
            for turn in turns:
                await turn.over.wait()
        nursery.cancel_scope.cancel()
    return turns


def test_everybody_gets_every_transaction_in_the_common_order(tmp_path: Path) -> None:
    turns = trio.run(taken, "ordered", tmp_path)
    for turn in turns:
        assert len(turn.ages) == BLOCKS * peer.MEMBERS
        assert all(0 < age < 30 for age in turn.ages)


def test_bare_frames_reach_everybody_and_the_disk(tmp_path: Path) -> None:
    turns = trio.run(taken, "bare", tmp_path)
    for turn in turns:
        assert len(turn.ages) == BLOCKS * (peer.MEMBERS - 1)


def test_a_bare_frame_that_came_to_harm_ends_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "verify", lambda *_: False)
    with pytest.raises(ExceptionGroup):
        trio.run(taken, "bare", tmp_path, 1)


@pytest.mark.parametrize("kind", ["ordered", "bare"])
def test_bare_frames_are_as_long_as_blocks(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    hear = peer.KINDS[kind].hear

    async def noted(turn: Any, place: int, message: bytes) -> None:
        sizes.append(len(message))
        await hear(turn, place, message)

    monkeypatch.setattr(peer.KINDS[kind], "hear", noted)
    trio.run(taken, kind, tmp_path)
    assert max(sizes) == pytest.approx(peer.ITEMS * peer.ITEM + peer.OVERHEAD, rel=0.005)


def test_a_full_block_is_less_than_its_members_part_of_a_commit() -> None:
    from soma_consensus_dag._block import COMMIT_BYTES

    assert peer.ITEMS * peer.ITEM * (peer.MEMBERS + 1) <= COMMIT_BYTES


def test_items_have_their_size_differ_and_know_their_age() -> None:
    items = peer.payload_of(3)
    assert [len(item) for item in items] == [peer.ITEM] * 3
    assert len(set(items)) == 3
    assert 0 <= peer.age_of(items[0]) < 30


def test_the_slowest_process_ends_a_turn_and_a_transaction_counts_once() -> None:
    told = [{"began": 10.0, "ended": 11.0, "ages": [0.1]}, {"began": 10.5, "ended": 14.0, "ages": [0.2, 0.3]}]
    found = figures(told, blocks=10)
    assert found.speed == 10 * peer.MEMBERS * peer.ITEMS / 4
    assert found.delays == [0.1, 0.2, 0.3]


def test_rates_and_delays_are_told_in_words() -> None:
    assert rate([1_000.0, 3_000.0, 2_000.0]) == "2,000 tx/s, 1.0 MB/s"
    assert delay([0.010, 0.010, 0.010, 0.020]).startswith("p50 10 ms, p95 ")
