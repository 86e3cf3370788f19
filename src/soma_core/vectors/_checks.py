"""What an index accepts: one place, so that every index refuses the same, in the same words, before it keeps any."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from soma_core.api import MAX_DIM, MAX_FOUND, MAX_ID, MAX_LABELS, Labels

MAX_TEXT: Final = 256
"""Characters of a label's value, at most."""
NAME: Final = re.compile(r"[a-z0-9_]{1,32}")

NOTHING: Final[Labels] = {}


@frozen(eq=False)
class Batch:
    """What is added, checked: ids that differ, unit vectors float32 [n, dim], and the labels of each."""

    ids: list[bytes]
    vectors: NDArray[np.float32]
    labels: list[Labels]

    def __len__(self) -> int:
        return len(self.ids)


def checked_batch(ids: Sequence[bytes], vectors: Any, labels: Sequence[Labels] | None, dim: int) -> Batch:
    """What `Index.add` was given, for an index whose vectors have length `dim` (0: it holds none yet).

    Of an id that comes twice, the last is kept. Raises `ValueError`.
    """
    ids = checked_ids(ids)
    scaled = unit(vectors, dim, "vector")
    if len(scaled) != len(ids):
        raise ValueError(f"{len(ids)} ids for {len(scaled)} vectors: give one for each")
    if labels is None:
        kept: list[Labels] = [NOTHING] * len(ids)
    else:
        if len(labels) != len(ids):
            raise ValueError(f"{len(labels)} sets of labels for {len(ids)} vectors: give one for each")
        kept = [dict(checked_labels(some, f"vector {place}")) for place, some in enumerate(labels)]
    last = {id_: place for place, id_ in enumerate(ids)}
    if len(last) != len(ids):
        places = sorted(last.values())
        return Batch([ids[i] for i in places], scaled[places], [kept[i] for i in places])
    return Batch(ids, scaled, kept)


def checked_ids(ids: Sequence[bytes]) -> list[bytes]:
    """`ids`, each of 1 to `MAX_ID` bytes. Raises `ValueError`."""
    ids = list(ids)
    for place, id_ in enumerate(ids):
        if type(id_) is not bytes or not 1 <= len(id_) <= MAX_ID:
            raise ValueError(f"id {place} is not 1 to {MAX_ID} bytes")
    return ids


def checked_queries(queries: Any, k: int, where: Labels | None, dim: int) -> tuple[NDArray[np.float32], Labels]:
    """The queries as unit vectors, float32 [m, dim], and the labels asked for. Raises `ValueError`."""
    if type(k) is not int or not 1 <= k <= MAX_FOUND:
        raise ValueError(f"k is {k!r:.40}, not an integer from 1 to {MAX_FOUND}")
    return unit(queries, dim, "query"), NOTHING if where is None else dict(checked_labels(where, "the filter"))


def unit(vectors: Any, dim: int, what: str) -> NDArray[np.float32]:
    """`vectors`, float32 [n, dim] (any length if `dim` is 0), each scaled to length 1. Raises `ValueError`."""
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32 or vectors.ndim != 2:
        kind = f"{vectors.dtype} {list(vectors.shape)}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise ValueError(f"vectors are float32 [n, dim], not {kind}")
    width = vectors.shape[1]
    if not 1 <= width <= MAX_DIM:
        raise ValueError(f"a {what} has {width} components, not 1 to {MAX_DIM}")
    if dim and width != dim:
        raise ValueError(f"a {what} has {width} components, and those of this index have {dim}")
    # In double: the square of a large component is no float32, and that of a small one is 0.
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    for place in np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))[:1]:
        raise ValueError(f"{what} {place} {'is zero' if lengths[place] == 0 else 'is not finite'}")
    return np.ascontiguousarray((vectors / lengths[:, None]).astype(np.float32))


def checked_labels(labels: Labels, whose: str) -> Labels:
    """`labels`, if every name and value is one. Raises `ValueError`."""
    for problem in _problems(labels):
        raise ValueError(f"labels of {whose}: {problem}")
    return labels


def _problems(labels: Any) -> Iterator[str]:
    if not isinstance(labels, Mapping):
        yield f"names with values, not {type(labels).__name__}"
        return
    if len(labels) > MAX_LABELS:
        yield f"{len(labels)} of them, and {MAX_LABELS} are the most"
    for name, value in labels.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield f"{name!r:.40} is no name: 1 to 32 of a-z, 0-9 and _"
        elif type(value) is int:
            if not -(1 << 63) <= value < 1 << 63:
                yield f"{name} is no integer of 64 bits"
        elif type(value) is not str:
            yield f"{name} is neither text nor an integer"
        elif len(value) > MAX_TEXT:
            yield f"{name} has {len(value)} characters, and {MAX_TEXT} are the most"
        elif "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
            yield f"{name} is text that no file can hold: it has a NUL or half a surrogate pair"
