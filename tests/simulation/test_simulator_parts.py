"""The parts of the simulator: time, clocks, disks that forget, a signer, schedules and links."""

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from soma_core.testing.simulation.clock import BEGIN, Clock
from soma_core.testing.simulation.engines import plugin_engines
from soma_core.testing.simulation.heap import MS, SECOND, Heap
from soma_core.testing.simulation.links import Links
from soma_core.testing.simulation.schedules import SCHEDULES, Conditions, Fixed
from soma_core.testing.simulation.shelf import Records, Shelf
from soma_core.testing.simulation.signer import Signer, sign


def test_what_is_posted_for_one_moment_happens_in_order() -> None:
    heap, seen = Heap(), []
    heap.post(5, seen.append, "c")
    heap.post(3, lambda: heap.post(2, seen.append, "d"))
    heap.post(0, seen.append, "a")
    heap.post(0, seen.append, "b")
    heap.run(4)
    assert seen == ["a", "b"]
    assert heap.now == 4
    heap.run(5)
    assert seen == ["a", "b", "c", "d"]


def test_a_clock_that_is_set_back_stands_still() -> None:
    clock = Clock()
    assert clock.read(2 * SECOND) == BEGIN + 2_000
    clock.offset = -1_500 * MS
    assert clock.read(2 * SECOND) == BEGIN + 2_000
    assert clock.read(3 * SECOND) == BEGIN + 2_000
    assert clock.read(4 * SECOND) == BEGIN + 2_500
    assert clock.wait(4 * SECOND, BEGIN + 2_600) == 100 * MS
    assert clock.wait(4 * SECOND, BEGIN + 2_400) == 0


def test_a_clock_drifts() -> None:
    assert Clock(drift=2_000).read(1_000 * SECOND) == BEGIN + 1_002_000
    assert Clock(drift=-2_000).read(1_000 * SECOND) == BEGIN + 998_000


def test_a_shelf_is_a_ledger_in_order() -> None:
    shelf, model = Shelf(), {}
    random = Random(1)
    for _ in range(300):
        key = b"%d" % random.randrange(40)
        value = None if random.random() < 0.3 else random.randbytes(3)
        shelf.write({key: value})
        model[key] = value
        model = {k: v for k, v in model.items() if v is not None}
        assert list(shelf.scan(b"1", b"3")) == sorted((k, v) for k, v in model.items() if b"1" <= k < b"3")
    assert shelf.get(b"none") is None
    assert all(shelf.get(key) == value for key, value in model.items())


def filled() -> Records:
    """Three synced batches, and two that are not."""
    records = Records()
    for number in range(5):
        records.write({b"count": b"%d" % number, b"new %d" % number: b"x"})
    records.sync(3)
    return records


def left(records: Records) -> tuple[bytes, int]:
    found = dict(records.scan(b"", b"\xff"))
    return found.pop(b"count", b""), len(found)


def test_what_a_crash_leaves() -> None:
    for loss, expected in (("kept", (b"4", 5)), ("unsynced", (b"2", 3)), ("lost", (b"", 0))):
        records = filled()
        records.crash(loss, Random(0))  # type: ignore[arg-type]
        assert left(records) == expected
        assert records.unsynced == 0
    torn = {left(_crashed("torn", seed)) for seed in range(30)}
    assert torn == {(b"2", 3), (b"3", 4), (b"4", 5)}
    truncated = {left(_crashed("truncated", seed)) for seed in range(30)}
    assert truncated == {(b"", 0), (b"0", 1), (b"1", 2)}


def _crashed(loss: Any, seed: int) -> Records:
    records = filled()
    records.crash(loss, Random(seed))
    return records


def test_a_shelf_forgets_old_epochs() -> None:
    records = filled()
    records.sweep(b"new 2")
    assert [key for key, _ in records.scan(b"", b"\xff")] == [b"new 2", b"new 3", b"new 4"]
    assert records.size == 3


