"""The processes of a worker: none is left when it ends, however it ends, nor when the node is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from worker_world import encode_one, opened

from soma_core.errors import EncoderError
from soma_core.node._guard import LAST as GRACE
from soma_core.node.encoding import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps a process from leaving its group")

SOON = 5.0
"""Seconds after which it is no longer at once, on a busy machine."""


def alive(pid):
    """Whether the process runs: neither gone nor only waiting for somebody to take its exit status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    found = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]  # a thread starts them
    return [int(child) for some in found for child in some]


def wait_until(condition, seconds=SOON):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def daemon_of(worker):
    return int((Path(worker._order.directory) / "daemon").read_text())


@pytest.mark.parametrize("ending", [None, b"leaves", b"dies", b"hangs"])
async def test_a_process_that_forks_twice_and_leaves_its_session_ends_with_the_worker(fake, tmp_path, ending):
    async with opened(fake, tmp_path, limits=Limits(seconds=1.5, backoff=0.001)) as worker:
        await encode_one(worker, b"daemonises")
        daemon = daemon_of(worker)
        assert alive(daemon)
        if ending is not None:
            with trio.fail_after(SOON), pytest.raises(EncoderError):  # not kept waiting by who holds its pipes
                await worker.encode([ending])
            assert not alive(daemon)
            assert (await encode_one(worker, b"a")).tolist() == [97] * 4
    wait_until(lambda: not alive(daemon), 1.0)


async def test_a_worker_ends_with_its_guard_and_another_begins(fake, tmp_path):
    async with opened(fake, tmp_path) as worker:
        await encode_one(worker, b"daemonises")
        guard = worker._child.process.pid
        (inner,) = children(guard)
        assert os.getpgid(inner) == os.getpgid(daemon_of(worker)) == guard
        os.kill(guard, signal.SIGKILL)
        wait_until(lambda: not alive(inner))
        while worker._child is None or worker._child.process.pid == guard:  # noqa: ASYNC110  # another process
            await trio.sleep(0.002)
        assert (await encode_one(worker, b"a")).tolist() == [97] * 4
        assert not alive(daemon_of(worker))


NODE = """
import sys, trio
from pathlib import Path
from soma_core.node.encoding import Limits, open_worker
from soma_core.plugins import Plugin

async def main():
    fake = Plugin("encoder-fake", "soma_fake", "soma-encoder-fake", "0.3", "soma-core")
    async with open_worker(fake, {}, Path(sys.argv[1])) as worker:
        for item in sys.argv[2:]:
            await worker.encode([item.encode()])

trio.run(main)
"""


@pytest.mark.parametrize("busy", ["spins", "hangs"])
def test_nothing_is_left_when_the_node_is_killed(fake, tmp_path, busy):
    own = tmp_path / "own"
    with subprocess.Popen([sys.executable, "-c", NODE, str(own), "daemonises", busy], stderr=subprocess.PIPE) as node:
        try:
            wait_until((own / "begun").exists, 30)
            (guard,) = children(node.pid)
            family = [guard, *children(guard), int((own / "daemon").read_text())]
            assert len(family) == 3
            assert all(map(alive, family))
        finally:
            node.kill()
        killed = time.monotonic()
        assert b"Traceback" not in node.stderr.read()
        wait_until(lambda: not any(map(alive, family)))
        assert time.monotonic() - killed < GRACE, "at once, not after the grace of a polite end"


def test_a_worker_does_not_outlive_its_guard_though_nobody_is_there_to_end_it(fake, tmp_path):
    own = tmp_path / "own"
    with subprocess.Popen([sys.executable, "-c", NODE, str(own), "spins"], stderr=subprocess.DEVNULL) as node:
        try:
            wait_until((own / "begun").exists, 30)
            (guard,) = children(node.pid)
            (worker,) = children(guard)
            node.send_signal(signal.SIGSTOP)
            os.kill(guard, signal.SIGKILL)
            wait_until(lambda: not alive(worker))
        finally:
            node.kill()
