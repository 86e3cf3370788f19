"""A hundred thousand random DAGs: the engine's committer and linearizer find what the slow reference finds.

``nox -s dag`` runs it, with the tests of `soma-consensus-dag` on the path, and writes
``specs/results/dag-differential.json``.
"""

import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random

import dag_differential
import pytest
import random_dags
import slow_committer as slow
from results import write

SEED = 70_000_000
"""That of the first; the others follow. The plugin's own tests try those from 0."""
COUNT = 100_000
EACH = 500


def compare(first: int) -> tuple[Counter[str], list[str]]:
    """What was there to be decided in `EACH` DAGs, and what was found otherwise."""
    seen: Counter[str] = Counter()
    differences = []
    for seed in range(first, first + EACH):
        if found := dag_differential.difference(seed):
            differences.append(found)
        drawn = random_dags.draw(seed)
        seen["blocks"] += len(drawn.dag.blocks)
        seen["with equivocators"] += bool(drawn.liars)
        if Random(seed).random() < 0.05:  # a sample is enough to say what they are like
            for decision in slow.View(drawn.rule, drawn.dag.blocks).decisions:
                seen[f"{decision.status} {decision.by or ''}".strip()] += 1
    return seen, differences


def test_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    seen: Counter[str] = Counter()
    differences: list[str] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for number, (counted, found) in enumerate(pool.map(compare, range(SEED, SEED + COUNT, EACH)), 1):
            seen.update(counted)
            differences += found
            if number % 20 == 0:
                with capsys.disabled():
                    sys.stdout.write(f"\n{number * EACH} compared, {len(differences)} differ")
    write(
        "dag-differential",
        "random DAGs, seen in part and whole: the committer and linearizer of consensus-dag against a slow reference",
        SEED,
        compared=COUNT,
        differences=len(differences),
        blocks=seen.pop("blocks"),
        with_equivocators=seen.pop("with equivocators"),
        statuses_in_a_twentieth=dict(sorted(seen.items())),
    )
    assert differences == []
