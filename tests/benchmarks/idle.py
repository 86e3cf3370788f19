"""What a process tree that has nothing to do takes of one core, beside a process that sleeps on trio.

One node (`soma run` with an encoder), then four validators, then the nine nodes of `soma localnet`, with all their
children. Processor time is read from ``/proc``, children that ended included, in windows that bare and measured share.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness import Row, spread
from running_node import RunningNode

WINDOWS: Final = 8
WINDOW: Final = 2.5
"""Seconds."""
SETTLE: Final = 4.0
"""Seconds that a network is left alone before the first window."""
_SLEEPER: Final = "import trio\nasync def main():\n  while True: await trio.sleep(1)\ntrio.run(main)"

_COMMITTEE: Final = """
import sys, time
from pathlib import Path
from soma_core.cli._network import Network, Plan
with Network(Path(sys.argv[1]), Plan(encoders=()), print) as network:
    network.start()
    print("Ctrl-C ends it", file=sys.stderr, flush=True)
    while True:
        time.sleep(1)
"""


def spent(root: int) -> float:
    """Seconds of processor time of `root`, everything below it, and what of that has ended and was waited for."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            table[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    total, wanted = 0, {root}
    while wanted:
        total += sum(table[pid][1] for pid in wanted if pid in table)
        wanted = {pid for pid, (parent, _) in table.items() if parent in wanted}
    return total / os.sysconf("SC_CLK_TCK")


def watched(trees: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
    """For every tree, the share of one core in each window."""
    shares: dict[str, list[float]] = {name: [] for name in trees}
    time.sleep(SETTLE)
    for _ in range(WINDOWS):
        before = {name: (spent(root), time.monotonic()) for name, root in trees.items()}
        time.sleep(WINDOW)
        for name, root in trees.items():
            took, since = before[name]
            shares[name].append((spent(root) - took) / (time.monotonic() - since))
    return shares


@contextmanager
def sleeper() -> Iterator[int]:
    """A process that does nothing, on trio."""
    process = subprocess.Popen([sys.executable, "-c", _SLEEPER])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def node(directory: Path) -> Iterator[int]:
    """A network of one that embeds with ``encoder-numpy``."""
    running = RunningNode(directory / "node")
    running.start()
    assert running.process is not None
    try:
        yield running.process.pid
    finally:
        running.stop()


def localnet(directory: Path) -> AbstractContextManager[int]:
    """Four validators and five nodes with ``encoder-numpy``."""
    command = ["-m", "soma_core.cli", "localnet", "--encoder", "encoder-numpy", "--data-dir", str(directory / "net")]
    return network(command)


def committee(directory: Path) -> AbstractContextManager[int]:
    """Four validators, and nobody else."""
    return network(["-c", _COMMITTEE, str(directory / "committee")])


@contextmanager
def network(command: Sequence[str]) -> Iterator[int]:
    """A network of several processes, begun by Python with `command`."""
    process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stderr.readline()
            if not line:
                raise RuntimeError(f"the network did not start: {said}")
            said += line
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def rows(_seed: int) -> list[Row]:
    out = []
    with sleeper() as bare, tempfile.TemporaryDirectory() as directory:
        for what, start in (("one node", node), ("four validators", committee), ("localnet, nine nodes", localnet)):
            with start(Path(directory)) as root:
                shares = watched({"ours": root, "bare": bare})
            share, low, high = spread(shares["ours"])
            out.append(
                Row(
                    what=f"idle: {what} (share of one core)",
                    measured=f"{100 * share:.1f} % of a core",
                    against=f"a core; a trio process that sleeps takes {100 * spread(shares['bare'])[0]:.1f} %",
                    ratio=share,
                    low=low,
                    high=high,
                    repeats=WINDOWS,
                )
            )
    return out
