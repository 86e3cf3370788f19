"""A real node with a third party's encoder that dies, hangs, leaks, floods or lies, as the bytes it is given say.

Every job is answered, after a restart if need be, or refunded within its window; the supply stays exact, the node stays
small, and the next good job is answered.
"""

import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from fake_distributions import install
from founded import found
from running_node import RunningNode

from soma_core.api import control
from soma_core.chain.receipts import JobReceipt
from soma_core.cli._client import Node
from soma_core.cli._embedding import embed_file

MOODY = '''
    """An encoder whose items begin with what it does."""

    from attrs import frozen
    from soma_core.api import EncoderInfo, EncoderSpec, NoConfig, hookimpl

    @hookimpl
    def soma_encoder():
        return EncoderSpec(api=1, config=NoConfig, open=Moody)

    class Moody:
        info = EncoderInfo(dim=8)

        def __init__(self, config, context):
            import numpy
            self.numpy, self.own, self.kept = numpy, context.directory, []

        def encode(self, batch):
            vectors = self.numpy.ones((len(batch), 8), self.numpy.float32)
            for row, item in zip(vectors, batch):
                row[item[-1] % 8] += 1
                changed = getattr(self, item.split()[0].decode())(row, vectors)
                vectors = vectors if changed is None else changed
            return vectors

        def good(self, row, vectors): pass

        def nan(self, row, vectors): row[0] = float("nan")

        def shape(self, row, vectors): return vectors[:, :3]

        def raises(self, row, vectors): raise ValueError("not in the mood")

        def dies(self, row, vectors):
            import ctypes
            ctypes.string_at(0)

        def once(self, row, vectors):
            import os
            flag = self.own / "once"
            if not flag.exists():
                flag.touch()
                os._exit(5)

        def hangs(self, row, vectors): sum(range(1 << 60))

        def prints(self, row, vectors):
            for number in range(4000):
                print("flood", number, "x" * 2000)

        def garbage(self, row, vectors):
            import os
            while True:
                for descriptor in range(3, 20):
                    try: os.write(descriptor, b"\\x00\\x00\\xff\\xff" * 10000)
                    except OSError: pass

        def leaks(self, row, vectors): self.kept.append(bytearray(b"x") * (150 << 20))
'''

COMMIT: Final = 2.5
"""Seconds an encoder has for its answer; a job without one is refunded then."""
WINDOW: Final = 4 * COMMIT
"""Seconds in which a job has ended, on a busy machine: before it is drawn and after it closes little happens."""
MEMORY: Final = 600
"""MiB the encoder may have."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    root = tmp_path_factory.mktemp("moody")
    site, data = root / "site", root / "data"
    site.mkdir()
    install(site, "soma-encoder-moody", {"encoder-moody": "soma_moody"}, {"soma_moody": MOODY})
    found(data, "encoder-moody", commit_ms=int(COMMIT * 1000))
    (data / "soma.toml").write_text(f"[node]\nencoder_memory = {MEMORY}\n[consensus.solo]\nidle_ms = 100\n")
    running = RunningNode(data, plugins=("consensus-solo", "encoder-moody", "transport-memory"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        running.start()
        yield running
        assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module", autouse=True)
def peak(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The node's memory after one good job, in MiB."""
    assert embed(node, "good", tmp_path_factory.mktemp("first")).outcome == "settled"
    return memory_peak(node) if sys.platform == "linux" else 0


def embed(node: RunningNode, mood: str, tmp_path: Path) -> JobReceipt:
    """What became of one job, which ended within its window; the node kept its books."""
    path = tmp_path / mood.replace(" ", "-")
    path.write_text(f"{mood} {time.time_ns()}")
    started = time.monotonic()
    with Node(node.directory) as client:
        receipt = embed_file(client, path, 0, tmp_path, lambda _stage: None).receipt
        assert time.monotonic() - started < WINDOW
        assert client.ask(control.SUPPLY, control.Empty()).drift == 0
    return receipt


def refunded(receipt: JobReceipt) -> bool:
    """Whether the submitter has all its money back, because the one encoder kept silent."""
    paid = {(payment.to, payment.reason) for payment in receipt.payments}
    return receipt.outcome == "refunded" and receipt.shard[0].answer == "silent" and paid == {("submitter", "refund")}


def memory_peak(node: RunningNode) -> int:
    """MiB the node's own process has ever had."""
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) >> 10


def said(node: RunningNode, since: int = 0) -> str:
    """What the log of the node says under the plugin's name."""
    lines = node.log.read_text()[since:].splitlines()
    return " ".join(line for line in lines if " soma.encoder-moody: " in line)


def test_bad_answers_are_refunded_and_the_worker_goes_on(node: RunningNode, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        receipts = list(pool.map(lambda mood: embed(node, mood, tmp_path), ("nan", "shape", "raises", "good")))
    assert [receipt.outcome for receipt in receipts] == ["refunded"] * 3 + ["settled"]
    assert all(map(refunded, receipts[:3]))
    log = node.log.read_text()
    assert "encoder-moody: vector 0 of 1 holds NaN" in log
    assert "encoder-moody: vectors have shape [1, 3] for 1 items of dim 8, not [1, 8]" in log
    assert "encoder-moody: encode raised ValueError: not in the mood" in log
    assert "ValueError: not in the mood" in said(node), "the traceback, under the plugin's name"
    assert "started again" not in said(node)


@pytest.mark.parametrize(
    ("mood", "cause"),
    [
        ("dies", r"the worker ended with status -11; see the log above; it is started again in 0\.\d s"),
        ("hangs", r"no answer within 2\.5 s, the worker was stopped; .*; it is started again in 0\.2 s"),
        ("garbage", r"it said what is no answer and is stopped: .*; it is started again in 0\.\d s"),
    ],
    ids=["dies", "hangs", "garbage"],
)
def test_a_job_that_ends_its_worker_is_refunded_and_the_next_is_answered(
    node: RunningNode, tmp_path: Path, mood: str, cause: str
) -> None:
    since = len(node.log.read_text())
    assert refunded(embed(node, mood, tmp_path))
    assert embed(node, "good", tmp_path).outcome == "settled"
    assert re.search(cause, said(node, since))


def test_a_job_whose_worker_dies_once_is_answered_by_the_next(node: RunningNode, tmp_path: Path) -> None:
    since = len(node.log.read_text())
    assert embed(node, "once", tmp_path).outcome == "settled"
    assert "the worker ended with status 5; see the log above; it is started again in 0.2 s" in said(node, since)


def test_a_flood_of_words_is_bounded_and_answered(node: RunningNode, tmp_path: Path) -> None:
    since = len(node.log.read_text())
    assert embed(node, "prints", tmp_path).outcome == "settled"
    assert "flood 0 xxx" in said(node, since)
    assert len(node.log.read_text()) - since < 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps a limit of memory")
def test_a_leak_ends_the_worker_at_its_limit_and_no_job_is_lost(node: RunningNode, tmp_path: Path) -> None:
    since = len(node.log.read_text())
    with ThreadPoolExecutor() as pool:
        receipts = pool.map(lambda number: embed(node, f"leaks {number}", tmp_path), range(5))
    assert [receipt.outcome for receipt in receipts] == ["settled"] * 5
    cause = f"the worker ran out of its {MEMORY} MiB of memory; give it smaller items, or raise [node] encoder_memory"
    assert f"{cause}; it is started again in 0.2 s" in said(node, since)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much memory a process has had")
def test_the_node_itself_stays_small(node: RunningNode, peak: int) -> None:
    """Over all of the above."""
    assert memory_peak(node) - peak <= 16
    assert peak < 256
