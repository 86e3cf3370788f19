"""What long runs found: ``specs/results/NAME.json``, each with what was run, on which commit, seed and machine."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
DIRECTORY: Final = ROOT / "specs" / "results"


def write(name: str, what: str, seed: int, **figures: Any) -> None:
    """Write the figures of a run that has just ended."""
    told = {"what": what} | about(seed) | figures
    (DIRECTORY / f"{name}.json").write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


def about(seed: int) -> dict[str, Any]:
    """What a run was, of which code, on what."""
    return {
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True).strip(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "seed": seed,
    }


def machine() -> str:
    """Cores, processor and kernel."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    models = {line.partition(":")[2].strip() for line in lines if line.startswith("model name")}
    return f"{os.cpu_count()} cores, {' '.join(sorted(models)) or platform.machine()}, {platform.system()}"
