"""``nox -s bench``: all benchmarks in one table. ``-- NAME…`` runs some, ``-- --write`` keeps the figures of all.

Ends with 1 where less is reached than is required. No test holds a time against a limit: this is where speed is judged.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import results
from attrs import asdict
from benchmarks.harness import Row

NAMES: Final = (
    *("jobs", "transport", "ledger", "encoder", "startup", "idle", "engine", "consensus", "targets", "transfers"),
    *("settlement", "boundary", "tokens", "indexes", "compression"),
)
SEED: Final = 2026


def table(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    lines = [
        (
            r.what,
            f"{r.ratio:.2f}",
            f"{r.low:.2f}–{r.high:.2f}",
            "" if r.least is None else f"≥ {r.least:.2f}",
            f"{r.measured}  |  {r.against}",
        )
        for r in rows
    ]
    lines.insert(0, ("what", "ratio", "quartiles", "required", "measured  |  against"))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        "  ".join((*(word.ljust(width) for word, width in zip(line, widths, strict=False)), line[4])) for line in lines
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--write", action="store_true", help="keep the figures in specs/results/bench.json")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if asked.write and asked.names:
        parser.error("--write keeps the figures of one run of all benchmarks")
    before, rows = os.getloadavg(), []
    began = time.monotonic()
    for name in asked.names or NAMES:
        start = time.monotonic()
        rows += (found := import_module(f"benchmarks.{name}").rows(SEED))
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        print(table(found), file=sys.stderr, flush=True)
    print(table(rows))
    if asked.write:
        results.write(
            "bench",
            "ratios measured in one run, medians of interleaved repeats with quartiles",
            SEED,
            load_before=before,
            seconds=round(time.monotonic() - began),
            rows=[
                {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items() if v is not None}
                for row in rows
            ],
        )
    missed = [row.what for row in rows if row.missed]
    for what in missed:
        print(f"less than is required: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
