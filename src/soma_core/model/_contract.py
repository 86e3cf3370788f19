"""The byte contract: how bytes become rows of token ids, and what is charged. Rules M1 to M6 of ``specs/20-model.md``.

Data is cut into chunks of `T` bytes. A position is counted from the start of its chunk, so that a row means the same
wherever it stands, and neither EOS nor padding is ever a target or part of a vector.
"""

from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PAD: Final = 256
"""Fills a row behind its last byte."""
EOS: Final = 257
"""Stands once behind the last byte of a row that is not full."""
BYTES: Final = 256
"""Ids below it are bytes."""
VOCABULARY: Final = 264
"""256 bytes, PAD, EOS and six ids that are never used."""
FIRST_BYTE_BITS: Final = 8
"""Bits charged for the first byte of a chunk, which nothing predicts."""
MAX_LOSS: Final = 16.0
"""Bits per byte. A model that finds an item stranger than this says this: the chain takes no larger loss."""
MAX_CHUNKS: Final = 256
"""Chunks of an item that are encoded: 64 KiB at 256 bytes a chunk. Longer items are sampled evenly."""
MAX_ITEM: Final = 1 << 30
"""Bytes of an item that is taken at all."""


@frozen(eq=False)
class Rows:
    """Chunks as the model sees them.

    `ids`: uint16 [C, T]. `targets`: uint16 [C, T], the ids shifted left, PAD where nothing is charged. `lengths`: int32
    [C], the bytes of each chunk, 1 to T.
    """

    ids: "NDArray[np.uint16]"
    targets: "NDArray[np.uint16]"
    lengths: "NDArray[np.int32]"


def chunks(data: bytes, seq: int, max_chunks: int = MAX_CHUNKS) -> list[bytes]:
    """The pieces of `data` that are encoded, in order, each 1 to `seq` bytes long.

    All of them, or, of C > `max_chunks` = K pieces, those numbered ⌊i (C − 1) / (K − 1)⌋ for i = 0..K − 1: evenly
    spaced, first and last included. Raises `ValueError` for empty data and for more than `MAX_ITEM` bytes.
    """
    if not data:
        raise ValueError("empty: there is nothing to encode")
    if len(data) > MAX_ITEM:
        raise ValueError(f"{len(data)} bytes, more than the {MAX_ITEM} that an item may have")
    count = -(-len(data) // seq)
    if count <= max_chunks:
        chosen = range(count)
    elif max_chunks == 1:
        chosen = range(1)
    else:
        chosen = [i * (count - 1) // (max_chunks - 1) for i in range(max_chunks)]  # type: ignore[assignment]
    return [bytes(data[i * seq : (i + 1) * seq]) for i in chosen]


def rows(pieces: list[bytes], seq: int) -> Rows:
    """Token ids and targets of `pieces`, each 1 to `seq` bytes long: EOS behind a piece that is not full, then PAD."""
    import numpy as np

    ids = np.full((len(pieces), seq), PAD, np.uint16)
    targets = np.full((len(pieces), seq), PAD, np.uint16)
    lengths = np.array([len(piece) for piece in pieces], np.int32)
    for row, target, piece in zip(ids, targets, pieces, strict=True):
        if not 1 <= len(piece) <= seq:
            raise ValueError(f"a chunk of {len(piece)} bytes; it must have 1 to {seq}")
        row[: len(piece)] = np.frombuffer(piece, np.uint8)
        target[: len(piece) - 1] = row[1 : len(piece)]
        if len(piece) < seq:
            row[len(piece)] = EOS
    return Rows(ids, targets, lengths)
