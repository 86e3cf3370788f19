"""Indexes: vectors kept, and the nearest of them found. Blocking classes; one thread opens, uses and closes one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ID: Final = 64
"""Bytes of an id, at most."""
MAX_LABELS: Final = 16
"""Labels of a vector, at most."""

Label = str | int
"""A value that `search` may ask for: text of at most 256 characters, or an integer of 64 bits."""
Labels = Mapping[str, Label]
"""Name (a-z, 0-9 and _, at most 32) → value."""


class Hit(NamedTuple):
    """A vector that was found. `similarity`: the cosine of the angle between it and the query, −1 to 1."""

    id: bytes
    similarity: float
    labels: Labels


@frozen(kw_only=True)
class IndexStats:
    """`count` vectors of length `dim` (0 before the first). `recall`: of the 10 nearest, the share that is found.

    An exact index has recall 1. An approximate one measures it on `sampled` of the vectors it holds, against a scan of
    them all; 0 sampled means that it holds too few to say.
    """

    count: int
    dim: int
    recall: float
    sampled: int
    about: str = ""


class Index(Protocol):
    """Nearest by cosine. What is wrong about a call is found before anything of it is kept: ``ValueError``."""

    def add(
        self, ids: Sequence[bytes], vectors: "NDArray[np.float32]", labels: Sequence[Labels] | None = None, /
    ) -> None:
        """Keep `vectors`, float32 [n, dim], finite and none zero, by `ids`; an id that is there is replaced.

        The first call settles dim. With the feature ``durable`` they are on disk when this returns.
        """
        ...

    def remove(self, ids: Sequence[bytes], /) -> int:
        """Forget these; how many were there."""
        ...

    def search(self, queries: "NDArray[np.float32]", k: int, where: Labels | None = None, /) -> list[list[Hit]]:
        """The `k` nearest of each query, float32 [m, dim]; best first, equals by id.

        `where`: only vectors that have all of these labels.
        """
        ...

    def __len__(self) -> int:
        """How many vectors there are."""
        ...

    def stats(self) -> IndexStats:
        """What it holds, and how much of what is near it finds; may take seconds."""
        ...

    def close(self) -> None:
        """Release everything. A closed index is not used again."""
        ...
