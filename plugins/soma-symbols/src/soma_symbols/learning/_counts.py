"""Counts by key in two columns, sorted by key: joined, and kept few."""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64]


def added(keys: Keys, counts: Counts, more: Keys, often: Counts) -> tuple[Keys, Counts]:
    """Both tables as one."""
    if not len(keys):
        return more, often
    every = np.concatenate([keys, more])
    order = np.argsort(every, kind="stable")  # of two sorted runs: one walk through both
    every = every[order]
    first = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]]))
    return every[first], np.add.reduceat(np.concatenate([counts, often])[order], first)


def fewer(keys: Keys, counts: Counts, most: int) -> tuple[Keys, Counts, int]:
    """At most `most` keys: all that count more than the smallest count which has to go; and that count, or 0."""
    if len(keys) <= most:
        return keys, counts, 0
    least = int(np.partition(counts, len(counts) - most - 1)[len(counts) - most - 1])
    kept = counts > least
    return keys[kept], counts[kept], least
