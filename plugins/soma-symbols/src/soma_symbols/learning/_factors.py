"""The largest singular vectors of a sparse symmetric matrix, by products with few random directions.

Halko, Martinsson, Tropp: Finding structure with randomness, SIAM Review 53 (2011), algorithms 4.4 and 5.3.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ._neighbours import Sparse

MORE: Final = 16
"""Directions beyond those that are wanted."""
ROUNDS: Final = 3
"""Products by which the directions are bent towards the largest ones."""

Matrix = NDArray[np.float32]


def factors(matrix: Sparse, dim: int, rng: np.random.Generator, told: Callable[[str], None]) -> Matrix:
    """Eigenvectors times the root of the sizes of their values, [V, dim]; zeros where the matrix has fewer."""
    size = len(matrix.starts) - 1
    width = min(size, dim + MORE)
    basis = _orthogonal(matrix.times(rng.standard_normal((size, width), np.float32)))
    for turn in range(ROUNDS):
        told(f"factors: round {turn + 1} of {ROUNDS}")
        basis = _orthogonal(matrix.times(basis))
    values, vectors = np.linalg.eigh((basis.T @ matrix.times(basis)).astype(np.float64))
    chosen = np.argsort(-np.abs(values), kind="stable")[:dim]
    found = (basis @ vectors[:, chosen].astype(np.float32)) * np.sqrt(np.abs(values[chosen])).astype(np.float32)
    return np.pad(found, ((0, 0), (0, dim - found.shape[1])))


def _orthogonal(matrix: Matrix) -> Matrix:
    return np.linalg.qr(matrix)[0].astype(np.float32)
