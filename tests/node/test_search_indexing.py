"""A node's index holds what the ledger says, however often the node dies (rules SE1 to SE8, ``specs/84-search.md``)."""

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from driver_world import InlineThread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from search_world import (
    USER,
    Killed,
    Machine,
    Twin,
    audited_chain,
    expected,
    inline,
    job_name,
    live,
    opener,
    receipt_of,
    vectors,
)

from soma_core.api.searching import LABELS
from soma_core.errors import PluginError, RefusedError
from soma_core.node import indexing
from soma_core.node.events import Hub
from soma_core.node.indexing import AGAIN, OPENING, READY, SAVE, Indexing, labels_of
from soma_core.node.threads import open_thread

JOB = st.tuples(st.integers(0, 6), st.none() | st.integers(1, 9))
COMMIT = st.lists(JOB, max_size=3, unique_by=lambda pair: pair[0])


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def inlined(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Machine:
    """Everything in this thread."""
    inline(monkeypatch, machine)
    return machine


async def test_every_settled_job_is_held_with_what_is_known_of_it(inlined: Machine, tmp_path: Path) -> None:
    node = live(inlined, tmp_path)
    node.commit((1, 11), (2, None))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        await node.caught_up()
        node.commit((3, 13))
        await node.caught_up()
        assert set(node.twin.held) == {job_name(1), job_name(3)}
        assert vectors(node.twin.held.items()) == expected(node.store)
        labels = node.twin.held[job_name(1)][1]
        assert labels == labels_of(receipt_of(1, 11, 1))
        assert labels == {
            "winner": "e2",
            "size": 101,
            "epoch": 3,
            "blob": receipt_of(1, 11, 1).blob.hex(),
            "requester": USER.hex(),
        }
        assert {name: type(value) for name, value in labels.items()} == LABELS
        status = node.indexing.status
        assert (status.plugin, status.state, status.vectors, status.behind) == ("index-twin", READY, 2, 0)
        nursery.cancel_scope.cancel()
    assert node.twin.calls[-1] == "close"


async def test_verdicts_replace_a_vector_or_take_it_out(inlined: Machine, tmp_path: Path) -> None:
    node = live(inlined, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        node.commit((1, 11), (2, 12), (3, 13))
        await node.caught_up()
        node.commit((1, 21), (2, None))
        await node.caught_up()
        assert set(node.twin.held) == {job_name(1), job_name(3)}
        assert vectors(node.twin.held.items()) == expected(node.store)
        nursery.cancel_scope.cancel()


async def test_a_vector_of_zeros_points_nowhere_and_is_not_held(inlined: Machine) -> None:
    twin = Twin(inlined, {})
    zeros = receipt_of(1, 1, 1, vector=bytes(16))
    assert indexing._take(twin, {zeros.job: zeros}) == 0
    assert twin.calls == ["remove", "__len__"]


async def test_a_long_ledger_is_read_in_parts(
    inlined: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PART", 2_000)
    node = live(inlined, tmp_path)
    for number in range(40):
        node.commit((number, number + 1))
    sizes = []
    read = node.store.receipts_from

    def noted(index: int, most: int) -> Any:
        stored, last = read(index, most)
        sizes.append(sum(map(len, stored)))
        return stored, last

    monkeypatch.setattr(node.store, "receipts_from", noted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        await node.caught_up()
        nursery.cancel_scope.cancel()
    assert vectors(node.twin.held.items()) == expected(node.store)
    assert inlined.added == 40
    assert len(sizes) > 5
    assert max(sizes) < 4_000


# Every way to die. ----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whenever_the_node_is_killed_the_index_comes_to_what_the_ledger_says(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine, directory = Machine(), tmp_path_factory.mktemp("node")
    durable = data.draw(st.booleans(), label="durable")

    async def one_life(die: int) -> None:
        machine.dead, machine.die, machine.events = False, die, 0
        node = live(machine, directory, durable=durable)
        if not durable:
            node.twin.held.clear()
        node.twin.faults = data.draw(st.lists(st.none() | st.just(ValueError("no")), max_size=3), label="faults")
        with trio.CancelScope() as life:

            async def keep() -> None:
                try:
                    await node.indexing.run()
                except* Killed:
                    life.cancel()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep)
                for settled in data.draw(st.lists(COMMIT, max_size=4), label="commits"):
                    node.commit(*settled, told=data.draw(st.booleans(), label="told"))
                    await trio.sleep(data.draw(st.sampled_from([0, 0.5, SAVE]), label="seconds"))
                if die:
                    machine.dead = True  # between two writes
                    life.cancel()
                else:
                    node.hub.wake()
                    await node.caught_up()
                    assert vectors(node.twin.held.items()) == expected(node.store)
                    assert node.indexing.status.vectors == len(node.twin.held)
                nursery.cancel_scope.cancel()

    with pytest.MonkeyPatch.context() as patch:
        inline(patch, machine)
        for die in (*data.draw(st.lists(st.integers(-6, 6).filter(bool), max_size=4), label="deaths"), 0):
            trio.run(one_life, die, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_a_durable_index_goes_on_where_it_was_and_another_begins_again(inlined: Machine, tmp_path: Path) -> None:
    async def life(*, durable: bool) -> int:
        before = inlined.added
        node = live(inlined, tmp_path, durable=durable)
        node.commit((len(expected(node.store)), 5))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.indexing.run)
            await node.caught_up()
            assert vectors(node.twin.held.items()) == expected(node.store)
            nursery.cancel_scope.cancel()
        return inlined.added - before

    assert [await life(durable=True) for _ in range(3)] == [1, 1, 1]
    assert [await life(durable=False) for _ in range(2)] == [4, 5]
    assert await life(durable=True) == 6, "how far it was is not believed of an index that was another"


@pytest.mark.parametrize("trouble", ["lost", "less", "damaged", "another chain", "a longer chain"])
async def test_what_an_index_lost_is_read_again(inlined: Machine, tmp_path: Path, trouble: str) -> None:
    node = live(inlined, tmp_path)
    for number in range(5):
        node.commit((number, number + 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        await node.caught_up()
        nursery.cancel_scope.cancel()
    (path,) = (tmp_path / "indexes").iterdir()
    assert path.name == "index-twin"
    if trouble == "lost":
        inlined.vectors.clear()
    elif trouble == "less":
        del inlined.vectors[job_name(2)]
    elif trouble == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
        inlined.vectors.clear()
    else:
        looked = indexing.unpack(indexing.Looked, path.read_bytes())
        other = {"record": bytes(32)} if trouble == "another chain" else {"index": looked.index + 9}
        path.write_bytes(indexing.pack(indexing.Looked(**{**_fields(looked), "vectors": 0, **other})))
        inlined.vectors.clear()
    again = live(inlined, tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(again.indexing.run)
        await again.caught_up()
        nursery.cancel_scope.cancel()
    assert vectors(again.twin.held.items()) == expected(again.store)
    assert inlined.added == 10


def _fields(looked: indexing.Looked) -> dict[str, Any]:
    return {"index": looked.index, "record": looked.record, "vectors": looked.vectors}


# Indexes that fail. ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("corrupt\nfile"), OSError(28, "No space left on device"), SystemExit(3)])
async def test_an_index_that_does_not_open_is_said_and_opened_again(
    inlined: Machine, tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture, autojump_clock: Any
) -> None:
    opened = 0

    def make() -> Any:
        nonlocal opened
        opened += 1
        if opened < 4:
            raise error
        return node.twin

    node = live(inlined, tmp_path, make=make)
    node.commit((1, 1))
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        await trio.sleep(1)
        state = node.indexing.status.state
        assert state.startswith(f"index-twin (soma-twin 1): open raised {type(error).__name__}")
        assert "\n" not in state
        with pytest.raises(RefusedError, match=r"the index does not answer: index-twin .* open raised"):
            await node.indexing.search(None, 1, {})  # type: ignore[arg-type]  # nobody looks at it
        await node.caught_up()
        assert trio.current_time() - begun == pytest.approx(AGAIN * (1 + 2 + 4), abs=1)
        nursery.cancel_scope.cancel()
    assert opened == 4
    said = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 3
    assert "the node goes on without its index" in said[0].getMessage()


async def test_an_index_that_fails_to_take_loses_nothing(
    inlined: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture, autojump_clock: Any
) -> None:
    node = live(inlined, tmp_path)
    node.twin.faults = [None, ValueError("the server is down"), None, RuntimeError()]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        for number in range(4):
            node.commit((number, number + 1), (number + 10, None))
            await trio.sleep(0.1)
        await node.caught_up()
        assert vectors(node.twin.held.items()) == expected(node.store)
        nursery.cancel_scope.cancel()
    assert "add raised ValueError: the server is down" in caplog.text
    assert node.twin.calls.count("close") == 3


async def test_an_index_in_memory_that_failed_is_filled_again(
    inlined: Machine, tmp_path: Path, autojump_clock: Any
) -> None:
    def make() -> Twin:
        node.twin.held.clear()
        return node.twin

    node = live(inlined, tmp_path, durable=False, make=make)
    node.twin.faults = [None, None, MemoryError()]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        for number in range(4):
            node.commit((number, number + 1))
            await trio.sleep(0.1)
        await node.caught_up()
        assert vectors(node.twin.held.items()) == expected(node.store)
        assert len(node.twin.held) == 4
        nursery.cancel_scope.cancel()


async def test_an_answer_that_is_none_is_the_askers_alone(inlined: Machine, tmp_path: Path) -> None:
    node = live(inlined, tmp_path)
    node.commit((1, 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        await node.caught_up()
        query = indexing.as_floats(receipt_of(1, 1, 1).vector, 8)
        assert [hit.id for hit in await node.indexing.search(query, 5, {})] == [job_name(1)]
        node.twin.strangers = [indexing.Hit(b"x", float("nan"), {})]
        with pytest.raises(PluginError, match="search raised ValueError: an answer is no hit"):
            await node.indexing.search(query, 5, {})
        node.twin.strangers = []
        assert len(await node.indexing.search(query, 5, {})) == 1
        assert node.indexing.status.state == READY
        nursery.cancel_scope.cancel()


async def test_a_search_waits_until_what_is_settled_is_held(inlined: Machine, tmp_path: Path) -> None:
    node = live(inlined, tmp_path)
    query = indexing.as_floats(receipt_of(1, 1, 1).vector, 8)
    assert node.indexing.status.state == OPENING
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        for number in range(20):
            node.commit((number, number + 1))
            assert job_name(number) in {hit.id for hit in await node.indexing.search(query, 100, {})}
        nursery.cancel_scope.cancel()


# Real threads. --------------------------------------------------------------------------------------------------------


async def test_one_thread_opens_uses_and_closes_it_and_it_is_not_the_chains(tmp_path: Path, machine: Machine) -> None:
    seen: set[str] = set()
    async with open_thread("chain") as thread:
        node = live(machine, tmp_path, chain_thread=thread)
        node.twin.before = lambda _name: seen.add(threading.current_thread().name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.indexing.run)
            node.commit((1, 1), (2, None))
            await node.caught_up()
            await node.indexing.search(indexing.as_floats(receipt_of(1, 1, 1).vector, 8), 1, {})
            nursery.cancel_scope.cancel()
    assert seen == {"index"}
    assert set(node.twin.calls) == {"__len__", "add", "remove", "search", "close"}


async def test_an_index_that_hangs_holds_nobody_up(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("SLOW", "PATIENCE", "CLOSING"):
        monkeypatch.setattr(indexing, name, 0.05)
    release = threading.Event()
    node = live(machine, tmp_path)
    node.twin.before = lambda name: None if name == "__len__" else (release.wait(20), None)[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        node.commit((1, 1))
        while "add has not returned" not in caplog.text:  # noqa: ASYNC110  # it is the log that is waited for
            await trio.sleep(0.01)
        assert "index-twin (soma-twin 1): add has not returned for" in node.indexing.status.state
        with pytest.raises(RefusedError, match="has not answered"):
            await node.indexing.search(indexing.as_floats(receipt_of(1, 1, 1).vector, 8), 1, {})
        node.commit((2, 2))
        assert node.store.tip.index == 2
        nursery.cancel_scope.cancel()
    assert not release.is_set()
    release.set()


async def test_a_flood_of_searches_of_an_index_that_hangs_is_refused(
    tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PATIENCE", 0.2)
    release = threading.Event()
    node = live(machine, tmp_path)
    node.twin.before = lambda name: (release.wait(20), None)[1] if name == "search" else None
    refused = []

    async def ask() -> None:
        try:
            await node.indexing.search(indexing.as_floats(receipt_of(1, 1, 1).vector, 8), 1, {})
        except RefusedError as error:
            refused.append(str(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        node.commit((1, 1))
        await node.caught_up()
        async with trio.open_nursery() as askers:
            for _ in range(400):
                askers.start_soon(ask)
        assert len(refused) == 400
        assert sum("searches wait for the index" in said for said in refused) == 400 - indexing.SEARCHES
        node.commit((2, 2))
        release.set()
        await node.caught_up()
        assert len(node.twin.held) == 2
        await ask()
        assert len(refused) == 400
        nursery.cancel_scope.cancel()


async def test_the_real_rules_settle_and_correct_what_is_held(inlined: Machine, tmp_path: Path) -> None:
    store, jobs = audited_chain()
    twin = Twin(inlined, inlined.vectors)
    node = Indexing(opener(lambda: twin, tmp_path), tmp_path, store, InlineThread(), Hub())  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        while node.status.state != READY:
            await node._moved.wait()
        nursery.cancel_scope.cancel()
    assert set(twin.held) == set(jobs)
    assert vectors(twin.held.items()) == expected(store)
