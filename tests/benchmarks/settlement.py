"""Settling a shard of seven at 128 dimensions by ``scoring-soma``, against the five milliseconds that it may take.

Jobs as in ``jobs``, each alone in its commit or 16 together: measured is the processor time of `chain.apply` for the
commits that settle them, their beacons, records and the state sum included, by the job. All members have answered, and
everybody is paid, fined and remembered in that commit.
"""

import logging
import time
from pathlib import Path
from typing import Final

from benchmarks.harness import Row, spread
from benchmarks.jobs import WAVE, Scene
from benchmarks.transfers import forget, written

from soma_core import chain
from soma_core.api import LedgerContext, NoConfig
from soma_memory import open_ledger
from soma_scoring import Params, open_rule

MOST: Final = 5.0
"""Milliseconds."""
REPEATS: Final = 9


def settling(scene: Scene) -> float:
    """Milliseconds of processor time for each job."""
    network, rule = scene.world.genesis, open_rule(Params())
    ledger = open_ledger(NoConfig(), LedgerContext("ledger-memory", Path(), logging.getLogger("soma.bench"), "node"))
    forget()
    founded = scene.world.trace[0]
    ledger.write(written(founded))
    tip, took, settled = founded.tip, 0.0, 0
    for commit in scene.commits:
        start = time.process_time()
        applied = chain.apply(network, rule, ledger, tip, commit)
        spent = time.process_time() - start
        ended = sum(isinstance(event, chain.Settled) for event in applied.events)
        took, settled = took + (spent if ended else 0.0), settled + ended
        ledger.write(written(applied))
        tip = applied.tip
    assert settled == scene.settled
    return 1000 * took / settled


def rows(seed: int) -> list[Row]:
    found = []
    for wave in (1, WAVE):
        scene = Scene(seed, 0, wave)
        settling(scene)
        ratio, low, high = spread([MOST / settling(scene) for _ in range(REPEATS)])
        found.append(
            Row(
                what=f"settlement: a shard of 7 at D 128, {wave} in a commit",
                measured=f"{MOST / ratio:.2f} ms of processor time",
                against=f"the {MOST:.0f} ms it may take",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
                least=1.0,
            )
        )
    return found
