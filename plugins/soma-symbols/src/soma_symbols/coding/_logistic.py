"""The logistic function and its inverse, in whole numbers: probabilities are mixed as log odds. Rule CZ20."""

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

ONE: Final = 1 << 16
"""A probability of one. Coded probabilities lie strictly between 0 and this."""

REACH: Final = 2048
"""Log odds are whole numbers from −`REACH` to `REACH` − 1, in units of 1/256 nat."""

STEPS: Final = 4096
"""How finely `stretch` looks at a probability."""

_KNOTS: Final = (
    *(22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768),
    *(40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514),
)
"""`ONE` / (1 + e^−x) at x = −8, −7.5, …, 8, rounded."""


@cache
def squash() -> NDArray[np.int64]:
    """[2 · `REACH`]: log odds + `REACH` → probability of `ONE`. Straight lines between the knots."""
    knots = np.array(_KNOTS, np.int64)
    place, rest = np.divmod(np.arange(2 * REACH, dtype=np.int64), 128)
    table: NDArray[np.int64] = (knots[place] * (128 - rest) + knots[place + 1] * rest + 64) // 128
    table.flags.writeable = False
    return table


@cache
def stretch() -> NDArray[np.int64]:
    """[`STEPS`]: probability, in `STEPS` equal steps → log odds, the first at which `squash` is not below the step."""
    middles = (2 * np.arange(STEPS, dtype=np.int64) + 1) * (ONE // STEPS // 2)
    table = np.minimum(np.searchsorted(squash(), middles), 2 * REACH - 1) - REACH
    table.flags.writeable = False
    return table
