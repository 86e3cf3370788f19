"""A learned vocabulary: pairs of a byte-level BPE and pieces of a unigram model, in one small file."""

import io
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ._counts import WIDEST

BUNDLED: Final = "python"
"""Learned from the library and the documentation of Python, by ``recipe/vocabulary.py``."""
MAX_FILE: Final = 1 << 24
"""Bytes of a file, and of each array in it."""
SCALE: Final = 1 << 16
"""Of costs to a bit."""


@frozen(eq=False)
class Vocabulary:
    """`merges`: pairs of symbols in the order in which they were learned, uint16 [m, 2]; symbol 256 + i is pair i.

    `pieces`: of 1 to 8 bytes, every byte among them. `costs`: of each in 1/65536 of a bit, int64 [n].
    """

    merges: NDArray[np.uint16]
    pieces: list[bytes]
    costs: NDArray[np.int64]


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> None:
    """Write the file: equal vocabularies are equal bytes."""
    pieces = np.frombuffer(b"".join(piece.ljust(WIDEST, b"\0") for piece in vocabulary.pieces), np.uint8)
    with path.open("wb") as stream:
        np.savez_compressed(
            stream,
            merges=vocabulary.merges,
            pieces=pieces.reshape(-1, WIDEST),
            widths=np.array([len(piece) for piece in vocabulary.pieces], np.uint8),
            costs=vocabulary.costs.astype(np.int32),
        )


def read_vocabulary(name: str) -> Vocabulary:
    """The bundled vocabulary called `name`, or that of a file. Raises `ValueError` if it is not there or is damaged."""
    try:
        if name == BUNDLED:
            data = (files(__package__) / "data" / "python.npz").read_bytes()
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"vocabulary {name!r} cannot be read: {error.strerror or error}") from error
    try:
        return _parse(data)
    except Exception as error:  # an archive of arrays has many ways to be wrong, and no error of its own for them
        raise ValueError(f"vocabulary {name!r} is damaged: {error}") from error


def _parse(data: bytes) -> Vocabulary:
    if len(data) > MAX_FILE:
        raise ValueError(f"it has more than {MAX_FILE} bytes")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_FILE:
            raise ValueError(f"it unfolds to more than {MAX_FILE} bytes")
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        merges, pieces, widths, costs = (held[name] for name in ("merges", "pieces", "widths", "costs"))
    count = len(costs)
    shapes: list[tuple[NDArray[np.generic], type[np.generic], tuple[int, ...]]] = [
        (merges, np.uint16, (len(merges), 2)),
        (pieces, np.uint8, (count, WIDEST)),
        (widths, np.uint8, (count,)),
        (costs, np.int32, (count,)),
    ]
    if any(array.dtype != dtype or array.shape != shape for array, dtype, shape in shapes):
        raise ValueError("its arrays do not fit each other")
    if (merges >= 256 + np.arange(len(merges))[:, None]).any():
        raise ValueError("a pair joins what is learned only after it")
    rows = pieces.tobytes()
    texts = [rows[WIDEST * row : WIDEST * row + width] for row, width in enumerate(widths.tolist())]
    if not all(0 < width <= WIDEST for width in widths.tolist()):
        raise ValueError(f"a piece has not 1 to {WIDEST} bytes")
    return Vocabulary(merges, texts, costs.astype(np.int64))
