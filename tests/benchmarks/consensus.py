"""Four processes on loopback that order opaque transactions by ``consensus-dag``, against four that only pass them on.

*Ordered* is the node's own shell, checker and recorder around an engine, `net` on ``transport-libp2p``, blocks signed
by a key in the process, and ``ledger-sqlite`` with a sync at every write. A transaction is 512 bytes that nobody looks
into: its own signature would be the application's. *Bare* sends as many frames, as long, to the same three others over
the same connections; each frame is signed, verified when it comes and written to the same kind of database, by as few
lines as do that. Both take turns in the same processes; each turn has a new database.

A turn lasts from the word of the parent until the last process has everything: in the common order, or on disk. A
block's delay is from its payload's making to its delivery by the engine, at every member.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from attrs import frozen
from benchmarks.consensus_peer import ITEM, ITEMS, KINDS, MEMBERS
from benchmarks.harness import Row, interleaved

PEER: Final = Path(__file__).with_name("consensus_peer.py")
BLOCKS: Final = 120
"""That each process sends in a turn."""
REPEATS: Final = 9
LEAST: Final = 0.5


@frozen
class Figures:
    """Of one turn. `speed`: transactions a second. `delays`: of blocks, in seconds."""

    speed: float
    delays: Sequence[float]


def figures(told: Sequence[Mapping[str, Any]], blocks: int) -> Figures:
    """What the processes' answers come to: each transaction counts once, and the slowest process ends the turn."""
    took = max(one["ended"] for one in told) - min(one["began"] for one in told)
    return Figures(blocks * MEMBERS * ITEMS / took, [age for one in told for age in one["ages"]])


class Processes:
    """The four, led by their standard input and output."""

    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes
        self._number = 0

    def turn(self, kind: str, blocks: int) -> Figures:
        """Let all take one turn."""
        self._number += 1
        self._say(f"{kind} {self._number} {blocks}")
        self._hear("ready")
        self._say("go")
        told = [json.loads(_line(process)) for process in self._processes]
        self._say("stop")
        self._hear("stopped")
        return figures(told, blocks)

    def _say(self, line: str) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def _hear(self, expected: str) -> None:
        for process in self._processes:
            assert _line(process) == expected


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, f"process {process.pid} of the benchmark has ended"
    return line


@contextmanager
def processes(directory: Path) -> Iterator[Processes]:
    """Started one after the other, each told where the earlier ones listen; killed on leaving."""
    environment = {**os.environ, "PYTHONPATH": str(PEER.parents[1])}
    with ExitStack() as stack:
        found: list[subprocess.Popen[str]] = []
        book: list[str] = []
        for place in range(MEMBERS):
            own = directory / str(place)
            command = [sys.executable, str(PEER), str(place), str(own), *book]
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            book.append(_line(process))
            found.append(process)
        yield Processes(found)


def rows(_seed: int) -> list[Row]:
    delays: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def speed(kind: str) -> float:
        one = four.turn(kind, BLOCKS)
        delays[kind] += one.delays
        return one.speed

    with tempfile.TemporaryDirectory() as directory, processes(Path(directory)) as four:
        taken = interleaved({"ordered": lambda: speed("ordered"), "bare": lambda: speed("bare")}, REPEATS)
    ratio, low, high = taken.ratio("ordered", "bare")
    return [
        Row(
            what=f"consensus: four processes order {ITEM} B transactions",
            measured=f"consensus-dag, {rate(taken.values['ordered'])}, delay {delay(delays['ordered'])}",
            against=f"bare frames, {rate(taken.values['bare'])}",
            ratio=ratio,
            low=low,
            high=high,
            repeats=REPEATS,
            least=LEAST,
        )
    ]


def rate(speeds: Sequence[float]) -> str:
    """Of transactions."""
    return f"{median(speeds):,.0f} tx/s, {median(speeds) * ITEM / 1e6:,.1f} MB/s"


def delay(seconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    return f"p50 {median(seconds) * 1000:,.0f} ms, p95 {quantiles(seconds, n=20)[-1] * 1000:,.0f} ms"
