"""Workers that die, hang, leak, or write what nobody understands: what requests learn, and what is started again."""

import itertools
import logging
import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing
from worker_world import FAKE, QUICK, cancel, encode_one, opened

from soma_core.errors import EncoderError, PluginError
from soma_core.node.encoding import BACKOFF_MAX, Limits, Worker, _order


@pytest.mark.parametrize(("item", "status"), [(b"dies", -9), (b"leaves", 9), (b"segfaults", -11)])
async def test_a_worker_that_ends_is_said_and_started_again(fake, tmp_path, caplog, item, status):
    async with opened(fake, tmp_path) as worker:
        text = rf"encoder-fake \(soma-encoder-fake 0.3\): the worker ended with status {status}; see the log above"
        with pytest.raises(EncoderError, match=text):
            await worker.encode([item])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    said = [r.getMessage() for r in caplog.records if r.name == "soma.encoder-fake"]
    assert sum("started again" in line for line in said) == 2, "a batch is given to one more worker, and no other"


async def test_a_batch_that_was_with_a_worker_that_was_killed_is_answered_by_the_next(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        own, found = Path(worker._order.directory), []

        async def ask():
            found.append((await encode_one(worker, b"waits")).tolist())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not (own / "begun").exists():  # noqa: ASYNC110  # another process makes the file
                await trio.sleep(0.001)
            (own / "go").touch()
            os.killpg(worker._child.process.pid, signal.SIGKILL)
        assert found == [[ord("w")] * 4]


async def test_workers_that_all_end_without_an_answer_are_never_given_up(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(backoff=0.001)) as worker:
        for _ in range(4):
            with pytest.raises(EncoderError, match="the worker ended with status -9"):
                await worker.encode([b"dies"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_restarts_are_further_and_further_apart_until_something_is_answered(
    tmp_path, autojump_clock, monkeypatch, caplog
):
    """In virtual time, with workers that end at once: the fifth from the end had answered."""
    starts = []
    fault = PluginError("encoder-fake: the worker ended with status 1", "see the log above")

    async def live(self):
        starts.append(trio.current_time())
        self._info = "opened"
        if len(starts) == 16:
            await trio.sleep_forever()
        return len(starts) == 11, fault

    monkeypatch.setattr(Worker, "_live", live)
    worker = Worker(FAKE, _order(FAKE, {}, tmp_path, (), QUICK, ()), Limits(), None)
    with trio.move_on_after(1000):
        await worker.supervise()
    apart = [round(later - sooner, 6) for sooner, later in itertools.pairwise(starts)]
    assert apart == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert max(apart) == BACKOFF_MAX
    assert (
        "encoder-fake: the worker ended with status 1; see the log above; it is started again in 25.6 s" in caplog.text
    )


async def test_while_a_worker_cannot_be_opened_again_requests_fail_at_once(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(backoff=0.001), at_open="once") as worker:
        with pytest.raises(EncoderError, match="open raised OSError: only once"):
            await worker.encode([b"dies"])
        with pytest.raises(EncoderError, match="open raised OSError: only once"):
            await worker.encode([b"a"])
        (Path(worker._order.directory) / "opened").unlink()  # what kept it from opening is mended
        with trio.fail_after(30):
            while True:
                try:
                    assert (await encode_one(worker, b"a")).tolist() == [97] * 4
                    break
                except EncoderError:
                    await trio.sleep(0.02)


async def test_another_encoder_after_a_restart_is_refused(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(backoff=0.001), at_open="change") as worker:
        with pytest.raises(EncoderError, match="after its restart it is another encoder"):
            await worker.encode([b"dies"])
        with pytest.raises(EncoderError, match="after its restart it is another encoder"):
            await worker.encode([b"a"])


async def test_a_worker_that_overstays_is_stopped_also_if_nobody_waits(fake, tmp_path):
    limits = Limits(seconds=0.3, backoff=0.001)
    async with opened(fake, tmp_path, limits=limits) as worker:
        with pytest.raises(EncoderError, match=r"no answer within 0\.3 s, the worker was stopped; give it smaller"):
            await worker.encode([b"hangs"])
        await cancel(worker, b"hangs")
        with trio.fail_after(10):
            with pytest.raises(EncoderError, match="no answer within"):  # it was behind the one that hangs
                await worker.encode([b"a"])
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_a_worker_that_holds_its_interpreter_is_stopped(fake, tmp_path):
    async with opened(fake, tmp_path, limits=Limits(seconds=0.3, backoff=0.001)) as worker:
        with trio.fail_after(10), pytest.raises(EncoderError, match=r"no answer within 0\.3 s"):
            await worker.encode([b"spins"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_what_an_encoder_writes_to_the_pipe_ends_the_worker_and_not_the_node(fake, tmp_path):
    async def sign(body):
        await trio.sleep_forever()

    for item in (b"garbage", b"lies", b"opens", b"asks"):
        async with opened(fake, tmp_path, sign=sign) as worker:
            with pytest.raises(EncoderError, match="the worker ended with status -9"):
                await worker.encode([item])
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    async with opened(fake, tmp_path) as worker:
        with pytest.raises(EncoderError, match="skipped what nobody cancelled"):
            await worker.encode([b"skips"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(fake, tmp_path):
    """A worker with 800 MiB, where the system keeps such a limit (Linux)."""
    return opened(fake, tmp_path, limits=Limits(seconds=20, memory=800 << 20, backoff=0.001))


async def test_a_batch_beyond_the_limit_of_memory_ends_the_worker(small, caplog):
    async with small as worker:
        if "at most 800 MiB" in worker.isolation:
            text = (
                r"^encoder-fake \(soma-encoder-fake 0\.3\): the worker ran out of its 800 MiB of memory; "
                r"give it smaller items, or raise \[node\] encoder_memory$"
            )
            with pytest.raises(EncoderError, match=text):
                await worker.encode([b"eats"])
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4


async def test_a_worker_that_leaks_is_replaced_and_every_batch_is_answered(small, caplog):
    caplog.set_level(logging.INFO)
    async with small as worker:
        limited = "at most 800 MiB" in worker.isolation
        counts = [int((await encode_one(worker, b"leaks"))[0]) for _ in range(9 if limited else 2)]
    if limited:
        assert counts.count(1) > 1, "it began anew"
        said = [r.getMessage() for r in caplog.records if r.name == "soma.encoder-fake"]
        assert "out of memory" in said
        assert any("ran out of its 800 MiB of memory" in line and "started again" in line for line in said)
