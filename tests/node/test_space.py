"""A disk that fills: new work is refused first, then the node ends; when room comes back, work is taken again."""

from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import define, field

from soma_core.errors import RefusedError, StorageError
from soma_core.node.space import EVERY, Space, free_bytes

LOW, LEAST = 512, 128
DATA = Path("/data")


@define
class FakeDisk:
    free: int
    looked: list[Path] = field(factory=list)

    def look(self, path: Path) -> int:
        self.looked.append(path)
        return self.free

    def space(self) -> Space:
        return Space(DATA, low=LOW << 20, least=LEAST << 20, look=self.look)


def disk(mib: float) -> FakeDisk:
    return FakeDisk(round(mib * (1 << 20)))


@pytest.mark.parametrize(("mib", "low"), [(LOW - 0.1, True), (LOW, False), (LOW + 0.1, False), (LEAST, True)])
def test_below_the_first_threshold_new_work_is_refused(mib: float, *, low: bool) -> None:
    space = disk(mib).space()
    assert space.is_low == low
    if low:
        with pytest.raises(RefusedError, match=r"^the disk is nearly full: .* MiB free at /data, 512\.0 MiB needed;"):
            space.require()
    else:
        space.require()


def test_a_node_does_not_start_without_room() -> None:
    with pytest.raises(StorageError, match=r"^the disk is full: 127\.5 MiB free at /data, a node needs 128\.0 MiB;"):
        disk(LEAST - 0.5).space()


def test_thresholds_of_zero_are_none() -> None:
    space = Space(DATA, low=0, least=0, look=lambda _path: 0)
    space.require()
    assert not space.is_low


async def test_work_is_refused_while_room_is_low_and_taken_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    here = disk(1000)
    space = here.space()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(space.watch)
        for mib, low in ((1000, False), (300, True), (200, True), (900, False), (130, True)):
            here.free = mib << 20
            with trio.fail_after(EVERY * 10_000):  # the virtual clock does not wait for the thread that looks
                while space.free != here.free:  # noqa: ASYNC110  # the watcher tells nobody that it looked
                    await trio.sleep(EVERY)
            assert space.is_low == low
        nursery.cancel_scope.cancel()
    said = [record.message for record in caplog.records]
    assert [text.split(" (")[0] for text in said] == [
        "the disk is nearly full",
        "there is room on the disk again",
        "the disk is nearly full",
    ]
    assert set(here.looked) == {DATA}


async def test_below_the_last_threshold_the_node_ends(autojump_clock: trio.testing.MockClock) -> None:
    here = disk(1000)
    space = here.space()
    here.free = 1 << 20
    begun = trio.current_time()
    with pytest.raises(StorageError, match=r"^the disk is full: 1\.0 MiB"):
        await space.watch()
    assert trio.current_time() - begun == EVERY


async def test_a_disk_that_does_not_answer_ends_the_node(autojump_clock: trio.testing.MockClock) -> None:
    answers = iter([1 << 40])

    def look(path: Path) -> int:
        try:
            return next(answers)
        except StopIteration:
            raise OSError(5, "Input/output error", str(path)) from None

    with pytest.raises(OSError, match="Input/output error"):
        await Space(DATA, low=1, least=1, look=look).watch()


def test_free_bytes_are_those_of_a_real_file_system(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0
