"""Two statistics of how little vectors look like standard normal ones. Rules M27 to M29 of ``specs/20-model.md``.

Both look at vectors along random directions and compare the characteristic function of what they see there with that of
a normal variable. `slice_statistic` is the live network's: it averages over the directions of each vector, and so looks
at nothing but its norm. `sample_statistic` averages over the vectors in each direction, and finds a collapse.
"""

from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ._noise import normal

COLLAPSED: Final = 0.022
"""Sample statistic, by vector, from which on vectors have collapsed: near 0 for a normal cloud, 1 for one vector."""
KNOTS_MOST: Final = 1024
SLICES_MOST: Final = 1 << 16

Vectors = NDArray[Any]
"""float32 or float64, [N, D]."""


@frozen(kw_only=True)
class Regulariser:
    """How a statistic is taken, and how much it counts. The live network's values are the defaults.

    `points`: knots from 0 to `t_max` at which characteristic functions are compared. `slices`: random directions.
    `coefficient`: by which the statistic is multiplied in a loss.
    """

    points: int = 17
    slices: int = 256
    t_max: float = 3.0
    coefficient: float = 0.02

    def knots(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Knots t, the normal characteristic function φ there, and the weights of the integral; each [points]."""
        t = np.linspace(0, self.t_max, self.points)
        phi = np.exp(-t * t / 2)
        weights = np.full(self.points, 2 * self.step)
        weights[[0, -1]] = self.step
        return t, phi, weights * phi

    @property
    def step(self) -> float:
        """From one knot to the next."""
        return self.t_max / (self.points - 1)


def directions(seed: int, dim: int, slices: int) -> NDArray[np.float32]:
    """Random directions before they are made unit vectors: float32 [dim, slices], those of `seed` everywhere."""
    return normal(seed, dim * slices).astype(np.float32).reshape(dim, slices)


def slice_statistic(vectors: Vectors, noise: NDArray[np.float32], regulariser: Regulariser) -> float:
    """The live network's: the mean over vectors of what all projections of one miss of a normal variable."""
    return _statistic(vectors, noise, regulariser, axis=1)


def sample_statistic(vectors: Vectors, noise: NDArray[np.float32], regulariser: Regulariser) -> float:
    """That of LeJEPA (arXiv 2511.08544): the mean over directions of what the vectors' projections there miss."""
    return _statistic(vectors, noise, regulariser, axis=0)


def has_collapsed(vectors: Vectors, noise: NDArray[np.float32], regulariser: Regulariser) -> bool:
    """Whether vectors, 512 or more, lie near one point, a few, or a few directions instead of all around (M44)."""
    return sample_statistic(vectors, noise, regulariser) > COLLAPSED * len(vectors)


def _statistic(vectors: Vectors, noise: NDArray[np.float32], regulariser: Regulariser, axis: int) -> float:
    """`axis`: over which the empirical characteristic function is averaged; 0 vectors, 1 directions."""
    units = noise.astype(np.float64)
    units /= np.linalg.norm(units, axis=0)
    seen = np.asarray(vectors, np.float64) @ units
    # Knots are at equal distances, each a turn further by the same angle: much less work than a sine for each.
    turn = np.exp(1j * regulariser.step * seen)
    turned = np.ones_like(turn)
    missed = np.zeros(seen.shape[1 - axis])
    for _, phi, weight in zip(*regulariser.knots(), strict=True):
        missed += weight * np.abs(turned.mean(axis) - phi) ** 2
        turned *= turn
    return float(missed.mean()) * int(seen.shape[axis])
