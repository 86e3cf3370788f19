"""Whose answer counts (rules R5 to R7), and how alike the answers are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from attrs import frozen

from soma_core.api import Answer
from soma_core.api.fixed import cosq, dots, is_vector, squared_norm

from ._params import ShardParams

if TYPE_CHECKING:
    from numpy.typing import NDArray


def dimension(answers: Sequence[Answer], settled: "Sequence[NDArray[np.int16]]") -> int:
    """D of a job: that of the settled vectors, or else of the answers. The commonest; of equally common the first."""
    for vectors in (settled, [answer.vector for answer in answers]):
        if sizes := Counter(len(z) for z in vectors if _is_row(z)):
            return sizes.most_common(1)[0][0]
    return 0


def is_valid(params: ShardParams, answer: Answer, dim: int) -> bool:
    """Whether a member gave an answer: a vector and, unless it is opaque, a loss within bounds."""
    if not is_vector(answer.vector, dim):
        return False
    return answer.opaque or (type(answer.loss) is int and 0 <= answer.loss <= params.loss_most)


@frozen(eq=False)
class Shard:
    """The m members that are judged, by their `places` in the answers, in draw order. All of them are valid.

    `settled`: vectors of other jobs, int16 [K, D].
    """

    answers: Sequence[Answer]
    places: tuple[int, ...]
    settled: "NDArray[np.int16]"

    def __len__(self) -> int:
        return len(self.places)

    def vector(self, place: int) -> "NDArray[np.int16]":
        """A member's vector, int16 [D]."""
        vector = self.answers[place].vector
        assert vector is not None
        return vector

    def vectors(self, places: Sequence[int]) -> "NDArray[np.int16]":
        """Vectors of members, int16 [n, D]."""
        return np.stack([self.vector(place) for place in places])

    @cached_property
    def squares(self) -> Mapping[int, int]:
        """Σz² by place."""
        return {place: squared_norm(self.vector(place)) for place in self.places}

    @cached_property
    def cosines(self) -> Mapping[int, Mapping[int, int]]:
        """Cosines of the members with one another, Q16, by place and place."""
        z = self.vectors(self.places)
        products = dots(z, z).tolist()
        found: dict[int, dict[int, int]] = {place: {} for place in self.places}
        for row, a in enumerate(self.places):
            for column, b in enumerate(self.places[:row]):
                found[a][b] = found[b][a] = cosq(products[row][column], self.squares[a], self.squares[b])
        return found

    def cosines_to(self, others: "NDArray[np.integer]") -> Mapping[int, list[int]]:
        """Cosines of each member with the rows of `others` [n, D], Q16, by place."""
        squares = [squared_norm(row) for row in others]
        products = dots(self.vectors(self.places), others).tolist()
        return {
            place: [cosq(dot, self.squares[place], square) for dot, square in zip(row, squares, strict=True)]
            for place, row in zip(self.places, products, strict=True)
        }


def as_settled(settled: "Sequence[NDArray[np.int16]]", dim: int) -> "NDArray[np.int16]":
    """The settled vectors as int16 [K, D]. One that is of another dimension or type is left out."""
    rows = [z for z in settled if _is_row(z) and len(z) == dim and z.dtype == np.int16]
    return np.stack(rows) if rows else np.empty((0, dim), np.int16)


def _is_row(z: object) -> "TypeGuard[NDArray[np.int16]]":
    return isinstance(z, np.ndarray) and z.ndim == 1 and np.issubdtype(z.dtype, np.integer)