def test_a_signer_signs_one_body_a_slot() -> None:
    signer = Signer(b"k" * 32)
    first = signer.sign(0, 4, b"a")
    assert first == sign(b"k" * 32, b"a")
    assert signer.sign(0, 4, b"a") == first
    assert signer.sign(0, 4, b"b") == b""
    assert signer.sign(0, 3, b"c") == b""
    assert signer.sign(1, 1, b"d")
    signer.forget()
    assert signer.sign(0, 4, b"b")


def conditions(view: Any = lambda _message: None) -> Conditions:
    return Conditions(heap=Heap(), random=Random(1), size=4, view=view, leader=lambda r: r % 4, liars=(3,))


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_schedule_brings_every_message(name: str) -> None:
    schedule = SCHEDULES[name](conditions())
    delays = [schedule.delay(a, b, b"m") for a in range(4) for b in range(4) for _ in range(200)]
    assert all(0 < delay <= 800 * MS for delay in delays)
    assert all(type(delay) is int for delay in delays)


def test_schedules_that_know_the_rule() -> None:
    block = SimpleNamespace(kind="block", author=1, round=5)
    knowing = conditions(lambda message: block if message == b"block" else None)
    slow = SCHEDULES["slow-leader"](knowing)
    assert slow.delay(1, 0, b"block") >= 100 * MS > slow.delay(1, 0, b"other")
    late = SCHEDULES["late"](knowing)
    assert late.delay(1, 2, b"block") > late.delay(1, 0, b"block")  # the victim is the last who is honest
    starved = SCHEDULES["starved"](knowing)
    assert starved.delay(1, 3, b"block") > starved.delay(1, 0, b"block")
    block.round = 6  # which another one leads
    assert starved.delay(1, 0, b"block") > starved.delay(1, 3, b"block")


class Hearer:
    def __init__(self) -> None:
        self.up, self.voice = True, 0
        self.heard: list[Any] = []

    def peer(self, place: int, connection: int | None) -> None:
        self.heard.append((place, connection is not None))

    def receive(self, peer: int, epoch: int, message: bytes) -> None:
        self.heard.append((peer, epoch, message))


def linked(size: int = 2) -> tuple[Heap, Links, list[Hearer]]:
    heap = Heap()
    links = Links(heap, Random(2), size, Fixed(10 * MS))
    hearers = [Hearer() for _ in range(size)]
    for place, hearer in enumerate(hearers):
        links.members[place].append(hearer)  # type: ignore[arg-type]
    links.connect_all()
    return heap, links, hearers


def test_links_carry_and_break() -> None:
    heap, links, (first, second) = linked()
    links.carry(0, 1, 7, b"one")
    heap.run(10 * MS)
    assert second.heard == [(0, True), (0, 7, b"one")]
    links.carry(0, 1, 7, b"on its way")
    links.cut([(0, 1)])
    links.carry(0, 1, 7, b"cut off")
    heap.run(2 * SECOND)
    assert second.heard[2:] == [(0, False)]
    links.heal()
    heap.run(3 * SECOND)
    links.carry(0, 1, 8, b"again")
    heap.run(4 * SECOND)
    assert second.heard[3:] == [(0, True), (0, 8, b"again")]
    assert first.heard == [(1, True), (1, False), (1, True)]


def test_a_stalled_link_delivers_later() -> None:
    heap, links, (_, second) = linked()
    links.stall([(0, 1)], 300 * MS)
    links.carry(0, 1, 0, b"late")
    heap.run(299 * MS)
    assert second.heard == [(0, True)]
    heap.run(300 * MS)
    assert second.heard[1:] == [(0, 0, b"late")]


def test_links_lose_and_double() -> None:
    heap, links, (_, second) = linked()
    links.losses, links.copies = 200, 100
    for number in range(1_000):
        links.carry(0, 1, 0, b"%d" % number)
    heap.run(2 * SECOND)
    heard = second.heard[1:]
    assert 700 < len(set(heard)) < 880
    assert 40 < len(heard) - len(set(heard)) < 140


def test_engines_of_a_plugin_take_what_they_know() -> None:
    engines = plugin_engines("consensus-solo", config={"idle_ms": 100, "unknown": 1}, params={"gc_depth": 3})
    assert engines.alone
    assert engines.rule.params == {}
    assert engines.view(b"anything") is None
