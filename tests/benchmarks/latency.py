"""``nox -s latency``: how long an embedding takes as a user sees it on the demo network, and where the time goes.

Jobs of 4 KiB of text, one after the other, through the control socket of a validator, as `soma embed` does it. A stage
lasts from when the user hears of it until the user hears of the next one; the last one ends with a receipt that a
quorum has signed. `-- JOBS` runs so many, and ``--write`` keeps the figures in ``specs/results/latency.json``.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import results

from soma_core.cli._client import Node
from soma_core.cli._embedding import embed_file
from soma_core.cli._network import Network, Plan

JOBS: Final = 60
WARM: Final = 3
"""Jobs that come first and do not count: frameworks compile at their first answer."""
SIZE: Final = 4_096
SEED: Final = 2026
WORDS: Final = ("the", "of", "network", "data", "vector", "shard", "proof", "every", "node", "and", "a")
STAGES: Final[Mapping[str, str]] = {
    "uploading": "the file goes to the node, and the request is ordered",
    "attesting": "a quorum of validators fetches the data and says so",
    "drawing": "the beacon moves, so that nobody could choose the shard",
    "committing": "the encoders fetch the data, compute, and seal their answers",
    "revealing": "the answers are shown",
    "closing": "the beacon moves once more, for the gate and the audits",
    "proving": "a quorum signs the record",
}
"""What a user hears, and what goes on then."""


def job(node: Node, path: Path, kept: Path) -> dict[str, float]:
    """Seconds by stage."""
    heard: list[tuple[str, float]] = []
    embedded = embed_file(node, path, 0, kept, lambda stage: heard.append((stage, time.monotonic())))
    if embedded.receipt.outcome != "settled":
        raise RuntimeError(f"{path.name} was {embedded.receipt.outcome}: {embedded.receipt.why}")
    took: dict[str, float] = {}
    for (stage, since), (_, until) in pairwise(heard):
        took[stage] = took.get(stage, 0.0) + until - since
    return took


def words(draw: random.Random) -> bytes:
    """Text that no job before had."""
    drawn = (draw.choice(WORDS) for _ in range(SIZE))
    return f"{draw.getrandbits(64):x} {' '.join(drawn)}".encode()[:SIZE]


def told(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, and the mean, which alone adds up."""
    hundredths = quantiles(seconds, n=100, method="inclusive")
    return {
        "p50": round(hundredths[49], 3),
        "p95": round(hundredths[94], 3),
        "mean": round(sum(seconds) / len(seconds), 3),
    }


def measured(jobs: int, plan: Plan) -> dict[str, Any]:
    """Figures in seconds, of the whole and by stage."""
    draw, found = random.Random(SEED), []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        with Network(root / "network", plan, lambda text: print(text, file=sys.stderr)) as network:
            network.start()
            with Node(network.validator) as node:
                for number in range(WARM + jobs):
                    path = root / f"{number}.txt"
                    path.write_bytes(words(draw))
                    found.append(job(node, path, root))
    return figures(found[WARM:])


def figures(counted: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What the seconds of many jobs come to."""
    return {
        "jobs": len(counted),
        "whole": told([sum(took.values()) for took in counted]),
        "stages": {
            stage: told([took.get(stage, 0.0) for took in counted]) | {"is": is_} for stage, is_ in STAGES.items()
        },
    }


def table(found: Mapping[str, Any]) -> str:
    """Lines for a terminal."""
    rows = [("whole", found["whole"], ""), *((name, row, row["is"]) for name, row in found["stages"].items())]
    lines = ["stage          p50     p95    mean  s"]
    lines += [
        f"{name:<12} {row['p50']:>6.3f}  {row['p95']:>6.3f}  {row['mean']:>6.3f}  {what}" for name, row, what in rows
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s latency --", description=__doc__)
    parser.add_argument("jobs", nargs="?", type=int, default=JOBS, help=f"how many; {JOBS} if nothing is said")
    parser.add_argument("--encoder", default=Plan().encoder, help="the encoders' plugin; the demo's if nothing is said")
    parser.add_argument("--write", action="store_true", help="keep the figures in specs/results/latency.json")
    asked = parser.parse_args()
    found = measured(asked.jobs, Plan(encoder=asked.encoder))
    print(table(found))
    if asked.write:
        what = "an embedding as a user sees it on the demo network: seconds, median and 95th percentile, by stage"
        results.write("latency", what, SEED, encoder=asked.encoder, **found)


if __name__ == "__main__":
    main()
