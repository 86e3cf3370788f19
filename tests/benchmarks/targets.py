"""Encoders assigned to targets by ``scoring-soma``, against one matrix-vector product of NumPy, float64, a target.

64 targets, 100,000 encoders of 2048 dimensions, stakes that spread as a lognormal's (σ = 1), three encoders a target.
The products alone decide nothing: they are what anybody would have to compute who compares every encoder with every
point. The bare matrix is at hand in float64; so are our positions in the first row, as an epoch has them. In the second
row our side also prepares them from int16, as every call of the rule does.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from benchmarks.harness import Row, interleaved

from soma_core import fixed
from soma_scoring import Params, open_rule
from soma_scoring._nearest import Positions

ENCODERS: Final = 100_000
DIM: Final = 2_048
TARGETS: Final = 64
ASSIGNED: Final = 3
BLOCK: Final = 1_000
REPEATS: Final = 5
LEAST: Final = 40.0


def rows(seed: int) -> list[Row]:
    random = np.random.default_rng(seed)
    positions = np.empty((ENCODERS, DIM), np.int16)
    wide = np.empty((ENCODERS, DIM), np.float64)
    for start in range(0, ENCODERS, BLOCK):
        normal = random.normal(size=(BLOCK, DIM))
        rounded = np.rint(normal * (4096 * DIM**0.5 / np.linalg.norm(normal, axis=1))[:, None])
        wide[start : start + BLOCK] = rounded
        positions[start : start + BLOCK] = rounded.astype(np.int16)
    stakes = [int(stake) for stake in 10**12 * np.exp(random.normal(size=ENCODERS))]
    points = [fixed.quantise(row) for row in random.normal(size=(TARGETS, DIM))]
    stacked, rule, prepared = np.stack(points), open_rule(Params()), Positions(positions, stakes)
    assert list(rule.assign(points, positions, stakes, ASSIGNED)) == prepared.nearest(stacked, ASSIGNED)

    def products() -> None:
        for point in points:
            wide @ point.astype(np.float64)

    def timed(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        return TARGETS / (time.perf_counter() - start)

    taken = interleaved(
        {
            "prepared": lambda: timed(lambda: prepared.nearest(stacked, ASSIGNED)),
            "whole": lambda: timed(lambda: rule.assign(points, positions, stakes, ASSIGNED)),
            "bare": lambda: timed(products),
        },
        REPEATS,
    )
    found = []
    for name, what, least in (("prepared", "positions at hand", LEAST), ("whole", "the whole call", None)):
        ratio, low, high = taken.ratio(name, "bare")
        found.append(
            Row(
                what=f"targets: 64 among 100,000 encoders of 2048, {what}",
                measured=f"exact assignment, {taken.median(name):,.0f} targets/s",
                against=f"a float64 product each, {taken.median('bare'):,.1f} targets/s",
                ratio=ratio,
                low=low,
                high=high,
                repeats=REPEATS,
                least=least,
            )
        )
    return found
