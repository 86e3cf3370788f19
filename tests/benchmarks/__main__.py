"""``nox -s bench``: all benchmarks in one table. ``-- NAME…`` runs some, ``-- --write`` keeps the figures of all.

Ends with 1 where less is reached than is required. No test holds a time against a limit: this is where speed is judged.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from attrs import asdict
from benchmarks.harness import Row

ROOT: Final = Path(__file__).resolve().parents[2]
RESULTS: Final = ROOT / "specs" / "results" / "bench.json"
NAMES: Final = ("jobs", "transport", "ledger", "encoder", "startup", "idle")
SEED: Final = 2026


def commit() -> str:
    """The commit that was measured; with a mark where files differ from it."""
    named = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return named.stdout.strip()


def machine() -> dict[str, Any]:
    """What it was measured on."""
    info = Path("/proc/cpuinfo").read_text("utf-8")
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), "")
    return {
        "cores": info.count("processor\t:"),
        "cpu": model,
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.machine()}",
        "load_before": [float(word) for word in Path("/proc/loadavg").read_text("ascii").split()[:3]],
    }


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
    where, before, rows = commit(), machine(), []
    began = time.monotonic()
    for name in asked.names or NAMES:
        start = time.monotonic()
        rows += (found := import_module(f"benchmarks.{name}").rows(SEED))
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
        print(table(found), file=sys.stderr, flush=True)
    print(table(rows))
    if asked.write:
        kept = {
            "what": "ratios measured in one run, medians of interleaved repeats with quartiles; `nox -s bench`",
            "commit": where,
            "seed": SEED,
            "date": datetime.now(UTC).date().isoformat(),
            "machine": before,
            "seconds": round(time.monotonic() - began),
            "rows": [
                {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items() if v is not None}
                for row in rows
            ],
        }
        RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", "utf-8")
    missed = [row.what for row in rows if row.missed]
    for what in missed:
        print(f"less than is required: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
