"""Predictions mixed by weights that follow their errors, in whole numbers. Rules CZ26 and CZ27."""

from typing import Final

import numpy as np

from ._logistic import ONE, REACH, squash
from ._slots import Integers

_START: Final = 10_000
"""Weights are in units of 2^-16."""
_RATE: Final = 15
_SHIFT: Final = 20


class Mixer:
    """Two sets of weights, each chosen by a context of its own, whose log odds are averaged."""

    def __init__(self, inputs: int, first: int, second: int) -> None:
        self._weights = np.full((first + second) * inputs, _START, np.int64)
        self._inputs = inputs
        self._columns = np.arange(inputs, dtype=np.int64)[:, None]
        self._second = first
        self._chosen: Integers = np.zeros(0, np.int64)
        self._odds: Integers = np.zeros(0, np.int64)

    def mix(self, odds: Integers, first: Integers, second: Integers) -> Integers:
        """Log odds [lanes] that a bit is set, from `odds` [inputs, lanes] under the contexts [lanes] of both sets."""
        rows = np.stack((first, second + self._second)) * self._inputs
        self._chosen = rows[:, None, :] + self._columns
        sums = (self._weights.take(self._chosen) * odds).sum(1) >> 16
        self._odds = np.clip(sums, 1 - REACH, REACH - 1)
        mixed: Integers = self._odds.sum(0) >> 1
        return mixed

    def learn(self, odds: Integers, bits: Integers) -> None:
        """The bits [lanes] that came after `odds` were mixed."""
        errors = ((bits * ONE) - squash()[self._odds + REACH]) * _RATE
        steps = odds * errors[:, None, :]
        steps += 1 << (_SHIFT - 1)
        steps >>= _SHIFT
        np.add.at(self._weights, self._chosen, steps)
