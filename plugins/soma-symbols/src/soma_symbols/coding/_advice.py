"""Bytes predicted by the byte transformer, lane by lane, as odds of their bits. Rules CZ36 and CZ37."""

import numpy as np

from ._engine import IntegerTransformer
from ._logistic import STEPS, stretch
from ._slots import Integers


class ModelAdvice:
    """What a transformer expects of each lane's next byte.

    A lane's window begins with its first byte. When it is full, it begins anew with its last half: a prediction has
    between half a window and a window of context, and the first byte of a lane has none.
    """

    def __init__(self, model: IntegerTransformer, lanes: int) -> None:
        self._model = model
        self._cache = model.cache(lanes)
        self._window = np.zeros((lanes, model.window), np.int64)
        self._filled = 0
        self._rows = np.arange(lanes)
        self._tree = np.ones((lanes, 512), np.int64)
        for level in range(7, -1, -1):
            self._tree[:, 1 << level : 2 << level] = 1 << (8 - level)

    def odds(self, node: Integers) -> Integers:
        """Log odds [lanes] of a set bit behind `node`, from the weights of all bytes that begin like that."""
        set_, both = self._tree[self._rows, 2 * node + 1], self._tree[self._rows, node]
        found: Integers = stretch()[np.minimum(set_ * STEPS // both, STEPS - 1)]
        return found

    def end_byte(self, byte: Integers) -> None:
        """Each lane had `byte`: weigh what may follow."""
        model, window = self._model, self._window
        if self._filled == model.window:
            self._filled = half = model.window // 2
            window[:, :half] = window[:, -half:]
            model.predict(self._cache, window[:, :half], 0)
        window[:, self._filled] = byte
        weights = model.predict(self._cache, byte[:, None], self._filled)
        self._filled += 1
        self._tree[:, 256:] = weights
        for level in range(7, -1, -1):
            first, end = 1 << level, 2 << level
            self._tree[:, first:end] = self._tree[:, end : 2 * end].reshape(len(byte), first, 2).sum(-1)
