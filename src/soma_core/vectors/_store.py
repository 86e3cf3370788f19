"""Vectors with ids and labels, in memory for searching and in a log for good."""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soma_core.api import Hit, Label, Labels
from soma_core.errors import CorruptionError

from ._checks import NOTHING, Batch
from ._lock import OneOpening
from ._log import Body, Log
from ._scan import nearest

FILE: Final = "vectors.log"
ADD: Final = 1
REMOVE: Final = 2
OPERATION: Final = struct.Struct("<BIQ")
"""What, how many ids, bytes of the labels."""
FEW: Final = 1000
"""Dead rows that are not worth a new file."""
TOGETHER: Final = 1 << 13
"""Vectors of a frame when the file is written anew."""


class Store:
    """What was added and not removed, row by row. A row that is replaced or removed is dead until rows are renumbered.

    `vectors`: unit vectors, float32 [rows, dim], dead ones too. `ids`, `labels`: of each row. `renewed`: how often rows
    have been numbered anew. Raises `OSError` if it is open elsewhere or the disk fails, `CorruptionError` if damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.ids: list[bytes] = []
        self.labels: list[Labels] = []
        self.renewed = 0
        self._place: dict[bytes, int] = {}
        self._dead: set[int] = set()
        self._dead_rows: NDArray[np.intp] | None = None
        self._labelled: dict[tuple[str, Label], set[int]] = {}
        self._room = np.zeros((0, 0), np.float32)
        self._log = Log(directory / FILE)
        self._lock = OneOpening(directory)
        try:
            for body in self._log.read():
                try:
                    self._replay(body)
                except (ValueError, struct.error) as error:
                    raise CorruptionError(
                        f"{directory / FILE}: not written by this version: {error}", "use the soma-core that wrote it"
                    ) from error
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._place)

    @property
    def dim(self) -> int:
        """Length of a vector; 0 before the first."""
        return self._log.dim

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._log.size

    def digest(self, size: int) -> bytes:
        """Of the first `size` bytes on disk: equal ones make equal rows. BLAKE2b, 16 bytes."""
        return self._log.digest(size)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """One a row, dead ones too; do not write. Float32 [rows, dim]."""
        return self._room[: len(self.ids)]

    @property
    def dead(self) -> NDArray[np.intp]:
        """The rows that are no longer there, ascending."""
        if self._dead_rows is None:
            self._dead_rows = np.array(sorted(self._dead), np.intp)
        return self._dead_rows

    @property
    def living(self) -> NDArray[np.intp]:
        """The rows that are there, ascending."""
        return np.delete(np.arange(len(self.ids)), self.dead)

    def rows_with(self, where: Labels) -> NDArray[np.intp]:
        """The living rows that have all of these labels, of which there is one at least; ascending."""
        return np.array(
            sorted(set.intersection(*(self._labelled.get(label, set()) for label in where.items()))), np.intp
        )

    def scan(self, queries: NDArray[np.float32], k: int, where: Labels) -> list[list[Hit]]:
        """The answer of an exact index to checked arguments."""
        rows = self.rows_with(where) if where else None
        found = (
            nearest(self.vectors, queries, k, rows, self.dead)
            if self.dim
            else [(np.zeros(0, np.intp), np.zeros(0))] * len(queries)
        )
        return [self.hits(some, cosines, k) for some, cosines in found]

    def hits(self, rows: NDArray[np.intp], cosines: NDArray[np.float64], k: int) -> list[Hit]:
        """The first `k` of these by cosine, equals by id."""
        some = [
            Hit(self.ids[row], cosine, self.labels[row])
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
        ]
        return sorted(some, key=lambda hit: (-hit.similarity, hit.id))[:k]

    def add(self, batch: Batch) -> None:
        """On disk when this returns. The new rows are the last ones, in the order of the batch."""
        if not len(batch):
            return
        self._tidy()
        body = _added(batch.ids, batch.labels, batch.vectors)
        if self.dim:
            self._log.append(body)
        else:
            self._log.begin(batch.vectors.shape[1], [body])
        self._keep(batch.ids, batch.labels, batch.vectors)

    def remove(self, ids: Sequence[bytes]) -> int:
        """How many were there. On disk when this returns."""
        there = [id_ for id_ in dict.fromkeys(ids) if id_ in self._place]
        if there:
            self._log.append([OPERATION.pack(REMOVE, len(there), 0), *_packed(there)])
            self._drop(there)
        return len(there)

    def close(self) -> None:
        """Close the file and let it be opened again."""
        self._log.close()
        self._lock.release()

    def _tidy(self) -> None:
        """Write the file anew without its dead rows, if they are most. Before anything is added: it may fail."""
        if len(self._dead) < FEW or 2 * len(self._dead) < len(self.ids):
            return
        rows, vectors = self.living, self.vectors
        parts = [rows[i : i + TOGETHER] for i in range(0, len(rows), TOGETHER)]
        whole = [([self.ids[i] for i in part], [self.labels[i] for i in part], vectors[part]) for part in parts]
        self._log.begin(self.dim, (_added(*some) for some in whole))
        self._room = np.zeros((0, 0), np.float32)
        self.ids, self.labels, self._place, self._labelled = [], [], {}, {}
        self._dead, self._dead_rows = set(), None
        self.renewed += 1
        for some in whole:
            self._keep(*some)

    def _replay(self, body: bytes) -> None:
        what, count, size = OPERATION.unpack_from(body)
        lengths = body[OPERATION.size : OPERATION.size + count]
        text = OPERATION.size + count + sum(lengths)
        ids = list(_cut(body[OPERATION.size + count : text], lengths))
        if what == REMOVE and text == len(body):
            self._drop(ids)
        elif what == ADD and len(body) == text + size + 4 * count * self.dim:
            labels = json.loads(body[text : text + size]) if size else [NOTHING] * count
            rows = np.frombuffer(body, "<f4", count * self.dim, text + size).reshape(count, self.dim)
            self._keep(ids, labels, rows)
        else:
            raise ValueError(f"operation {what} of {len(body)} bytes")

    def _keep(self, ids: list[bytes], labels: list[Labels], vectors: NDArray[np.float32]) -> None:
        self._drop(id_ for id_ in ids if id_ in self._place)
        first, after = len(self.ids), len(self.ids) + len(ids)
        if after > len(self._room):
            room = np.empty((max(after, 2 * len(self._room)), vectors.shape[1]), np.float32)
            if first:
                room[:first] = self._room[:first]
            self._room = room
        self._room[first:after] = vectors
        self.ids += ids
        self.labels += labels
        for row, (id_, some) in enumerate(zip(ids, labels, strict=True), first):
            self._place[id_] = row
            for label in some.items():
                self._labelled.setdefault(label, set()).add(row)

    def _drop(self, ids: Iterable[bytes]) -> None:
        self._dead_rows = None
        for id_ in ids:
            row = self._place.pop(id_)
            self._dead.add(row)
            for label in self.labels[row].items():
                self._labelled[label].discard(row)
                if not self._labelled[label]:
                    del self._labelled[label]


def _added(ids: list[bytes], labels: list[Labels], vectors: NDArray[np.float32]) -> Body:
    text = json.dumps(labels, ensure_ascii=False).encode() if any(labels) else b""
    rows = np.ascontiguousarray(vectors, "<f4")
    return [OPERATION.pack(ADD, len(ids), len(text)), *_packed(ids), text, rows.reshape(-1).view(np.uint8).data]


def _packed(ids: Sequence[bytes]) -> tuple[bytes, bytes]:
    return bytes(map(len, ids)), b"".join(ids)


def _cut(joined: bytes, lengths: bytes) -> Iterator[bytes]:
    place = 0
    for length in lengths:
        yield joined[place : place + length]
        place += length
