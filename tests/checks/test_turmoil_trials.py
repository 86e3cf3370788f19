"""A hundred thousand random transactions of every kind, and one history on machines that are not alike.

``nox -s turmoil`` runs it, with an environment that has another NumPy, and writes ``specs/results/turmoil.json``.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import turmoil_lives
from results import write
from turmoil_lives import FLAVOURS, live
from turmoil_moves import MOVES

SEED = 1_000
"""Of the first life of each flavour; the others follow."""
COUNT = 100_000
EACH = 5_000
ALIKE = 1_000
"""Transactions of each of the lives that are lived again elsewhere."""
TESTS = Path(turmoil_lives.__file__).parent
CORES = ("", "Nehalem", "Haswell", "SkylakeX")
THREADS = ("1", "2", "5")


def trial(which: tuple[str, int]) -> tuple[int, int, Counter[tuple[str, str]]]:
    """Commits and epochs of a life, and what became of its transactions. Whatever is wrong in it is raised."""
    world = live(*which, EACH)
    return len(world.commits), world.epoch, world.seen


def elsewhere(python: str, core: str, threads: str, seed: str) -> dict[str, Any]:
    """What the lives of `SEED` come to in a process of `python`."""
    environment = {
        **os.environ,
        "OPENBLAS_CORETYPE": core,
        "OPENBLAS_NUM_THREADS": threads,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])),
    }
    ran = subprocess.run(
        [python, turmoil_lives.__file__, str(SEED), str(ALIKE)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        timeout=1_800,
    )
    return dict(json.loads(ran.stdout))


def test_nothing_is_made_or_lost_and_the_same_history_has_the_same_state_everywhere() -> None:
    lives = [(flavour, SEED + number) for number in range(-(-COUNT // (EACH * len(FLAVOURS)))) for flavour in FLAVOURS]
    pythons = [sys.executable, *filter(None, [os.environ.get("SOMA_OTHER_PYTHON")])]
    places = [(p, core, n, str(seed)) for seed, (p, core, n) in enumerate(product(pythons, CORES, THREADS))]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        told = list(pool.map(elsewhere, *zip(*places, strict=True)))
        trials = list(pool.map(trial, lives))
    assert len({json.dumps([each["records"], each["wide"]], sort_keys=True) for each in told}) == 1
    seen = sum((found for _, _, found in trials), Counter[tuple[str, str]]())
    assert {kind for kind in MOVES if not seen[kind, "applied"]} == set()
    write(
        "turmoil",
        "random transactions of every kind under three scoring rules; money is counted after every commit, every"
        " record read back, every receipt added up, every refusal left out and the commit applied again; and the same"
        " history in processes with other versions of NumPy, other kinds of core, numbers of threads and hash seeds",
        SEED,
        transactions=sum(seen.values()),
        applied=sum(count for (_, code), count in seen.items() if code == "applied"),
        refused=sum(count for (_, code), count in seen.items() if code != "applied"),
        reasons=len({pair for pair in seen if pair[1] != "applied"}),
        commits=sum(commits for commits, _, _ in trials),
        epochs=sum(epochs for _, epochs, _ in trials),
        supply_drift=0,  # any other was raised
        places_of_the_same_history=len(told),
        numpy=sorted({each["numpy"] for each in told}),
        cores=sorted({each["core"] for each in told}),
        different_states=0,
    )
