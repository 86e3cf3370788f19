"""Starting, against a bare interpreter: how many times as long. Budgets stand in ``tests/startup``."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.harness import Row, interleaved

REPEATS: Final = 15
SOMA: Final = ("-c", "import sys; from soma_core.cli import main; sys.exit(main(sys.argv[1:]))")
STARTS: Final[Mapping[str, Sequence[str]]] = {
    "import soma_core": ("-c", "import soma_core"),
    "soma --help": (*SOMA, "--help"),
    "soma plugins": (*SOMA, "plugins"),
}


def timed(*arguments: str) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start

    return run


def rows(_seed: int) -> list[Row]:
    candidates = {"bare": timed("-c", "pass"), **{name: timed(*words) for name, words in STARTS.items()}}
    taken = interleaved(candidates, REPEATS)
    out = []
    for name in STARTS:
        ratio, low, high = taken.ratio(name, "bare")
        out.append(
            Row(
                what=f"start-up: {name} (times as long)",
                measured=f"{1000 * taken.median(name):.0f} ms",
                against=f"python -c pass, {1000 * taken.median('bare'):.0f} ms",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
            )
        )
    return out
