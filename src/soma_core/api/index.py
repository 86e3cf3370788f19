"""Indexes: vectors kept, and the nearest of them found. Blocking classes; one thread opens, uses and closes one.

`soma_core.vectors` has what every index needs: the checks of arguments, a durable store, an exact scan, the recall.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ID: Final = 64
"""Bytes of an id, at most; it has at least one."""
MAX_LABELS: Final = 16
"""Labels of a vector, at most."""
MAX_DIM: Final = 8192
"""Length of a vector, at most."""
MAX_FOUND: Final = 4096
"""What `search` may be asked for, at most, for each query."""

Label = str | int
"""A value that `search` may ask for: text of at most 256 characters, or an integer of 64 bits."""
Labels = Mapping[str, Label]
"""Name (a-z, 0-9 and _, 1 to 32 of them) → value."""


class Hit(NamedTuple):
    """A vector that was found. `similarity`: the cosine of the angle between it and the query, −1 to 1."""

    id: bytes
    similarity: float
    labels: Labels


@frozen(kw_only=True)
class IndexStats:
    """`count` vectors of length `dim` (0 before the first). `recall`: of the 10 nearest, the share that is found.

    It is measured, with queries beside `sampled` of the vectors held, against a scan of them all. An index that is such
    a scan has recall 1 and samples none; 0 sampled else means that it holds too few to say.
    """

    count: int
    dim: int
    recall: float
    sampled: int
    about: str = ""


class Index(Protocol):
    """Nearest by cosine. What is wrong about a call is found before anything of it is kept: ``ValueError``.

    What its files or its server refuse is an ``OSError`` or a ``SomaError`` of one line. Then nothing of the call is
    kept, or a beginning of it, in order; the same call again is right. Where what is kept cannot be known, the index
    says so and refuses further calls until it is opened again.
    """

    def add(
        self, ids: Sequence[bytes], vectors: "NDArray[np.float32]", labels: Sequence[Labels] | None = None, /
    ) -> None:
        """Keep `vectors`, float32 [n, dim], finite and none zero, by `ids`; an id that is there is replaced.

        Of an id that comes twice, the last counts. The first call that keeps any settles dim for good. With the feature
        ``durable`` they are on disk when this returns.
        """
        ...

    def remove(self, ids: Sequence[bytes], /) -> int:
        """Forget these; how many were there. On disk when this returns, as with `add`."""
        ...

    def search(self, queries: "NDArray[np.float32]", k: int, where: Labels | None = None, /) -> list[list[Hit]]:
        """The `k` nearest of each query, float32 [m, dim], k from 1 to `MAX_FOUND`; best first, equals by id.

        `where`: only vectors that have all of these labels. Fewer than k come if there are no more; without
        ``approximate``, only then. A query is scaled as vectors are: only its direction counts.
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
