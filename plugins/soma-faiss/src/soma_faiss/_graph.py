"""What FAISS builds over the rows of a store, and the file that saves building it again.

    file   16s digest of the rest   u64 bytes of the log   16s digest of so much of the log   u64 rows
           16s digest of the settings   what FAISS writes

Digests are BLAKE2b, integers little-endian. A file that does not fit in any way is not used: the log is the truth.
"""

import struct
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from soma_core.vectors import Store

from . import FaissConfig

HEAD: Final = struct.Struct("<Q16sQ16s")
DIGEST: Final = 16
TRAINING: Final = 39
"""Vectors that FAISS wants for each centre, at least."""
GROWN: Final = 4
"""Lists are laid out anew once there are so many times the rows there were."""

Rows = NDArray[np.int64]


class Graph:
    """Rows 0 to `rows` of a store, dead ones too: they are not found, and lead to others."""

    def __init__(self, config: FaissConfig, index: Any, rows: int, laid_out: int) -> None:
        self._config, self._index = config, index
        self.rows, self._laid_out = rows, laid_out

    @classmethod
    def build(cls, config: FaissConfig, store: Store) -> Self:
        """Over all rows of `store`, of which one lives at least."""
        if config.kind == "hnsw":
            index = faiss.IndexHNSWFlat(store.dim, config.m, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = config.ef_construction
        else:
            known = store.vectors[store.living]
            lists = max(1, min(int(4 * len(known) ** 0.5), len(known) // TRAINING))
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(store.dim), store.dim, lists, faiss.METRIC_INNER_PRODUCT)
            index.train(known)
        graph = cls(config, index, 0, len(store.ids))
        graph.grow(store)
        return graph

    def fits(self, store: Store) -> bool:
        """Whether growing it is better than building it anew."""
        return self._config.kind == "hnsw" or len(store.ids) < GROWN * self._laid_out

    def grow(self, store: Store) -> None:
        """Add the rows that are new."""
        if len(store.ids) > self.rows:
            self._index.add(store.vectors[self.rows :])
            self.rows = len(store.ids)

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> Rows:
        """Rows near each query, int64 [m, k], −1 where none was found. Only those `allowed`, bool [rows], if given."""
        bits = None if allowed is None else np.packbits(allowed, bitorder="little")
        chosen = None if bits is None else faiss.IDSelectorBitmap(bits)
        if self._config.kind == "hnsw":
            how = faiss.SearchParametersHNSW(efSearch=max(self._config.ef_search, k), sel=chosen)
        else:
            how = faiss.SearchParametersIVF(nprobe=min(self._config.probes, self._index.nlist), sel=chosen)
        found: Rows = self._index.search(queries, min(k, self.rows), params=how)[1]
        return found

    def save(self, path: Path, store: Store) -> None:
        """Write it for `load`. Raises `OSError`."""
        told = HEAD.pack(store.size, store.digest(store.size), self.rows, _settings(self._config))
        body = told + self._laid_out.to_bytes(8, "little") + faiss.serialize_index(self._index).tobytes()
        new = path.with_suffix(".new")
        new.write_bytes(blake2b(body, digest_size=DIGEST).digest() + body)
        new.replace(path)

    @classmethod
    def load(cls, path: Path, config: FaissConfig, store: Store) -> "Self | None":
        """What was saved of this store under these settings; None if there is no such file. `ValueError` if damaged."""
        if not path.exists():
            return None
        data = path.read_bytes()
        body = data[DIGEST:]
        if len(body) < HEAD.size + 8 or data[:DIGEST] != blake2b(body, digest_size=DIGEST).digest():
            raise ValueError("damaged")
        size, log, rows, settings = HEAD.unpack_from(body)
        if settings != _settings(config) or size > store.size or log != store.digest(size) or rows > len(store.ids):
            return None
        laid_out = int.from_bytes(body[HEAD.size : HEAD.size + 8], "little")
        return cls(config, faiss.deserialize_index(np.frombuffer(body, np.uint8, offset=HEAD.size + 8)), rows, laid_out)


def _settings(config: FaissConfig) -> bytes:
    """Of what is built; what only a search reads may change."""
    built = f"{faiss.__version__} {config.kind}" + (
        f" {config.m} {config.ef_construction}" if config.kind == "hnsw" else ""
    )
    return blake2b(built.encode(), digest_size=DIGEST).digest()
