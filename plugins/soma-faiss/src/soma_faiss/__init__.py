"""``index-faiss``: a graph or lists by FAISS over vectors that are kept as `index-exact` keeps them."""

from typing import Literal

from attrs import frozen

from soma_core.api import Context, Index, IndexSpec, hookimpl, option

__all__ = ["FaissConfig", "soma_index"]


@frozen
class FaissConfig:
    """Settings of ``[index.faiss]``. They may change from one opening to the next: what is kept are the vectors."""

    kind: Literal["hnsw", "ivf"] = option("hnsw", "a graph (hnsw), or lists around centres (ivf)")
    m: int = option(32, "hnsw: neighbours of a vector in the graph", min=4, max=128)
    ef_construction: int = option(
        200, "hnsw: candidates that are looked at for each when the graph grows", min=8, max=4096
    )
    ef_search: int = option(128, "hnsw: candidates of a search, at least as many as it asks for", min=8, max=4096)
    probes: int = option(16, "ivf: lists that a search looks into", min=1, max=4096)
    scan_below: int = option(1000, "look at every vector where fewer than these may be found", min=0, max=1_000_000)


@hookimpl
def soma_index() -> IndexSpec[FaissConfig]:
    """``index-faiss``: durable, approximate."""
    return IndexSpec(api=1, config=FaissConfig, open=open_index, features=frozenset({"durable", "approximate"}))


def open_index(config: FaissConfig, context: Context) -> Index:
    """The index in ``<directory>/vectors.log``. Raises `OSError` if in use, `CorruptionError` if damaged."""
    from ._index import FaissIndex

    return FaissIndex(config, context.directory, context.log)
