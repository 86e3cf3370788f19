"""What a node answers to a search (rules SE9 to SE13, ``specs/84-search.md``)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from attrs import define
from search_world import GENESIS, Life, Machine, audited_chain, inline, job_name, live, receipt_of, unit

from soma_core import chain, fixed
from soma_core.api import Hit, control, searching
from soma_core.api.searching import FOUND_MOST, LABELS, ONE, PREVIEW, Found, Near, Search, Wanted
from soma_core.errors import DecodeError, RefusedError, SomaError, UsageError
from soma_core.net import BlobStore
from soma_core.node.searching import ASKED_MOST, Searching
from soma_core.records import pack, structure, to_value, unpack


@define
class Asking:
    node: Life
    answers: Searching
    blobs: BlobStore

    async def ask(self, request: Search) -> Found:
        replied = await self.answers.answerers()[control.SEARCH.name](request, b"")
        assert replied.payload == b""
        found = replied.record
        assert isinstance(found, Found)
        assert structure(Found, to_value(found)) == found, "it passes the bounds of its record"
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    inline(monkeypatch, machine)
    return machine


@asynccontextmanager
async def asking(machine: Machine, directory: Path) -> AsyncIterator[Asking]:
    """A node that serves what was settled so far, and what will be."""
    node = live(machine, directory)
    blobs = BlobStore(directory / "blobs")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        yield Asking(node, Searching(node.indexing, node.store, node.chain_thread, blobs), blobs)
        nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def room(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()


def near(vector: Any, most: int = 10, **where: str) -> Search:
    wanted = tuple(Wanted(name=name, value=value) for name, value in where.items())
    return Search(vector=np.asarray(vector, "<f4").tobytes(), job=b"", most=most, where=wanted)


def of(number: int, most: int = 10, digits: int = 8) -> Search:
    return Search(vector=b"", job=job_name(number)[: digits // 2], most=most, where=())


def jobs(found: Found) -> list[bytes]:
    return [each.job for each in found.found]


def cosine(one: int, other: int) -> float:
    a, b = unit(one).astype(float), unit(other).astype(float)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


async def test_the_nearest_come_first_as_the_ledger_knows_them(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        for number in range(6):
            asked.node.commit((number, number + 20))
        found = await asked.ask(near(unit(22), most=4))
    best = sorted(range(6), key=lambda number: -cosine(22, number + 20))
    assert jobs(found) == [job_name(number) for number in best[:4]]
    assert (found.job, found.among, found.behind) == (b"", 6, 0)
    first, receipt = found.found[0], receipt_of(2, 22, 3)
    assert first == Near(
        job=receipt.job,
        similarity=first.similarity,
        blob=receipt.blob,
        size=receipt.size,
        time=receipt.time,
        epoch=receipt.epoch,
        winner=receipt.winner,
        final=False,
        held=False,
        preview=b"",
    )
    assert [each.similarity / ONE for each in found.found] == pytest.approx(
        [cosine(22, number + 20) for number in best[:4]], abs=1e-6
    )


async def test_a_job_is_asked_about_by_its_first_digits_and_not_found_itself(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        asked.node.commit(*((number, number + 20) for number in range(5)))
        for digits in (8, 12, 64):
            found = await asked.ask(of(3, most=4, digits=digits))
            assert found.job == job_name(3)
            assert set(jobs(found)) == {job_name(number) for number in range(5)} - {job_name(3)}
        assert len((await asked.ask(of(3, most=2))).found) == 2


async def test_only_jobs_with_the_labels_that_are_asked_for(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        asked.node.commit(*((number, number + 20) for number in range(6)))
        receipts = {number: receipt_of(number, number + 20, 1) for number in range(6)}
        for winner in ("e0", "e1", "e2"):
            found = await asked.ask(near(unit(1), winner=winner))
            assert set(jobs(found)) == {r.job for r in receipts.values() if r.winner == winner}
        assert jobs(await asked.ask(near(unit(1), size="104", epoch="3", winner="e0"))) == [job_name(4)]
        assert jobs(await asked.ask(near(unit(1), blob=receipts[5].blob.hex()))) == [job_name(5)]
        assert jobs(await asked.ask(near(unit(1), size="5"))) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([("name", "x")], "'name' is no label"),
        ([("", "x")], "'' is no label"),
        ([("winner", "a"), ("winner", "b")], "asked for twice"),
        ([("size", "1.5")], "no whole number"),
        ([("size", "-1")], "no whole number"),
        ([("size", "٣")], "no whole number"),
        ([("epoch", str(1 << 63))], "no whole number"),
    ],
)
def test_labels_that_are_none_are_refused(wanted: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        searching.typed([Wanted(name=name, value=value) for name, value in wanted])
    assert set(LABELS) == {"winner", "epoch", "size", "blob", "requester"}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (near(np.ones(7)), "a vector of 7 numbers"),
        (Search(vector=b"123", job=b"", most=1, where=()), "a vector of 0.75 numbers"),
        (near(np.zeros(8)), "zero, or not finite"),
        (near([np.nan] + [1] * 7), "zero, or not finite"),
        (near([np.inf] + [1] * 7), "zero, or not finite"),
        (Search(vector=bytes(32), job=bytes(32), most=1, where=()), "a vector and a job"),
        (Search(vector=b"", job=b"", most=1, where=()), "neither a vector nor a job"),
        (Search(vector=b"", job=job_name(1)[:3], most=1, where=()), "neither a vector nor a job"),
        (of(9), "no job .* has ended"),
        (of(2), "was refunded"),
    ],
)
async def test_what_makes_no_question_is_refused(machine: Machine, tmp_path: Path, request_: Search, said: str) -> None:
    async with asking(machine, tmp_path) as asked:
        asked.node.commit((1, 11), (2, None))
        with pytest.raises(RefusedError, match=said):
            await asked.ask(request_)


@pytest.mark.parametrize("most", [0, FOUND_MOST + 1])
def test_how_many_is_bounded(most: int) -> None:
    with pytest.raises(ValueError, match="most"):
        near(unit(1), most=most)
    with pytest.raises(DecodeError):
        structure(Search, {"vector": b"", "job": b"", "most": most, "where": []})


async def test_a_beginning_of_several_jobs_names_none(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soma_core.node.searching.SHORTEST", 1)
    async with asking(machine, tmp_path) as asked:
        asked.node.commit(*((number, number + 1) for number in range(300)))
        first = {job_name(number)[:1] for number in range(300)}
        assert len(first) < 256
        for beginning in sorted(first)[:20]:
            same = [number for number in range(300) if job_name(number).startswith(beginning)]
            request = Search(vector=b"", job=beginning, most=1, where=())
            if len(same) > 1:
                with pytest.raises(RefusedError, match="several jobs begin with"):
                    await asked.ask(request)
            else:
                assert (await asked.ask(request)).job == job_name(same[0])


async def test_what_the_ledger_has_not_settled_is_passed_over(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        asked.node.commit(*((number, number + 20) for number in range(5)), (8, None))
        await asked.node.caught_up()
        asked.node.twin.strangers = [Hit(bytes([n]) * 32, 1.0, {}) for n in range(40)] + [Hit(job_name(8), 1.0, {})]
        found = await asked.ask(near(unit(22), most=5))
        assert set(jobs(found)) == {job_name(number) for number in range(5)}
        searched = asked.node.twin.calls.count("search")
        assert 1 < searched < 8
        asked.node.twin.strangers = [Hit(bytes(32), 1.0, {})] * (2 * ASKED_MOST)
        assert (await asked.ask(near(unit(22), most=5))).found == ()
        assert asked.node.twin.calls.count("search") - searched < 16


async def test_a_thousand_are_found_and_fit_into_one_answer(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        for start in range(0, 1100, 50):
            asked.node.commit(*((number, number + 20) for number in range(start, start + 50)))
        found = await asked.ask(near(unit(22), most=FOUND_MOST))
    assert len(found.found) == FOUND_MOST
    assert found.among == 1100
    similarities = [each.similarity for each in found.found]
    assert similarities == sorted(similarities, reverse=True)
    wide = [
        Near(**{**to_value(each), "held": True, "preview": b"p" * PREVIEW, "winner": "w" * 64}) for each in found.found
    ]
    reply = Found(job=bytes(32), found=tuple(wide), among=1, behind=0)
    assert len(control.pack_message(control.Answer(body=to_value(reply)))) < control.MAX_FRAME
    assert unpack(Found, pack(reply)) == reply


async def test_the_beginning_of_what_is_held_comes_with_it_checked(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asking(machine, tmp_path) as asked:
        blob = asked.blobs.put(b"Two cats\nsat by the door. " * 20)
        rotten = asked.blobs.put(b"Rotten.")
        known = {1: blob, 2: rotten}
        real = receipt_of

        def made(number: int, *arguments: Any, **changes: Any) -> chain.JobReceipt:
            return real(number, *arguments, **({"blob": known[number]} if number in known else {}), **changes)

        monkeypatch.setattr("search_world.receipt_of", made)
        asked.node.commit((1, 21), (2, 22), (3, 23))
        (tmp_path / "blobs" / rotten.hex()).write_bytes(b"rotten!")
        found = {each.job: each for each in (await asked.ask(near(unit(1)))).found}
        assert (found[job_name(1)].held, found[job_name(1)].preview) == (
            True,
            (b"Two cats\nsat by the door. " * 20)[:PREVIEW],
        )
        assert (found[job_name(2)].held, found[job_name(2)].preview) == (True, b"")
        assert (found[job_name(3)].held, found[job_name(3)].preview) == (False, b"")
        assert not asked.blobs.has(rotten)


async def test_a_node_without_an_index_says_what_to_add(tmp_path: Path) -> None:
    nothing: Any = None
    answers = Searching(None, nothing, nothing, nothing)
    assert answers.status is None
    with pytest.raises(RefusedError, match="keeps no index; run it with --plugin index-exact"):
        await answers.answerers()[control.SEARCH.name](near(unit(1)), b"")
    await answers.run()


async def test_what_fails_in_the_index_is_told_to_the_asker(machine: Machine, tmp_path: Path) -> None:
    async with asking(machine, tmp_path) as asked:
        asked.node.commit((1, 11))
        await asked.node.caught_up()

        def fail(name: str) -> None:
            if name == "search":
                raise OSError("the server is down")

        asked.node.twin.before = fail
        with pytest.raises(SomaError, match="search raised OSError: the server is down"):
            await asked.ask(near(unit(1)))
        asked.node.twin.before = lambda _name: None
        assert len((await asked.ask(near(unit(1)))).found) == 1


async def test_vectors_that_the_real_rules_joined_are_found(machine: Machine, tmp_path: Path) -> None:
    store, (honest, lied) = audited_chain()
    node = live(machine, tmp_path)
    node.indexing._store = store
    answers = Searching(node.indexing, store, node.chain_thread, BlobStore(tmp_path / "blobs"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.indexing.run)
        request = Search(vector=b"", job=honest, most=3, where=())
        found = (await answers.answerers()[control.SEARCH.name](request, b"")).record
        nursery.cancel_scope.cancel()
    assert isinstance(found, Found)
    assert jobs(found) == [lied]
    vectors = []
    for job in (honest, lied):
        encoded = store.receipt(job)
        assert encoded is not None
        receipt = unpack(chain.JobReceipt, encoded)
        vectors.append(fixed.vector_from_bytes(receipt.vector, GENESIS.parameters.dimension).astype(float))
    expected = vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1])
    assert found.found[0].similarity / ONE == pytest.approx(expected, abs=1e-6)
    assert found.found[0].final
